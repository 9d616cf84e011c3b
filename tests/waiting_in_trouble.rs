//! Waiting while Redis or the connection is broken, and where Redis cannot tell when a key is freed.

mod common;

use std::time::{Duration, Instant};

use common::{LIMIT, locker_at, redis};
use redis_locked::{LockError, LockGuard, Locker};
use redis_locked_test_support::{Event, Logs, Server, until};
use tokio::task::JoinHandle;
use tracing::Level;

const TTL: Duration = Duration::from_secs(60);
const WAIT: Duration = Duration::from_millis(400);

type Waiter = JoinHandle<Result<LockGuard, LockError>>;

fn registers(key: &str) -> impl Fn(&Event) -> bool {
    move |event| event.is_from_script() && event.is("get", key)
}

/// A caller that waits for a key which another program holds.
async fn waiter(server: &Server, locker: &Locker, key: &str) -> Waiter {
    assert!(server.set_nx_px(key, "theirs", 60_000).await);
    let monitor = server.monitor();
    let waiter = tokio::spawn(locker.lock(key).ttl(TTL).wait(LIMIT).acquire());
    monitor.wait_for(registers(key), LIMIT).await;
    waiter
}

async fn gets_it(waiter: Waiter) -> LockGuard {
    waiter.await.expect("no panic").expect("woken")
}

#[tokio::test]
async fn redis_is_gone_until_the_wait_is_over() {
    let (server, locker) = redis().await;
    assert!(server.set_nx_px("k", "theirs", 60_000).await);
    let line: Vec<_> = (0..5)
        .map(|_| tokio::spawn(locker.lock("k").ttl(TTL).wait(4 * WAIT).acquire()))
        .collect();
    let started = Instant::now();
    until(LIMIT, "all are in the line", async || {
        server
            .command_calls()
            .await
            .get("get")
            .is_some_and(|calls| *calls > 0)
    })
    .await;
    server.kill();
    // Those behind the head have not asked themselves, and know no better than it.
    for waiter in line {
        let error = waiter.await.expect("no panic").expect_err("Redis is gone");
        assert!(error.is_backend(), "{error}");
        assert!(started.elapsed() >= 4 * WAIT);
    }
}

#[tokio::test]
async fn redis_is_gone_from_the_start() {
    let (server, locker) = redis().await;
    server.kill();
    let started = Instant::now();
    let error = locker
        .lock("k")
        .wait(WAIT)
        .acquire()
        .await
        .expect_err("gone");
    let LockError::Backend { attempts, .. } = error else {
        panic!("{error}")
    };
    // At pauses of up to 50, 100, 200, … ms: neither once only, nor all the time.
    assert!((2..=60).contains(&attempts), "{attempts}");
    assert!(started.elapsed() >= WAIT);
}

#[tokio::test]
async fn redis_is_back_in_time() {
    let (server, locker) = redis().await;
    let waiter = waiter(&server, &locker, "k").await;
    server.restart().await;
    let guard = gets_it(waiter).await;
    let value = server.get("k").await.expect("held");
    assert!(value.starts_with(guard.token()));
}

#[tokio::test]
async fn redis_is_back_in_time_after_a_while() {
    let (server, locker) = redis().await;
    let waiter = waiter(&server, &locker, "k").await;
    server.kill();
    let refused = locker.lock("other").acquire().await;
    assert!(refused.expect_err("gone").is_backend());
    server.restart().await;
    gets_it(waiter).await.release().await.expect("ours");
}

/// Closes the connections that track keys.
async fn kill_tracking(server: &Server) {
    server.wait_until_tracking(LIMIT).await;
    let mut theirs = server.connection().await;
    let mut list = redis::cmd("CLIENT");
    list.arg("LIST");
    let list: String = list.query_async(&mut theirs).await.expect("a list");
    let mut killed = 0;
    for line in list.lines() {
        let field = |name: &str| line.split(' ').find_map(|pair| pair.strip_prefix(name));
        if field("flags=").is_some_and(|flags| flags.contains('t')) {
            let mut kill = redis::cmd("CLIENT");
            kill.arg("KILL").arg("ID").arg(field("id="));
            killed += kill.query_async::<u32>(&mut theirs).await.expect("killed");
        }
    }
    assert_eq!(killed, 1, "one connection tracks:\n{list}");
}

