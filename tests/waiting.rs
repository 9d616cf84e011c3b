//! Waiting: woken when the lock is free, whoever frees it, and not a command before.

mod common;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use common::{LIMIT, locker_at, redis, until_watched};
use redis_locked::{LockError, LockGuard, Locker};
use redis_locked_test_support::Server;
use tokio::task::JoinHandle;

/// Longer than any test: who gets such a lock was woken.
const TTL: Duration = Duration::from_secs(60);
const COMPARE_AND_DELETE: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

type Waiter = JoinHandle<Result<LockGuard, LockError>>;

/// A caller that has found `k` busy, has a seat in the line, and has asked Redis to tell when `k` is
/// changed.
async fn waiter(server: &Server, locker: &Locker) -> Waiter {
    let monitor = server.monitor();
    let waiter = tokio::spawn(locker.lock("k").ttl(TTL).wait(LIMIT).acquire());
    until_watched(&monitor, "k").await;
    waiter
}

async fn gets_it(waiter: Waiter) -> LockGuard {
    waiter.await.expect("no panic").expect("woken")
}

/// A server whose `k` another program holds, and a waiter.
async fn behind_another_program() -> (Server, Locker, Waiter) {
    let (server, locker) = redis().await;
    assert!(server.set_nx_px("k", "theirs", 60_000).await);
    let waiter = waiter(&server, &locker).await;
    (server, locker, waiter)
}

#[tokio::test]
async fn released_by_another_process() {
    let (server, locker) = redis().await;
    let other = locker_at(&server.url()).await;
    let held = other.lock("k").ttl(TTL).acquire().await.expect("free");
    let waiter = waiter(&server, &locker).await;
    held.release().await.expect("ours");
    assert!(gets_it(waiter).await.is_held());
}

#[tokio::test]
async fn released_by_this_process_where_the_holder_did_not_wait() {
    let (server, locker) = redis().await;
    let held = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    let waiter = waiter(&server, &locker).await;
    held.release().await.expect("ours");
    assert!(gets_it(waiter).await.is_held());
}

#[tokio::test]
async fn deleted_by_anyone() {
    let (server, _locker, waiter) = behind_another_program().await;
    assert!(server.del("k").await);
    drop(gets_it(waiter).await);
}

#[tokio::test]
async fn released_by_another_program() {
    let (server, _locker, waiter) = behind_another_program().await;
    let mut theirs = server.connection().await;
    let mut release = redis::cmd("EVAL");
    release
        .arg(COMPARE_AND_DELETE)
        .arg(1)
        .arg("k")
        .arg("theirs");
    let deleted: u32 = release.query_async(&mut theirs).await.expect("answered");
    assert_eq!(deleted, 1);
    drop(gets_it(waiter).await);
}

#[tokio::test]
async fn flushed() {
    for flush in ["FLUSHALL", "FLUSHDB"] {
        let (server, _locker, waiter) = behind_another_program().await;
        let mut theirs = server.connection().await;
        let () = redis::cmd(flush)
            .query_async(&mut theirs)
            .await
            .expect(flush);
        drop(gets_it(waiter).await);
    }
}

#[tokio::test]
async fn renamed_away() {
    let (server, _locker, waiter) = behind_another_program().await;
    let mut theirs = server.connection().await;
    let mut rename = redis::cmd("RENAME");
    rename.arg("k").arg("other");
    let () = rename.query_async(&mut theirs).await.expect("renamed");
    drop(gets_it(waiter).await);
}

#[tokio::test]
async fn expired_at_once_though_redis_tells_late() {
    const LEFT: u64 = 150;
    const LATE: Duration = Duration::from_millis(25);
    let (server, locker) = redis().await;
    // From now on it does not tell at all.
    let mut debug = redis::cmd("DEBUG");
    debug.arg("SET-ACTIVE-EXPIRE").arg(0);
    let mut theirs = server.connection().await;
    let () = debug.query_async(&mut theirs).await.expect("set");
    let mut soonest = Duration::MAX;
    // The machine may be busy with something else at the moment.
    for key in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        assert!(server.set_nx_px(key, "theirs", LEFT).await);
        let set = Instant::now();
        let guard = locker
            .lock(key)
            .wait(LIMIT)
            .acquire()
            .await
            .expect("expired");
        soonest = soonest.min(set.elapsed());
        drop(guard);
    }
    assert!(soonest < Duration::from_millis(LEFT) + LATE, "{soonest:?}");
}

#[tokio::test]
async fn a_key_without_an_expiry() {
    let (server, locker) = redis().await;
    let mut theirs = server.connection().await;
    let mut set = redis::cmd("SET");
    set.arg("k").arg("theirs");
    let () = set.query_async(&mut theirs).await.expect("set");
    let waiter = waiter(&server, &locker).await;
    server.del("k").await;
    drop(gets_it(waiter).await);
}

