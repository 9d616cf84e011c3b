//! Within `min_hold`, the key stays, whatever became of the body.

#[path = "common/stuck.rs"]
mod stuck;

use std::pin::pin;
use std::time::{Duration, Instant};

use redis_locked::{LockError, LockRequest, Locker};
use redis_locked_test_support::{Server, bulk, until};
use stuck::{LIMIT, Stuck, TTL};
use tokio::time::sleep;

const MIN_HOLD: Duration = Duration::from_secs(30);
/// What rounding to whole milliseconds may cost, here and on the server.
const GRAIN: Duration = Duration::from_millis(3);

/// With time limits that no loaded machine reaches.
async fn connected(url: &str) -> Locker {
    let builder = Locker::builder()
        .connection_timeout(LIMIT)
        .response_timeout(LIMIT);
    builder.connect(url).await.expect("connected")
}

struct Hold {
    server: Server,
    locker: Locker,
    started: Instant,
}

impl Hold {
    async fn new() -> Self {
        let server = Server::start().await;
        let locker = connected(&server.url()).await;
        Self {
            server,
            locker,
            started: Instant::now(),
        }
    }

    fn request(&self) -> LockRequest {
        self.locker.lock("key").ttl(TTL).min_hold(MIN_HOLD)
    }

    async fn left(&self) -> Duration {
        let left = self.server.pttl("key").await;
        Duration::from_millis(left.try_into().unwrap_or(0))
    }

    /// The key stays for the rest of `min_hold`, and no longer.
    async fn assert_kept(&self) {
        until(LIMIT, "the ttl is cut to min_hold", async || {
            self.left().await <= MIN_HOLD
        })
        .await;
        let left = self.left().await;
        assert!(
            left + self.started.elapsed() + GRAIN >= MIN_HOLD,
            "only {left:?} left"
        );
        let again = self.locker.lock("key").acquire().await;
        assert!(again.is_err_and(|error| error.is_busy()));
        self.locker.shutdown().await;
        assert!(self.server.exists("key").await, "shutdown took it");
    }
}

#[tokio::test]
async fn after_the_end_of_the_body() {
    let hold = Hold::new().await;
    hold.request().run(async {}).await.expect("locked");
    hold.assert_kept().await;
}

#[tokio::test]
async fn after_an_error_of_the_body() {
    let hold = Hold::new().await;
    let result = hold.request().run(async { Err::<(), _>("no") }).await;
    assert_eq!(result.expect("locked"), Err("no"));
    hold.assert_kept().await;
}

#[tokio::test]
async fn after_a_panic() {
    let hold = Hold::new().await;
    let body = async { std::panic::resume_unwind(Box::new("on purpose")) };
    let result = tokio::spawn(hold.request().run(body)).await;
    assert!(result.is_err_and(|error: tokio::task::JoinError| error.is_panic()));
    hold.assert_kept().await;
}

#[tokio::test]
async fn after_the_future_was_dropped() {
    let hold = Hold::new().await;
    let begun = tokio::sync::Notify::new();
    {
        let mut running = pin!(hold.request().run(async {
            begun.notify_one();
            std::future::pending::<()>().await;
        }));
        tokio::select! {
            _ = &mut running => panic!("it never ends"),
            () = begun.notified() => {}
        }
    }
    hold.assert_kept().await;
}

#[tokio::test]
async fn after_a_cut_off() {
    let hold = Hold::new().await;
    let request = hold.request().renew().max_hold(Duration::from_millis(50));
    let error: LockError = request.run(sleep(TTL)).await.expect_err("cut off");
    assert!(error.is_lost());
    hold.assert_kept().await;
}

#[tokio::test]
async fn after_a_guard_was_released() {
    let hold = Hold::new().await;
    let guard = hold.request().acquire().await.expect("locked");
    guard.release().await.expect("released");
    hold.assert_kept().await;
}

#[tokio::test]
async fn after_a_guard_was_dropped() {
    let hold = Hold::new().await;
    drop(hold.request().acquire().await.expect("locked"));
    hold.assert_kept().await;
}