#[tokio::test]
async fn the_tracking_connection_is_lost_and_all_register_again() {
    let (server, locker) = redis().await;
    let first = waiter(&server, &locker, "a").await;
    let second = waiter(&server, &locker, "b").await;
    let monitor = server.monitor();
    kill_tracking(&server).await;
    for (key, waiter) in [("a", first), ("b", second)] {
        monitor.wait_for(registers(key), LIMIT).await;
        server.del(key).await;
        gets_it(waiter).await.release().await.expect("ours");
    }
}

#[tokio::test]
async fn the_tracking_connection_is_given_up_and_all_register_again() {
    let server = Server::start().await;
    let proxy = server.proxy().await;
    let builder = Locker::builder().response_timeout(WAIT);
    let locker = builder.connect(&proxy.url()).await.expect("connected");
    let asleep = waiter(&server, &locker, "a").await;
    let second = waiter(&server, &locker, "b").await;
    second.abort();
    // Another asks on the same connection, and has no answer in time.
    proxy.drop_answers(true);
    let another = locker.lock("b").ttl(TTL).wait(4 * WAIT).acquire();
    let monitor = server.monitor();
    assert!(another.await.expect_err("no answer").is_backend());
    proxy.drop_answers(false);
    monitor.wait_for(registers("a"), LIMIT).await;
    server.del("a").await;
    drop(gets_it(asleep).await);
}

/// What the server is told so that it lets nobody track keys.
const REFUSALS: [[&str; 2]; 2] = [["+@all", "-client|tracking"], ["+@all", "-client"]];

#[tokio::test]
async fn tracking_is_refused() {
    for rights in REFUSALS {
        let (logs, _collecting) = Logs::of_this_thread();
        let server = Server::start().await;
        let mut theirs = server.connection().await;
        let mut user = redis::cmd("ACL");
        user.arg("SETUSER")
            .arg("app")
            .arg("on")
            .arg(">secret")
            .arg("~*")
            .arg("&*");
        for right in rights {
            user.arg(right);
        }
        let () = user.query_async(&mut theirs).await.expect("a user");
        let url = format!("redis://app:secret@127.0.0.1:{}", server.port());
        let locker = locker_at(&url).await;
        let first = waiter(&server, &locker, "a").await;
        let second = waiter(&server, &locker, "b").await;
        server.reset_stats().await;
        until(LIMIT, "it asks again by itself", async || {
            server
                .command_calls()
                .await
                .get("evalsha")
                .is_some_and(|calls| *calls > 2)
        })
        .await;
        for (key, waiter) in [("a", first), ("b", second)] {
            server.del(key).await;
            gets_it(waiter).await.release().await.expect("ours");
        }
        let said = |event: &&redis_locked_test_support::logs::Logged| {
            event.level == Level::WARN && event.message.contains("CLIENT TRACKING")
        };
        assert_eq!(logs.events().iter().filter(said).count(), 1, "{rights:?}");
    }
}

#[tokio::test]
async fn a_connection_that_cannot_be_opened_is_not_tried_all_the_time() {
    let (server, locker) = redis().await;
    let proxy = server.proxy().await;
    let through = locker_at(&proxy.url()).await;
    let waiter = waiter(&server, &through, "k").await;
    // Accepts connections, and closes them.
    server.kill();
    let before = proxy.accepted();
    tokio::time::sleep(2 * WAIT).await;
    let tries = proxy.accepted() - before;
    assert!(tries <= 60, "{tries} tries");
    server.restart().await;
    gets_it(waiter).await.release().await.expect("ours");
    drop(locker);
}
