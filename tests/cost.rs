//! What a lock costs, as the server counts it: one command to acquire, one to release.

mod common;

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use common::{LIMIT, redis, until_watched};
use redis_locked::{LockError, Locker, redis_locked};
use redis_locked_test_support::{Monitor, Server};
use tokio::runtime::Handle;

const TTL: Duration = Duration::from_secs(60);

#[redis_locked(key = "job:{id}", ttl = TTL)]
async fn job(id: u32) -> Result<u32, LockError> {
    tokio::task::yield_now().await;
    Ok(id + 1)
}

#[redis_locked(key = "job:{id}", ttl = TTL, retries = 3, or_else = |_| 0, bind = lease)]
async fn job_with_more(id: u32) -> u32 {
    assert!(lease.is_held());
    id + 1
}

struct Service {
    locker: Locker,
}

impl Service {
    #[redis_locked(key = "job:{id}", ttl = TTL, locker = self.locker, skip)]
    async fn job(&self, id: u32) -> Option<u32> {
        Some(id + 1)
    }
}

/// A locker whose connection is open, at a server that knows the scripts.
async fn warm() -> (Server, Locker) {
    let (server, locker) = redis().await;
    locker.lock("warm").run(async {}).await.expect("free");
    server.reset_stats().await;
    (server, locker)
}

/// What the calls cost, with what the release's script calls on the server itself.
fn calls(count: u64) -> BTreeMap<String, u64> {
    ["set", "evalsha", "get", "zcard", "del"]
        .map(|name| (name.to_owned(), count))
        .into()
}

/// The commands that clients sent.
async fn sent(monitor: &Monitor) -> Vec<String> {
    let events = monitor.events().await;
    let of_clients = events.iter().filter(|event| !event.is_from_script());
    of_clients
        .map(redis_locked_test_support::Event::command)
        .collect()
}

#[tokio::test]
async fn one_command_to_acquire_and_one_to_release() {
    let (server, locker) = warm().await;
    let monitor = server.monitor();
    server.reset_stats().await;
    for id in 0..100 {
        let request = locker.lock(format!("job:{id}")).ttl(TTL);
        let guard = request.acquire().await.expect("free");
        guard.release().await.expect("ours");
    }
    assert_eq!(server.command_calls().await, calls(100));
    assert_eq!(sent(&monitor).await, ["set", "evalsha"].repeat(100));
}

#[tokio::test]
async fn several_keys_cost_a_command_each_to_acquire_and_one_to_release() {
    const KEYS: [&str; 3] = ["c", "a", "b"];
    let (server, locker) = warm().await;
    // The gatherer's task is there before.
    let metrics = Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    for _ in 0..50 {
        let all = locker
            .lock_all(KEYS)
            .ttl(TTL)
            .acquire()
            .await
            .expect("free");
        assert_eq!((all.attempts(), metrics.num_alive_tasks()), (1, before));
        all.release().await.expect("ours");
        assert_eq!(metrics.num_alive_tasks(), before);
    }
    assert_eq!(server.command_calls().await, calls(150));

    let wait = async || locker.lock_all(KEYS).ttl(TTL).wait(TTL).acquire().await;
    // The server learns the script by it.
    wait().await.expect("free").release().await.expect("ours");
    let monitor = server.monitor();
    for _ in 0..50 {
        wait().await.expect("free").release().await.expect("ours");
    }
    assert_eq!(sent(&monitor).await, ["evalsha"].repeat(300));
}

#[tokio::test]
async fn a_guard_that_is_dropped_costs_no_more() {
    let (server, locker) = warm().await;
    for _ in 0..20 {
        drop(locker.lock("k").ttl(TTL).acquire().await.expect("free"));
        locker.shutdown().await;
        let calls = server.command_calls().await;
        assert_eq!((calls["set"], calls["evalsha"]), (1, 1), "{calls:?}");
        locker.lock("k").run(async {}).await.expect("free");
        server.reset_stats().await;
    }
}

#[tokio::test]
async fn the_attribute_costs_no_more() {
    let (server, locker) = warm().await;
    for id in 0..50 {
        assert_eq!(locker.scope(job(id)).await.expect("free"), id + 1);
    }
    assert_eq!(server.command_calls().await, calls(50));

    server.reset_stats().await;
    for id in 0..50 {
        assert_eq!(locker.scope(job_with_more(id)).await, id + 1);
    }
    assert_eq!(server.command_calls().await, calls(50));

    server.reset_stats().await;
    let service = Service { locker };
    for id in 0..50 {
        assert_eq!(service.job(id).await, Some(id + 1));
    }
    assert_eq!(server.command_calls().await, calls(50));
}

