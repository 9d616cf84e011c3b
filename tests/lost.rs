//! How a loss is told: at once where the server tells, else at the deadline.

use std::time::Duration;

use redis_locked::{LockError, LockGuard, Locker, LostReason};
use redis_locked_test_support::{Event, Logs, Proxy, Server, bulk, until};
use tokio::sync::oneshot;
use tokio::time::{sleep, timeout};
use tracing::Level;

const TTL: Duration = Duration::from_millis(600);
/// Long enough that an extension gets through in time on a loaded machine.
const RENEWED: Duration = Duration::from_secs(4);
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

async fn renewed(locker: &Locker) -> LockGuard {
    let request = locker.lock("key").ttl(RENEWED).renew();
    request.acquire().await.expect("free")
}

/// The reason, as all who ask are told.
async fn loss(guard: &LockGuard) -> LostReason {
    let reason = timeout(LIMIT, guard.lost()).await.expect("told");
    assert!(!guard.is_held());
    assert_eq!(guard.remaining(), Duration::ZERO);
    assert_eq!(guard.lease().lost().await, reason, "a clone says otherwise");
    match guard.extend(LONG).await {
        Err(LockError::Lost { reason: again, .. }) => assert_eq!(again, reason),
        other => panic!("{other:?}"),
    }
    assert!(!guard.is_held(), "the extension brought it back");
    reason
}

#[tokio::test]
async fn a_lease_that_nobody_extends_is_lost_at_its_deadline() {
    let (_server, locker) = redis().await;
    let guard = locker.lock("key").ttl(TTL).acquire().await.expect("free");
    assert!(guard.is_held() && guard.remaining() < TTL && !guard.remaining().is_zero());
    assert_eq!(loss(&guard).await, LostReason::Expired);
}

#[tokio::test]
async fn a_deleted_key_is_noticed() {
    let (server, locker) = redis().await;
    let guard = renewed(&locker).await;
    assert!(server.del("key").await);
    assert_eq!(loss(&guard).await, LostReason::Deleted);
}

/// What somebody else wrote is neither extended, nor overwritten, nor deleted.
#[tokio::test]
async fn a_key_that_is_taken_over_is_noticed_and_left_alone() {
    let (server, locker) = redis().await;
    let monitor = server.monitor();
    let guard = renewed(&locker).await;
    server.set_px("key", "thief", 60_000).await;
    assert_eq!(loss(&guard).await, LostReason::TakenOver);
    drop(guard);
    locker.shutdown().await;
    assert_eq!(server.get("key").await.as_deref(), Some("thief"));
    let events = monitor.events().await;
    let changes = |event: &&Event| {
        let by_us = !event.is("get", "key") && !event.is("pttl", "key");
        event.is_from_script() && by_us
    };
    let after_the_theft: Vec<_> = events.iter().filter(changes).collect();
    assert!(
        after_the_theft
            .iter()
            .all(|event| event.command() == "pexpire"),
        "{after_the_theft:#?}"
    );
    assert!(server.pttl("key").await > 50_000);
}

#[tokio::test]
async fn max_hold_is_a_reason_of_its_own() {
    let (_server, locker) = redis().await;
    let request = locker.lock("key").ttl(LONG).renew().max_hold(TTL);
    let guard = request.acquire().await.expect("free");
    assert!(guard.remaining() <= TTL);
    assert_eq!(loss(&guard).await, LostReason::MaxHold);
}