/// The next in this process's line gets it when the time is over, as everybody else does.
#[tokio::test]
async fn it_is_not_handed_over_meanwhile() {
    const SHORT: Duration = Duration::from_millis(40);
    let hold = Hold::new().await;
    let request = || hold.locker.lock("key").ttl(TTL).wait(LIMIT);
    let started = Instant::now();
    let first = request().min_hold(SHORT).acquire().await.expect("free");
    let next = async {
        let guard = request().acquire().await.expect("free again");
        assert!(started.elapsed() + GRAIN >= SHORT, "handed over");
        guard.release().await.expect("held");
    };
    let releasing = async {
        tokio::task::yield_now().await;
        first.release().await.expect("held");
    };
    tokio::join!(next, releasing);
    assert!(!hold.server.exists("key").await);
}

/// An extension that is due while the release is under way must not bring the ttl back.
#[tokio::test]
async fn an_extension_that_falls_due_during_the_release_does_not_prolong_it() {
    const RENEWED: Duration = Duration::from_secs(2);
    let server = Server::start().await;
    let proxy = server.proxy().await;
    let locker = connected(&proxy.url()).await;
    let warm = locker.lock("warm").min_hold(Duration::from_millis(1));
    warm.acquire()
        .await
        .expect("free")
        .release()
        .await
        .expect("held");
    let request = locker.lock("key").ttl(RENEWED).renew();
    let guard = request.min_hold(RENEWED / 2).acquire().await.expect("free");
    proxy.stall_requests(true);
    proxy.forget();
    let releasing = tokio::spawn(guard.release());
    proxy.wait_for_request_here(bulk("EVALSHA"), LIMIT).await;
    // The extension is due when a quarter of the ttl has passed.
    sleep(RENEWED / 3).await;
    proxy.stall_requests(false);
    releasing.await.expect("no panic").expect("released");
    let left = server.pttl("key").await;
    assert!(left <= 1_000, "{left} ms left");
    locker.shutdown().await;
    let left = server.pttl("key").await;
    assert!(left <= 1_000, "{left} ms left");
}

/// An extension that arrives after the release finds nothing that it could extend.
#[tokio::test]
async fn an_extension_that_arrives_after_the_release_stretches_it_to_a_whole_ttl() {
    let stuck = Stuck::start().await;
    let request = stuck.locker.lock("k").ttl(TTL).min_hold(MIN_HOLD);
    let guard = request.acquire().await.expect("free");
    stuck.begin();
    let error = guard.extend(TTL).await.expect_err("it is stuck");
    assert!(error.is_backend(), "{error}");
    guard.release().await.expect("ours");
    let kept = stuck.server.pttl("k").await;
    assert!((1..=30_000).contains(&kept), "{kept} ms left");
    stuck.arrives().await;
    let left = stuck.server.pttl("k").await;
    assert!(
        (1..=kept).contains(&left),
        "{left} ms left, and {kept} before"
    );
}

/// The same by the keeper, for a body that renewed its lock.
#[tokio::test]
async fn a_renewal_that_arrives_after_the_release_stretches_it_to_a_whole_ttl() {
    const RENEWED: Duration = Duration::from_secs(16);
    let stuck = Stuck::start().await;
    // Renewals go over the second connection, which is open from the first on.
    let warm = stuck
        .locker
        .lock("warm")
        .ttl(Duration::from_secs(1))
        .renew();
    let warm = warm.acquire().await.expect("free");
    until(LIMIT, "the second connection is open", async || {
        stuck.proxy.accepted() > 1
    })
    .await;
    warm.release().await.expect("ours");
    let request = stuck.locker.lock("k").ttl(RENEWED).renew();
    let guard = request.min_hold(RENEWED / 2).acquire().await.expect("free");
    stuck.begin();
    // A quarter of the ttl has passed.
    stuck.wait_until_stuck("16000").await;
    // The next one has an answer, on another connection.
    stuck.proxy.wait_for_request(bulk("16000"), LIMIT).await;
    guard.release().await.expect("ours");
    stuck.arrives().await;
    let left = stuck.server.pttl("k").await;
    assert!(left <= 8_000, "{left} ms left");
}