#[tokio::test]
async fn concurrent_calls_share_one_connection() {
    let (server, locker) = warm().await;
    let calls_at_once: Vec<_> = (0..50)
        .map(|id| tokio::spawn(locker.scope(job(id))))
        .collect();
    for call in calls_at_once {
        call.await.expect("no panic").expect("free");
    }
    assert_eq!(server.command_calls().await, calls(50));
    assert_eq!(server.connections().await, 1);
}

/// Connecting does, and then a release on a server that has forgotten it.
#[tokio::test]
async fn only_the_first_release_sends_the_script() {
    let (server, locker) = redis().await;
    for forgotten in [false, true] {
        if forgotten {
            server.flush_scripts().await;
        }
        let monitor = server.monitor();
        for id in 0..3 {
            locker.scope(job(id)).await.expect("free");
        }
        let mut expected = ["set", "evalsha"].repeat(3);
        if forgotten {
            expected.insert(2, "eval");
        }
        assert_eq!(sent(&monitor).await, expected);
    }
}

#[tokio::test]
async fn no_task_is_spawned() {
    let (_server, locker) = warm().await;
    let metrics = Handle::current().metrics();
    let before = metrics.num_alive_tasks();
    let call = locker.scope(job(1));
    let mut call = pin!(call);
    let result = poll_fn(|cx| {
        let polled = call.as_mut().poll(cx);
        assert_eq!(metrics.num_alive_tasks(), before);
        polled
    });
    result.await.expect("free");
    let guard = locker.lock("k").acquire().await.expect("free");
    assert_eq!(metrics.num_alive_tasks(), before);
    guard.release().await.expect("ours");
    assert_eq!(metrics.num_alive_tasks(), before);
}

#[tokio::test]
async fn an_attempt_that_finds_the_lock_busy_costs_one_command_and_the_last_two() {
    let (server, locker) = warm().await;
    server.set_px("k", "theirs", 60_000).await;
    let monitor = server.monitor();
    let request = locker
        .lock("k")
        .retries(3)
        .backoff(Duration::from_millis(1));
    assert!(request.acquire().await.expect_err("busy").is_busy());
    let sent = sent(&monitor).await;
    // The last asks who holds it, by a script that the server does not know yet.
    assert_eq!(sent, ["set", "set", "set", "set", "evalsha", "eval"]);
}

#[tokio::test]
async fn who_waits_sends_nothing_meanwhile() {
    let (server, locker) = warm().await;
    server.set_px("k", "theirs", 60_000).await;
    let monitor = server.monitor();
    let waiting = tokio::spawn(locker.lock("k").ttl(TTL).wait_forever().acquire());
    until_watched(&monitor, "k").await;
    server.reset_stats().await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert_eq!(server.command_calls().await, BTreeMap::new());
    assert!(server.del("k").await);
    let guard = tokio::time::timeout(LIMIT, waiting).await.expect("woken");
    let guard = guard.expect("no panic").expect("free");
    guard.release().await.expect("ours");
}

#[tokio::test]
async fn a_request_that_is_refused_sends_nothing() {
    let server = Server::start().await;
    let locker = Locker::from_client(server.client());
    server.reset_stats().await;
    let requests = [
        locker.lock(""),
        locker.lock("k").ttl(Duration::ZERO),
        locker.lock("k").ttl(Duration::from_millis(9)),
        locker.lock("k").ttl(Duration::MAX),
        locker.lock("k").min_hold(TTL).ttl(TTL / 2),
        locker.lock("k").min_hold(Duration::ZERO),
        locker.lock("k").max_hold(TTL),
        locker.lock("k").renew().max_hold(Duration::ZERO),
        locker.lock("{}k}").fenced(),
    ];
    for request in requests {
        let shown = format!("{request:?}");
        let error = request.acquire().await.expect_err("refused");
        assert!(
            matches!(error, LockError::InvalidRequest { .. }),
            "{shown}: {error}"
        );
    }
    assert_eq!(server.command_calls().await, BTreeMap::new());
    assert_eq!(server.connections().await, 0);
}
