//! The Go package that this grew from: all that it does works here, and both exclude each other.

mod common;

use std::cell::Cell;
use std::time::Duration;

use common::{LIMIT, redis};
use redis::aio::MultiplexedConnection;
use redis_locked::{LockError, Locker};
use redis_locked_test_support::{Server, until};
use tokio::task::yield_now;

const TTL: Duration = Duration::from_secs(60);
const BACK_OFF: Duration = Duration::from_millis(5);

/// The package's three functions, as it has them.
struct Go(MultiplexedConnection);

/// `ErrNotGetLock`.
#[derive(Debug)]
struct NotGetLock;

/// `ErrLockNotHeld`.
#[derive(Debug)]
struct LockNotHeld;

impl Go {
    const RELEASE: &str = r#"
        if redis.call("get", KEYS[1]) == ARGV[1] then
            return redis.call("del", KEYS[1])
        else
            return 0
        end"#;

    async fn at(server: &Server) -> Self {
        Self(server.connection().await)
    }

    async fn get_lock(&mut self, key: &str, ttl: Duration) -> Result<String, NotGetLock> {
        thread_local!(static NUMBER: Cell<u64> = const { Cell::new(0) });
        NUMBER.set(NUMBER.get() + 1);
        let token = format!("{:022}", NUMBER.get());
        let mut set = redis::cmd("SET");
        set.arg(key)
            .arg(&token)
            .arg("NX")
            .arg("PX")
            .arg(ttl.as_millis());
        let done: Option<String> = set.query_async(&mut self.0).await.expect("an answer");
        done.map(|_| token).ok_or(NotGetLock)
    }

    async fn retry_lock(
        &mut self,
        key: &str,
        ttl: Duration,
        retry_count: u32,
        back_off: Duration,
    ) -> Result<String, NotGetLock> {
        for _ in 0..retry_count {
            if let Ok(token) = self.get_lock(key, ttl).await {
                return Ok(token);
            }
            tokio::time::sleep(back_off).await;
        }
        Err(NotGetLock)
    }

    async fn release_lock(&mut self, key: &str, token: &str) -> Result<(), LockNotHeld> {
        let mut release = redis::cmd("EVAL");
        release.arg(Self::RELEASE).arg(1).arg(key).arg(token);
        match release.query_async(&mut self.0).await.expect("an answer") {
            1 => Ok(()),
            _ => Err(LockNotHeld),
        }
    }
}

#[tokio::test]
async fn get_lock_is_acquire_and_err_not_get_lock_is_busy() {
    let (server, locker) = redis().await;
    let mut go = Go::at(&server).await;
    let token = go.get_lock("k", TTL).await.expect("free");
    let error = locker
        .lock("k")
        .ttl(TTL)
        .acquire()
        .await
        .expect_err("theirs");
    assert!(
        matches!(error, LockError::Busy { attempts: 1, .. }),
        "{error}"
    );
    go.release_lock("k", &token).await.expect("theirs");

    let guard = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    go.get_lock("k", TTL).await.expect_err("ours");
    guard.release().await.expect("ours");
    go.get_lock("k", TTL).await.expect("free");
}

#[tokio::test]
async fn release_lock_leaves_ours_alone_and_ours_theirs() {
    let (server, locker) = redis().await;
    let mut go = Go::at(&server).await;
    let guard = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    go.release_lock("k", "their token").await.expect_err("ours");
    // Not even with our token: the value is that and the owner.
    go.release_lock("k", guard.token()).await.expect_err("ours");
    assert!(server.exists("k").await);

    server.del("k").await;
    let token = go.get_lock("k", TTL).await.expect("free");
    let error = guard.release().await.expect_err("theirs");
    assert!(error.is_not_held(), "{error}");
    go.release_lock("k", &token).await.expect("still theirs");
}