#[tokio::test]
async fn a_free_lock_takes_no_waiting() {
    let (server, locker) = redis().await;
    // The server learns the script.
    let warm = locker.lock("warm").wait(LIMIT).run(async {});
    warm.await.expect("free");
    server.reset_stats().await;
    let guard = locker.lock("k").wait(LIMIT).acquire().await.expect("free");
    let one = ["evalsha", "get", "exists", "set"].map(|name| (name.to_owned(), 1));
    assert_eq!(server.command_calls().await, BTreeMap::from(one));
    assert_eq!(server.connections().await, 1);
    guard.release().await.expect("ours");
}

#[tokio::test]
async fn no_command_while_it_is_held() {
    let (server, locker, first) = behind_another_program().await;
    let more: Vec<_> = (0..20)
        .map(|_| tokio::spawn(locker.lock("k").wait(LIMIT).run(async {})))
        .collect();
    server.reset_stats().await;
    // Nothing is to happen: there is no event to wait for.
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(server.command_calls().await, BTreeMap::new());
    server.del("k").await;
    gets_it(first).await.release().await.expect("ours");
    for waiter in more {
        waiter.await.expect("no panic").expect("its turn");
    }
}

#[tokio::test]
async fn the_wait_is_over() {
    const WAIT: Duration = Duration::from_millis(150);
    let server = Server::start().await;
    let builder = Locker::builder().owner("web-3:812").prefix("app:");
    let other = builder.connect(&server.url()).await.expect("connected");
    let held = other.lock("k").ttl(TTL).acquire().await.expect("free");
    let builder = Locker::builder().prefix("app:");
    let locker = builder.connect(&server.url()).await.expect("connected");
    let started = Instant::now();
    let error = locker
        .lock("k")
        .wait(WAIT)
        .acquire()
        .await
        .expect_err("held");
    assert!(started.elapsed() >= WAIT);
    let LockError::Busy {
        key,
        waited,
        owner,
        attempts,
        retry_after,
        ..
    } = error
    else {
        panic!("{error}")
    };
    assert_eq!((key.as_str(), owner.as_deref()), ("k", Some("web-3:812")));
    assert!((WAIT..WAIT + LIMIT).contains(&waited), "{waited:?}");
    assert!(attempts >= 1);
    assert!(retry_after.is_some_and(|left| left > TTL / 2 && left <= TTL));
    assert!(held.is_held());
}

#[tokio::test]
async fn the_wait_is_over_behind_a_holder_of_the_same_process() {
    // Not so long that the lock goes to other processes next.
    const WAIT: Duration = Duration::from_millis(20);
    let (server, locker) = redis().await;
    let held = locker
        .lock("k")
        .ttl(TTL)
        .wait(LIMIT)
        .acquire()
        .await
        .expect("free");
    server.reset_stats().await;
    let error = locker
        .lock("k")
        .wait(WAIT)
        .acquire()
        .await
        .expect_err("held");
    let LockError::Busy { owner, waited, .. } = error else {
        panic!("{error}")
    };
    assert_eq!(owner.expect("known").as_str(), owner_of(&server).await);
    assert!(waited >= WAIT);
    let own = server.command_calls().await;
    assert!(
        !own.contains_key("set") && !own.contains_key("evalsha"),
        "{own:?}"
    );
    held.release().await.expect("ours");
}

async fn owner_of(server: &Server) -> String {
    let value = server.get("k").await.expect("held");
    value.split_once(';').expect("an owner").1.to_owned()
}

#[tokio::test]
async fn it_waits_for_ever_when_asked_to() {
    let (server, locker) = redis().await;
    assert!(server.set_nx_px("k", "theirs", 60_000).await);
    let monitor = server.monitor();
    let waiter = tokio::spawn(locker.lock("k").ttl(TTL).wait_forever().acquire());
    monitor
        .wait_for(
            |event| event.is_from_script() && event.is("get", "k"),
            LIMIT,
        )
        .await;
    server.del("k").await;
    drop(gets_it(waiter).await);
}

#[tokio::test]
async fn a_wait_of_any_length_has_time_for_one_look() {
    let (server, locker) = redis().await;
    for wait in [Duration::ZERO, Duration::from_nanos(1), Duration::MAX] {
        let guard = locker.lock("k").wait(wait).acquire().await.expect("free");
        guard.release().await.expect("ours");
    }
    assert!(server.set_nx_px("k", "theirs", 60_000).await);
    let mut waits = vec![Duration::ZERO, Duration::from_nanos(1)];
    waits.extend((1..40).map(|tenths| Duration::from_micros(100 * tenths)));
    for wait in waits {
        let error = locker
            .lock("k")
            .wait(wait)
            .acquire()
            .await
            .expect_err("held");
        assert!(error.is_busy(), "{wait:?}: {error}");
    }
    locker.shutdown().await;
    assert_eq!(server.get("k").await.as_deref(), Some("theirs"));
}