#[tokio::test]
async fn a_body_is_told_with_the_same_reasons() {
    let (server, locker) = redis().await;
    let running = tokio::spawn(locker.lock("key").ttl(RENEWED).renew().run(sleep(LONG)));
    until(LIMIT, "locked", async || server.exists("key").await).await;
    server.set_px("key", "thief", 60_000).await;
    let error = running.await.expect("no panic").expect_err("cut off");
    assert!(
        matches!(
            error,
            LockError::Lost {
                reason: LostReason::TakenOver,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(server.get("key").await.as_deref(), Some("thief"));
}

/// Whoever is cut off wants to know whether Redis was asked, and what it said.
#[tokio::test]
async fn a_renewal_that_failed_says_how_often_it_was_tried_and_the_last_cause() {
    let (server, locker) = redis().await;
    let (logs, _guard) = Logs::of_this_thread();
    let (entered, in_body) = oneshot::channel();
    let body = async {
        entered.send(()).expect("waited for");
        sleep(LONG).await;
    };
    let running = tokio::spawn(locker.lock("key").ttl(RENEWED).renew().run(body));
    in_body.await.expect("locked");
    let address = format!(", at 127.0.0.1:{}", server.port());
    server.kill();
    let error = running.await.expect("no panic").expect_err("cut off");
    let LockError::Lost {
        failed_extensions, ..
    } = error
    else {
        panic!("{error}");
    };
    assert!(failed_extensions > 1, "{error}");
    let text = error.to_string();
    let tried = format!("its deadline passed, as {failed_extensions} extensions had failed, ");
    let cause = format!("the last one: Redis refused the connection{address}; check");
    for part in [&tried, &cause] {
        assert!(text.contains(part), "{text}");
    }
    let source = std::error::Error::source(&error).expect("a cause");
    assert!(source.to_string().contains("refused"), "{source}");
    let warning = logs.find(Level::WARN, "lock lost").expect("a warning");
    assert!(warning.fields["reason"].contains(&cause), "{warning:?}");
}

/// What has passed by the time of a loss has nothing to do with it.
#[tokio::test]
async fn an_extension_that_failed_before_one_went_well_is_no_cause() {
    let (server, proxy, locker) = behind_a_proxy().await;
    let (logs, _guard) = Logs::of_this_thread();
    let guard = renewed(&locker).await;
    proxy.refuse(true).await;
    proxy.cut().await;
    until(LIMIT, "an extension fails", async || {
        logs.find(Level::DEBUG, "not extended yet").is_some()
    })
    .await;
    proxy.refuse(false).await;
    until(LIMIT, "it is extended", async || {
        guard.extend(RENEWED).await.is_ok()
    })
    .await;
    assert!(server.del("key").await);
    let error = until_lost(&guard).await;
    let LockError::Lost {
        reason: LostReason::Deleted,
        failed_extensions: 0,
        source: None,
        ..
    } = error
    else {
        panic!("{error:?}");
    };
    assert!(error.to_string().contains("FLUSHALL"), "{error}");
}

async fn until_lost(guard: &LockGuard) -> LockError {
    timeout(LIMIT, guard.lost()).await.expect("told");
    guard.extend(LONG).await.expect_err("lost")
}

#[tokio::test]
async fn a_released_lock_is_not_lost() {
    let (_server, locker) = redis().await;
    let guard = renewed(&locker).await;
    let lease = guard.lease();
    guard.release().await.expect("held");
    assert!(!lease.is_held() && lease.remaining().is_zero());
    assert!(timeout(RENEWED / 2, lease.lost()).await.is_err());
    match lease.extend(LONG).await {
        Err(LockError::NotHeld { key, .. }) => assert_eq!(key, "key"),
        other => panic!("{other:?}"),
    }
}

async fn behind_a_proxy() -> (Server, Proxy, Locker) {
    let server = Server::start().await;
    let proxy = server.proxy().await;
    let locker = connected(&proxy.url()).await;
    let warm = locker.lock("warm").acquire().await.expect("free");
    warm.extend(LONG).await.expect("held");
    warm.release().await.expect("held");
    (server, proxy, locker)
}

/// The server extends the key in time; its answer comes when the deadline has passed.
#[tokio::test]
async fn the_late_success_of_an_extension_does_not_bring_a_lease_back() {
    let (server, proxy, locker) = behind_a_proxy().await;
    let monitor = server.monitor();
    let guard = renewed(&locker).await;
    proxy.stall_answers(true);
    let extended = |event: &Event| event.is("pexpire", "key") && event.is_from_script();
    monitor.wait_for(extended, LIMIT).await;
    assert_eq!(timeout(LIMIT, guard.lost()).await, Ok(LostReason::Expired));
    proxy.forget();
    proxy.stall_answers(false);
    until(LIMIT, "the answers have come", async || {
        proxy.count_answers(":1") > 0
    })
    .await;
    assert_eq!(loss(&guard).await, LostReason::Expired);
    drop(guard);
    locker.shutdown().await;
    assert!(!server.exists("key").await);
}

/// An extension and the release meet: whichever comes first, the key goes and nothing is lost.
#[tokio::test]
async fn an_extension_under_way_at_the_release_does_no_harm() {
    let (server, proxy, locker) = behind_a_proxy().await;
    let (logs, _guard) = Logs::of_this_thread();
    for extension_first in [true, false] {
        let guard = renewed(&locker).await;
        let lease = guard.lease();
        proxy.stall_requests(true);
        proxy.forget();
        let releasing = if extension_first {
            proxy.wait_for_request_here(bulk("4000"), LIMIT).await;
            tokio::spawn(guard.release())
        } else {
            let releasing = tokio::spawn(guard.release());
            proxy.wait_for_request_here(bulk("EVALSHA"), LIMIT).await;
            // The time at which it is due.
            sleep(RENEWED / 3).await;
            releasing
        };
        proxy.stall_requests(false);
        releasing.await.expect("no panic").expect("held");
        assert!(!server.exists("key").await);
        assert!(timeout(RENEWED / 3, lease.lost()).await.is_err());
        assert!(!server.exists("key").await);
    }
    assert!(logs.find(Level::WARN, "").is_none(), "{:?}", logs.events());
}