#[tokio::test]
async fn err_lock_not_held_is_not_held() {
    let (server, locker) = redis().await;
    let mut go = Go::at(&server).await;
    let token = go.get_lock("k", TTL).await.expect("free");
    server.del("k").await;
    go.release_lock("k", &token).await.expect_err("gone");

    let guard = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    server.del("k").await;
    let error = guard.release().await.expect_err("gone");
    assert!(
        matches!(
            error,
            LockError::NotHeld {
                taken_over: false,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(error.key(), Some("k"));
}

#[tokio::test]
async fn retry_count_counts_attempts_and_retries_those_after_the_first() {
    let (server, locker) = redis().await;
    let mut go = Go::at(&server).await;
    server.set_px("k", "theirs", 60_000).await;
    let monitor = server.monitor();
    go.retry_lock("k", TTL, 3, BACK_OFF)
        .await
        .expect_err("busy");
    let request = locker.lock("k").ttl(TTL).retries(2).backoff(BACK_OFF);
    let error = request.acquire().await.expect_err("busy");
    assert!(
        matches!(error, LockError::Busy { attempts: 3, .. }),
        "{error}"
    );
    let events = monitor.events().await;
    let sets = events
        .iter()
        .filter(|event| event.command() == "set" && !event.is_from_script());
    assert_eq!(sets.count(), 3 + 3);
}

#[tokio::test]
async fn retry_lock_gets_what_ours_released_and_the_other_way_round() {
    let (server, locker) = redis().await;
    let mut go = Go::at(&server).await;
    let guard = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    let monitor = server.monitor();
    let theirs = go.retry_lock("k", TTL, 1_000_000, BACK_OFF);
    let release = async {
        monitor
            .wait_for(|event| event.command() == "set", LIMIT)
            .await;
        guard.release().await.expect("ours");
    };
    let (token, ()) = tokio::join!(theirs, release);
    let token = token.expect("free");

    for wait in [false, true] {
        let request = locker.lock("k").ttl(TTL);
        let request = if wait {
            request.wait(LIMIT)
        } else {
            request.retries(1_000_000).backoff(BACK_OFF)
        };
        let monitor = server.monitor();
        let (guard, token_of_next) = tokio::join!(request.acquire(), async {
            let asks = |command: &str| matches!(command, "set" | "evalsha");
            monitor
                .wait_for(|event| asks(&event.command()), LIMIT)
                .await;
            go.release_lock("k", &token).await
        });
        token_of_next.expect("theirs");
        guard.expect("free").release().await.expect("ours");
        if !wait {
            server.set_px("k", &token, 60_000).await;
        }
    }
}

#[tokio::test]
async fn a_token_is_sixteen_bytes_in_unpadded_url_safe_base64() {
    let (server, locker) = redis().await;
    for _ in 0..50 {
        let guard = locker.lock("k").ttl(TTL).acquire().await.expect("free");
        let token = guard.token().to_owned();
        let value = server.get("k").await.expect("set");
        assert_eq!(value.split(';').next(), Some(&*token));
        assert_eq!(token.len(), 22);
        let url_safe = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        assert!(token.chars().all(url_safe), "{token}");
        // 22 characters have room for four bits more than 16 bytes need; those are zero.
        assert!(token.ends_with(['A', 'Q', 'g', 'w']), "{token}");
        guard.release().await.expect("ours");
    }
}

#[tokio::test]
async fn holders_of_both_are_alone() {
    let (server, locker) = redis().await;
    let (inside, total) = (Cell::new(0), Cell::new(0));
    let work = async || {
        assert_eq!(inside.replace(1), 0, "not alone");
        for _ in 0..5 {
            yield_now().await;
        }
        inside.set(0);
        total.set(total.get() + 1);
    };
    let theirs = async || {
        let mut go = Go::at(&server).await;
        for _ in 0..15 {
            let token = go
                .retry_lock("k", TTL, 1_000_000, Duration::from_millis(1))
                .await;
            work().await;
            go.release_lock("k", &token.expect("its turn"))
                .await
                .expect("theirs");
        }
    };
    let ours = async |locker: &Locker| {
        for _ in 0..15 {
            let request = locker.lock("k").ttl(TTL).wait(LIMIT);
            request.run(work()).await.expect("its turn");
        }
    };
    tokio::join!(theirs(), theirs(), ours(&locker), ours(&locker));
    assert_eq!(total.get(), 60);
    until(LIMIT, "the key is gone", async || !server.exists("k").await).await;
}
