//! What happened to Redis between two calls is no matter for the next: it works, with no retries.

mod common;

use std::time::Duration;

use common::{LIMIT, locker_at, redis};
use redis_locked::{LockError, Locker, redis_locked};
use redis_locked_test_support::{AfterLoss, Server, bulk, until};

const TTL: Duration = Duration::from_secs(60);
/// Longer than a connection is trusted that carries nothing.
const QUIET: Duration = Duration::from_millis(5_100);

#[redis_locked(key = "k", ttl = TTL)]
async fn call(meanwhile: impl Future<Output = ()>) -> Result<u32, LockError> {
    meanwhile.await;
    Ok(7)
}

async fn works(locker: &Locker) {
    let result = locker.scope(call(async {})).await;
    assert_eq!(result.expect("the next call works"), 7);
    let guard = locker.lock("k").ttl(TTL).acquire().await;
    guard.expect("works by hand").release().await.expect("ours");
}

#[tokio::test]
async fn scripts_flushed_between_acquire_and_release() {
    let (server, locker) = redis().await;
    for _ in 0..3 {
        let result = locker.scope(call(server.flush_scripts())).await;
        assert_eq!(result.expect("free"), 7);
        assert!(!server.exists("k").await, "not released");

        let guard = locker.lock("k").ttl(TTL).acquire().await.expect("free");
        server.flush_scripts().await;
        guard.extend(TTL * 2).await.expect("ours");
        assert!(server.pttl("k").await > 60_000);
        server.flush_scripts().await;
        guard.release().await.expect("ours");
        assert!(!server.exists("k").await);

        let guard = locker.lock("k").ttl(TTL).acquire().await.expect("free");
        server.flush_scripts().await;
        drop(guard);
        until(LIMIT, "the key is gone", async || !server.exists("k").await).await;

        server.flush_scripts().await;
        let fenced = locker.lock("k").ttl(TTL).fenced().acquire().await;
        fenced.expect("free").release().await.expect("ours");
    }
}

#[tokio::test]
async fn a_renewed_lease_outlives_flushed_scripts() {
    let (server, locker) = redis().await;
    let ttl = Duration::from_secs(2);
    let request = locker.lock("k").ttl(ttl).renew();
    let guard = request.acquire().await.expect("free");
    for _ in 0..2 {
        server.flush_scripts().await;
        let lost = tokio::time::timeout(ttl * 5 / 4, guard.lost()).await;
        assert_eq!(lost.ok(), None);
    }
    guard.release().await.expect("ours");
}

#[tokio::test]
async fn redis_restarted_empty_between_two_calls() {
    let (server, locker) = redis().await;
    for _ in 0..3 {
        works(&locker).await;
        server.restart().await;
    }
    works(&locker).await;
}

#[tokio::test]
async fn redis_restarted_after_calls_that_failed() {
    let (server, locker) = redis().await;
    for failures in 0..4 {
        works(&locker).await;
        server.kill();
        for _ in 0..failures {
            let error = locker.lock("k").acquire().await.expect_err("down");
            assert!(error.is_backend(), "{error}");
        }
        server.restart().await;
        works(&locker).await;
    }
}

#[tokio::test]
async fn redis_restarted_empty_while_a_lock_is_held() {
    let (server, locker) = redis().await;
    let guard = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    server.restart().await;
    // The release was asked for twice, since the connection had broken; so nobody can tell
    // whether the key was gone before it.
    if let Err(error) = guard.release().await {
        assert!(error.is_not_held(), "{error}");
    }

    let result = locker.scope(call(server.restart())).await;
    assert_eq!(result.expect("the body's result"), 7);
    works(&locker).await;

    let guard = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    server.restart().await;
    let other = locker_at(&server.url()).await;
    let theirs = other.lock("k").ttl(TTL).acquire().await.expect("free");
    // The same here: whose key it is now says nothing of whose it was when it was first asked.
    let released = guard.release().await;
    released.expect("a release that was sent twice is a release");
    theirs.release().await.expect("still theirs");
}

#[tokio::test]
async fn connections_killed_between_calls_and_during_one() {
    let (server, locker) = redis().await;
    for _ in 0..5 {
        works(&locker).await;
        server.kill_clients().await;
        let result = locker.scope(call(server.kill_clients())).await;
        assert_eq!(result.expect("free"), 7);
        assert!(!server.exists("k").await, "not released");
    }
    let guard = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    server.kill_clients().await;
    guard.extend(TTL * 2).await.expect("ours");
    server.kill_clients().await;
    drop(guard);
    until(LIMIT, "the key is gone", async || !server.exists("k").await).await;
}

#[tokio::test]
async fn a_waiter_whose_connections_are_killed_is_woken_all_the_same() {
    let (server, locker) = redis().await;
    server.set_px("k", "theirs", 60_000).await;
    let monitor = server.monitor();
    let waiting = tokio::spawn(locker.lock("k").ttl(TTL).wait_forever().acquire());
    let asked = |event: &redis_locked_test_support::Event| event.is("pttl", "k");
    monitor.wait_for(asked, LIMIT).await;
    server.kill_clients().await;
    server.del("k").await;
    let guard = tokio::time::timeout(LIMIT, waiting).await.expect("woken");
    let guard = guard.expect("no panic").expect("free");
    guard.release().await.expect("ours");
}

/// A grant whose answer is lost is found again by asking with the same token.
#[tokio::test]
async fn the_answer_to_the_acquisition_is_lost_with_the_connection() {
    let server = Server::start().await;
    let proxy = server.proxy().await;
    let locker = locker_at(&proxy.url()).await;
    // So that the server knows the script, and the lost answer is the release's own.
    works(&locker).await;
    proxy.drop_next_answer(bulk("SET"), AfterLoss::Cut);
    let guard = locker.lock("k").ttl(TTL).acquire().await;
    let guard = guard.expect("granted, and found out");
    assert_eq!(proxy.lost_answers(), 1);
    let value = server.get("k").await.expect("set");
    assert!(value.starts_with(guard.token()), "{value}");
    proxy.drop_next_answer(bulk("EVALSHA"), AfterLoss::Cut);
    guard.release().await.expect("released, and found out");
    assert_eq!(proxy.lost_answers(), 2);
    assert!(!server.exists("k").await);
}

/// As when a firewall forgets a connection that nobody has used for a while: it stays open, and
/// nothing comes back on it.
#[tokio::test]
async fn a_connection_that_has_gone_silent_is_replaced() {
    let server = Server::start().await;
    let proxy = server.proxy().await;
    let connect = async || {
        let builder = Locker::builder().response_timeout(Duration::from_secs(1));
        builder.connect(&proxy.url()).await.expect("connected")
    };
    let (locker, other) = (connect().await, connect().await);
    works(&locker).await;
    let held = other.lock("held").ttl(TTL).acquire().await.expect("free");
    tokio::time::sleep(QUIET).await;
    proxy.silence();
    works(&locker).await;
    held.release().await.expect("ours");
    // One that was in use a moment ago is not asked twice: the server has trouble.
    proxy.drop_next_answer(bulk("SET"), AfterLoss::Silence);
    let error = locker.lock("a").ttl(TTL).acquire().await;
    assert!(error.expect_err("no answer").is_backend());
    works(&locker).await;
    until(LIMIT, "nothing is left behind", async || {
        !server.exists("a").await
    })
    .await;
}
