//! A renewed lock's holder is told at once when others change its key, at no command more.

mod common;

use std::time::{Duration, Instant};

use common::{LIMIT, locker_at, redis};
use redis_locked::{LockGuard, Locker, LostReason};
#[cfg(feature = "cluster")]
use redis_locked_test_support::Cluster;
use redis_locked_test_support::{Event, Monitor, Server, until};
use tokio::time::{sleep, timeout};

/// The first extension comes after a quarter of it, and so would the next.
const TTL: Duration = Duration::from_secs(12);
/// Far less than a quarter of the ttl, far more than a round trip.
const AT_ONCE: Duration = Duration::from_millis(1500);

async fn renewed(locker: &Locker, key: &str) -> LockGuard {
    let request = locker.lock(key).ttl(TTL).renew();
    request.acquire().await.expect("free")
}

/// Until each was extended for the first time, and the server tells of changes.
async fn until_heard(server: &Server, guards: &[&LockGuard]) {
    let keys = u64::try_from(guards.len()).expect("few");
    until(LIMIT, "their changes are heard", async || {
        let is_extended = |guard: &&LockGuard| guard.remaining() > TTL / 10 * 9;
        server.tracked_keys().await >= keys && guards.iter().all(is_extended)
    })
    .await;
}

async fn lost_at_once(guard: &LockGuard, reason: LostReason) {
    let told = timeout(AT_ONCE, guard.lost()).await;
    assert_eq!(told, Ok(reason), "{}", guard.key());
    assert!(!guard.is_held());
}

#[tokio::test]
async fn whatever_others_do_to_the_key_is_heard() {
    let (server, locker) = redis().await;
    let [deleted, stolen, cut_short, flushed] = [
        renewed(&locker, "deleted").await,
        renewed(&locker, "stolen").await,
        renewed(&locker, "cut short").await,
        renewed(&locker, "flushed").await,
    ];
    until_heard(&server, &[&deleted, &stolen, &cut_short, &flushed]).await;
    let mut theirs = server.connection().await;

    assert!(server.del("deleted").await);
    lost_at_once(&deleted, LostReason::Deleted).await;

    server.set_px("stolen", "thief", 60_000).await;
    lost_at_once(&stolen, LostReason::TakenOver).await;

    let mut expire = redis::cmd("PEXPIRE");
    let shorter = expire.arg("cut short").arg(2_000);
    shorter.query_async::<()>(&mut theirs).await.expect("set");
    until(AT_ONCE, "it is extended at once", async || {
        server.pttl("cut short").await > 10_000
    })
    .await;
    assert!(cut_short.is_held() && flushed.is_held());

    let flush = redis::cmd("FLUSHALL");
    flush.query_async::<()>(&mut theirs).await.expect("flushed");
    lost_at_once(&flushed, LostReason::Deleted).await;
    lost_at_once(&cut_short, LostReason::Deleted).await;
    assert_eq!(server.get("stolen").await, None, "nothing is written again");
}

/// With `max_hold`, the last extension is long before the end.
#[tokio::test]
async fn it_is_heard_when_nothing_is_extended_any_more() {
    let (server, locker) = redis().await;
    let request = locker.lock("key").ttl(TTL).renew();
    let guard = request.max_hold(TTL + TTL / 6).acquire().await;
    let guard = guard.expect("free");
    server.wait_until_tracking(LIMIT).await;
    assert!(server.del("key").await);
    lost_at_once(&guard, LostReason::Deleted).await;
}

/// By the connection that redis-rs has to the key's node.
#[cfg(feature = "cluster")]
#[tokio::test]
async fn it_is_heard_on_a_cluster() {
    let cluster = Cluster::start().await;
    let connecting = Locker::builder().connect_cluster(cluster.urls());
    let locker = connecting.await.expect("the cluster answers");
    let guard = renewed(&locker, "key").await;
    let node = cluster.node(cluster.master_of("key").await);
    node.wait_until_tracking(LIMIT).await;
    assert!(node.del("key").await);
    lost_at_once(&guard, LostReason::Deleted).await;
}

#[tokio::test]
async fn it_is_heard_again_after_the_second_connection_was_lost() {
    let (server, locker) = redis().await;
    let guard = renewed(&locker, "key").await;
    until_heard(&server, &[&guard]).await;
    server.kill_clients().await;
    until(LIMIT, "it is heard again", async || {
        server.tracked_keys().await > 0
    })
    .await;
    assert!(server.del("key").await);
    lost_at_once(&guard, LostReason::Deleted).await;
}

/// What clients sent since then for locks, beside the opening of connections.
async fn sent_since(monitor: &Monitor, known: usize) -> Vec<String> {
    let events = monitor.events().await;
    let of_clients = events[known..]
        .iter()
        .filter(|event| !event.is_from_script());
    of_clients.map(Event::command).collect()
}

/// Nor does it hear itself: that would be an extension for each.
#[tokio::test]
async fn it_costs_no_command_more() {
    const SHORT: Duration = Duration::from_secs(2);
    let (server, locker) = redis().await;
    let monitor = server.monitor();
    let request = locker.lock("key").ttl(SHORT).renew();
    let guard = request.acquire().await.expect("free");
    let extended = |event: &Event| event.is("pexpire", "key");
    monitor.wait_for(extended, LIMIT).await;
    server.wait_until_tracking(LIMIT).await;
    let (known, since) = (monitor.events().await.len(), Instant::now());
    sleep(2 * SHORT).await;
    let sent = sent_since(&monitor, known).await;
    let lasted = since.elapsed();
    guard.release().await.expect("held");
    assert!(sent.iter().all(|command| command == "evalsha"), "{sent:?}");
    // One in each quarter of the ttl.
    let most = lasted.as_millis() / (SHORT / 4).as_millis() + 1;
    let count = u128::try_from(sent.len()).expect("few");
    assert!(count >= 2 && count <= most, "{count} in {lasted:?}");
}

async fn lives_without_the_second(is_open: bool) {
    const SHORT: Duration = Duration::from_millis(1200);
    let server = Server::start().await;
    let proxy = server.proxy().await;
    let locker = locker_at(&proxy.url()).await;
    let guard = locker.lock("key").ttl(SHORT).renew().acquire().await;
    let guard = guard.expect("free");
    if is_open {
        server.wait_until_tracking(LIMIT).await;
    }
    // All but the first.
    proxy.stall_connections(1..u64::MAX);
    sleep(3 * SHORT).await;
    assert!(guard.is_held(), "it was lost");
    guard.release().await.expect("held");
}

#[tokio::test]
async fn a_second_connection_that_falls_silent_costs_no_lock() {
    lives_without_the_second(true).await;
}

#[tokio::test]
async fn a_second_connection_that_is_never_answered_costs_no_lock() {
    lives_without_the_second(false).await;
}

/// One server may not know what another does: the first connection has the last word.
#[tokio::test]
async fn what_the_second_connection_does_not_find_is_no_loss() {
    let server = Server::start().await;
    let elsewhere = Server::start().await;
    let proxy = server.proxy().await;
    let locker = locker_at(&proxy.url()).await;
    let guard = renewed(&locker, "key").await;
    proxy.lead_to(elsewhere.port());
    until(LIMIT, "the second connection is opened", async || {
        proxy.accepted() > 1
    })
    .await;
    until(LIMIT, "it is extended", async || {
        guard.remaining() > TTL / 10 * 9
    })
    .await;
    assert!(guard.is_held());
    guard.release().await.expect("held");
}
