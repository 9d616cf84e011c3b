//! Extending a lease by hand.

use std::time::Duration;

use redis_locked::{Lease, LockError, Locker, redis_locked};
use redis_locked_test_support::Server;
use tokio::time::sleep;

const TTL: Duration = Duration::from_millis(1500);
const LONG: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(20);

/// With time limits that no loaded machine reaches.
async fn connected(url: &str) -> Locker {
    let builder = Locker::builder()
        .connection_timeout(LIMIT)
        .response_timeout(LIMIT);
    builder.connect(url).await.expect("connected")
}

async fn redis() -> (Server, Locker) {
    let server = Server::start().await;
    let locker = connected(&server.url()).await;
    (server, locker)
}

#[redis_locked(key = "key", ttl = TTL, bind = lease, locker = locker)]
async fn asks_for_more(locker: &Locker) -> Result<(), LockError> {
    lease.extend(LONG).await?;
    sleep(2 * TTL).await;
    assert!(lease.is_held());
    Ok(())
}

#[tokio::test]
async fn a_body_that_asks_for_more_gets_it() {
    let (server, locker) = redis().await;
    asks_for_more(&locker).await.expect("not cut off");
    assert!(!server.exists("key").await);
}

#[tokio::test]
async fn the_deadline_and_the_key_move_along() {
    let (server, locker) = redis().await;
    let guard = locker.lock("key").ttl(TTL).acquire().await.expect("free");
    guard.extend(LONG).await.expect("held");
    let remaining = guard.remaining();
    assert!(remaining > LONG / 2 && remaining < LONG, "{remaining:?}");
    assert!(server.pttl("key").await > 30_000);
}

#[tokio::test]
async fn it_never_shortens_what_is_left() {
    let (server, locker) = redis().await;
    let guard = locker.lock("key").ttl(LONG).acquire().await.expect("free");
    guard.extend(TTL).await.expect("held");
    assert!(guard.remaining() > LONG / 2);
    assert!(server.pttl("key").await > 30_000);
}

#[tokio::test]
async fn it_does_not_reach_beyond_max_hold() {
    let (_server, locker) = redis().await;
    let request = locker.lock("key").ttl(TTL).renew().max_hold(2 * TTL);
    let error = request
        .run(async {
            let lease = Lease::current().expect("in a body");
            lease.extend(LONG).await.expect("held");
            assert!(lease.remaining() <= 2 * TTL);
            sleep(LONG).await;
        })
        .await
        .expect_err("cut off");
    assert!(error.is_lost());
}

#[tokio::test]
async fn a_ttl_that_no_request_may_have_is_refused() {
    let (_server, locker) = redis().await;
    let guard = locker.lock("key").ttl(LONG).acquire().await.expect("free");
    for ttl in [Duration::ZERO, Duration::from_millis(9), Duration::MAX] {
        let error = guard.extend(ttl).await.expect_err("refused");
        assert!(matches!(error, LockError::InvalidRequest { .. }), "{error}");
    }
    assert!(guard.is_held());
}

#[tokio::test]
async fn a_broken_redis_leaves_the_deadline_as_it_was() {
    let (server, locker) = redis().await;
    let guard = locker.lock("key").ttl(LONG).acquire().await.expect("free");
    server.kill();
    let error = guard.extend(10 * LONG).await.expect_err("no server");
    assert!(error.is_backend(), "{error}");
    assert!(guard.is_held() && guard.remaining() <= LONG);
}

#[tokio::test]
async fn a_key_that_is_someone_elses_is_left_alone() {
    let (server, locker) = redis().await;
    let guard = locker.lock("key").ttl(LONG).acquire().await.expect("free");
    server.set_px("key", "thief", 30_000).await;
    let error = guard.extend(10 * LONG).await.expect_err("taken over");
    assert!(error.is_lost(), "{error}");
    assert_eq!(server.get("key").await.as_deref(), Some("thief"));
    assert!(server.pttl("key").await <= 30_000);
}
