//! Durations that no clock can count to: an error, or no limit, but never a panic.

mod common;

use std::time::Duration;

use common::{LIMIT, redis};
use redis_locked::{Backoff, LockError, Locker, LockerBuilder};
use redis_locked_test_support::Server;
use tokio::time::timeout;

const TTL: Duration = Duration::from_secs(60);

/// Each breaks another sum or another clock.
const TOO_LONG: [Duration; 4] = [
    Duration::MAX,
    Duration::from_secs(u64::MAX / 2),
    Duration::from_secs(i64::MAX as u64),
    Duration::from_millis(u64::MAX),
];

/// All that a locker does, with nobody in its way.
async fn works(locker: &Locker) {
    let guard = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    guard.extend(TTL * 2).await.expect("ours");
    let error = locker.lock("k").acquire().await.expect_err("held");
    assert!(error.is_busy(), "{error}");
    let waiting = tokio::spawn(locker.lock("k").wait(LIMIT).acquire());
    guard.release().await.expect("ours");
    let next = waiting.await.expect("no panic").expect("free");
    drop(next);
    locker.shutdown().await;
    let renewed = locker.lock("k").ttl(TTL).renew().run(async {}).await;
    renewed.expect("free");
}

#[tokio::test]
async fn a_timeout_is_no_limit() {
    let server = Server::start().await;
    for long in TOO_LONG {
        let builder = patient(long);
        let locker = builder.clone().connect(&server.url()).await;
        works(&locker.expect("connected")).await;
        works(&builder.clone().from_client(server.client())).await;
        let locker = builder.replicas(0, long).connect(&server.url()).await;
        works(&locker.expect("connected")).await;
    }
}

fn patient(long: Duration) -> LockerBuilder {
    Locker::builder()
        .connection_timeout(long)
        .response_timeout(long)
}

#[tokio::test]
async fn a_server_timeout_is_no_limit() {
    let servers = [
        Server::start().await,
        Server::start().await,
        Server::start().await,
    ];
    for long in TOO_LONG {
        let builder = patient(long).server_timeout(long);
        let locker = builder.connect_quorum(servers.each_ref().map(Server::url));
        works(&locker.await.expect("connected")).await;
    }
}

#[tokio::test]
async fn a_wait_and_a_pause_have_no_end() {
    let (_server, redis) = redis().await;
    for locker in [redis, Locker::in_memory()] {
        for long in TOO_LONG {
            let held = locker.lock("k").ttl(TTL).acquire().await.expect("free");
            let retrying = |backoff: Backoff| {
                let request = locker.lock("k").retries(3).backoff(backoff);
                tokio::spawn(timeout(TTL / 600, request.acquire()))
            };
            let mut paused = Vec::new();
            for _ in 0..10 {
                paused.push(retrying(long.into()));
                paused.push(retrying(Backoff::exponential(long, long)));
                paused.push(retrying(Backoff::exponential(long, TTL)));
            }
            for paused in paused {
                let paused = paused.await.expect("no panic");
                assert!(paused.is_err(), "{long:?}: {paused:?}");
            }
            let backoff = Backoff::exponential(Duration::ZERO, long);
            let error = locker.lock("k").retries(3).backoff(backoff).acquire().await;
            assert!(error.expect_err("held").is_busy());

            let waiting = tokio::spawn(locker.lock("k").wait(long).acquire());
            tokio::task::yield_now().await;
            held.release().await.expect("ours");
            let next = timeout(LIMIT, waiting).await.expect("woken");
            let next = next.expect("no panic").expect("free");
            next.release().await.expect("ours");
        }
    }
}

#[tokio::test]
async fn a_hold_is_refused() {
    let locker = Locker::in_memory();
    let guard = locker.lock("held").acquire().await.expect("free");
    for long in TOO_LONG {
        let by_default = Locker::builder().default_ttl(long).in_memory();
        for error in [
            locker.lock("k").ttl(long).run(async {}).await,
            locker.lock("k").renew().max_hold(long).run(async {}).await,
            locker.lock("k").renew().min_hold(long).run(async {}).await,
            by_default.lock("k").run(async {}).await,
            guard.extend(long).await,
        ] {
            let error = error.expect_err("refused");
            assert!(matches!(error, LockError::InvalidRequest { .. }), "{error}");
            assert!(error.to_string().contains("ten years"), "{error}");
        }
    }
}
