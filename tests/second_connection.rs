//! Waiting where no second connection can be had, or one is forgotten by something between.

mod common;

use std::time::{Duration, Instant};

use common::{LIMIT, locker_at, redis};
use redis_locked::{LockError, LockGuard, Locker};
use redis_locked_test_support::{Logs, Proxy, Server, until};
use tokio::task::JoinHandle;
use tracing::Level;

const TTL: Duration = Duration::from_secs(60);
/// The most that passes between two questions of who is not told, and a loaded machine's own time.
const SOON: Duration = Duration::from_secs(8);

/// What a proxy may not know, and may close a connection at.
const UNKNOWN: [&str; 2] = ["HELLO", "TRACKING"];

/// A caller that waits for a key which another program holds.
async fn waiter(server: &Server, locker: &Locker) -> JoinHandle<Result<LockGuard, LockError>> {
    server.set_px("k", "theirs", 60_000).await;
    server.reset_stats().await;
    let waiter = tokio::spawn(locker.lock("k").ttl(TTL).wait(LIMIT).acquire());
    until(LIMIT, "it asks who has the key", async || {
        let calls = server.command_calls().await;
        ["evalsha", "eval"]
            .iter()
            .any(|name| calls.contains_key(*name))
    })
    .await;
    waiter
}

async fn is_granted_soon(server: &Server, waiter: JoinHandle<Result<LockGuard, LockError>>) {
    let freed = Instant::now();
    server.del("k").await;
    let guard = waiter.await.expect("no panic").expect("it is free");
    assert!(freed.elapsed() < SOON, "after {:?}", freed.elapsed());
    guard.release().await.expect("ours");
}

#[tokio::test]
async fn the_server_takes_no_more_connections() {
    let (logs, _collecting) = Logs::of_this_thread();
    let (server, locker) = redis().await;
    let taken = server.connections().await;
    server.set("maxclients", &taken.to_string()).await;
    let first = waiter(&server, &locker).await;
    is_granted_soon(&server, first).await;
    let told = logs
        .find(Level::WARN, "no second connection")
        .expect("told");
    let told = format!("{told:?}");
    assert!(told.contains("max number of clients reached"), "{told}");
    server.set("maxclients", "1000").await;
    let second = waiter(&server, &locker).await;
    server.wait_until_tracking(LIMIT).await;
    is_granted_soon(&server, second).await;
    // And whoever can't have the first is told the same.
    let taken = server.connections().await;
    server.set("maxclients", &taken.to_string()).await;
    let error = Locker::connect(&server.url()).await.expect_err("too many");
    let text = error.to_string();
    assert!(text.contains("max number of clients reached"), "{text}");
}

#[tokio::test]
async fn a_proxy_closes_the_connection_at_what_tracking_needs() {
    for word in UNKNOWN {
        let server = Server::start().await;
        let proxy = server.proxy().await;
        proxy.cut_at(word);
        let locker = locker_at(&proxy.url()).await;
        let first = waiter(&server, &locker).await;
        is_granted_soon(&server, first).await;
        proxy.cut_at("");
        let second = waiter(&server, &locker).await;
        server.wait_until_tracking(LIMIT).await;
        is_granted_soon(&server, second).await;
    }
}

#[tokio::test]
async fn a_proxy_closes_the_connection_at_the_name_of_the_client() {
    let server = Server::start().await;
    let proxy = server.proxy().await;
    proxy.cut_at("SETINFO");
    let locker = locker_at(&proxy.url()).await;
    let waiter = waiter(&server, &locker).await;
    server.wait_until_tracking(LIMIT).await;
    is_granted_soon(&server, waiter).await;
}

/// Forgotten without a word, it would not tell that the key is free before its expiry.
#[tokio::test]
async fn a_waiter_finds_out_that_its_connection_was_forgotten() {
    let server = Server::start().await;
    let proxy: Proxy = server.proxy().await;
    let builder = Locker::builder().response_timeout(Duration::from_secs(1));
    let locker = builder.connect(&proxy.url()).await.expect("connected");
    let waiter = waiter(&server, &locker).await;
    server.wait_until_tracking(LIMIT).await;
    proxy.silence();
    is_granted_soon(&server, waiter).await;
}

#[tokio::test]
async fn a_refusal_to_track_is_tried_again_after_a_reconnect() {
    let server = Server::start().await;
    let mut theirs = server.connection().await;
    let mut may_track = async |right: &str| {
        let mut user = redis::cmd("ACL");
        user.arg("SETUSER")
            .arg("app")
            .arg(&["on", ">secret", "~*", "&*", "+@all"]);
        let set = user.arg(right).query_async::<()>(&mut theirs).await;
        set.expect("a user");
    };
    may_track("-client|tracking").await;
    let locker = locker_at(&format!("redis://app:secret@127.0.0.1:{}", server.port())).await;
    let first = waiter(&server, &locker).await;
    is_granted_soon(&server, first).await;
    assert_eq!(server.tracked_keys().await, 0);
    may_track("+client|tracking").await;
    server.kill_clients().await;
    let second = waiter(&server, &locker).await;
    server.wait_until_tracking(LIMIT).await;
    is_granted_soon(&server, second).await;
}
