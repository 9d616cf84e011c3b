//! The end of a locker, of a runtime, and of guards that are dropped in odd places.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use redis_locked::{LockGuard, Locker};
use redis_locked_test_support::{Server, bulk, until};
use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;
use tokio::time::sleep;

const TTL: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(20);

/// With time limits that a loaded machine hardly reaches, and that what is in doubt waits for.
async fn connected(url: &str) -> Locker {
    connected_within(url, LIMIT).await
}

async fn connected_within(url: &str, limit: Duration) -> Locker {
    let builder = Locker::builder().connection_timeout(limit);
    let connecting = builder.response_timeout(limit / 5).connect(url);
    connecting.await.expect("connected")
}

fn alive_tasks() -> usize {
    Handle::current().metrics().num_alive_tasks()
}

async fn hold(locker: &Locker, key: &str) -> LockGuard {
    let request = locker.lock(key).ttl(TTL).renew();
    request.acquire().await.expect("free")
}

/// Holders of every kind leave at once: by the time that `shutdown` returns, nothing is left.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_it_no_key_is_left() {
    let server = Server::start().await;
    let proxy = server.proxy().await;
    let locker = connected(&proxy.url()).await;
    proxy.delay_answers(Duration::from_millis(10));
    let mut asking = Vec::new();
    for number in 0..20 {
        drop(hold(&locker, &format!("dropped {number}")).await);
        let guard = hold(&locker, &format!("released {number}")).await;
        asking.push(tokio::spawn(async { guard.release().await.is_ok() }));
        let request = locker.lock(format!("asked {number}")).ttl(TTL);
        asking.push(tokio::spawn(async { request.acquire().await.is_ok() }));
        let request = locker.lock(format!("body {number}")).ttl(TTL);
        asking.push(tokio::spawn(async {
            request.run(sleep(TTL)).await.is_ok()
        }));
    }
    for task in asking {
        task.abort();
        let _ = task.await;
    }
    locker.shutdown().await;
    assert_eq!(server.keys().await, Vec::<String>::new());
}

/// In memory there is no connection: every task is the locker's own. On one thread, because tokio
/// counts a task of another thread for a moment longer than it can be awaited.
#[tokio::test]
async fn after_it_no_task_is_alive() {
    for round in 0..200 {
        let locker = Locker::in_memory();
        let guards = [hold(&locker, "one").await, hold(&locker, "other").await];
        assert_eq!(alive_tasks(), 1, "one keeper for all leases");
        let [released, other] = guards;
        released.release().await.expect("held");
        if round % 2 == 0 {
            drop(other);
        } else {
            other.release().await.expect("held");
        }
        locker.shutdown().await;
        assert_eq!(alive_tasks(), 0, "round {round}");
    }
}

#[tokio::test]
async fn after_it_the_connections_are_closed() {
    let server = Server::start().await;
    let before = alive_tasks();
    let locker = connected(&server.url()).await;
    let held = hold(&locker, "key").await;
    assert!(alive_tasks() > before);
    let waiting = locker.lock("key").wait(Duration::from_millis(20)).acquire();
    assert!(waiting.await.is_err_and(|error| error.is_busy()));
    drop(held);
    locker.shutdown().await;
    until(LIMIT, "all tasks have ended", async || {
        alive_tasks() == before
    })
    .await;
    until(LIMIT, "the server sees it", async || {
        server.connections().await == 0
    })
    .await;
    hold(&locker, "key")
        .await
        .release()
        .await
        .expect("it works again");
}

#[tokio::test]
async fn a_keeper_without_leases_goes_by_itself() {
    let locker = Locker::in_memory();
    let guard = hold(&locker, "key").await;
    tokio::task::yield_now().await;
    assert_eq!(alive_tasks(), 1);
    guard.release().await.expect("held");
    until(LIMIT, "it has ended", async || alive_tasks() == 0).await;
    let plain = locker.lock("key").ttl(TTL).acquire().await.expect("free");
    assert_eq!(alive_tasks(), 0, "a plain lease needs none");
    plain.release().await.expect("held");
    assert_eq!(alive_tasks(), 0);
}

/// It does not wait for those who still hold a lock, and their leases go on.
#[tokio::test]
async fn bodies_go_on() {
    const SHORT: Duration = Duration::from_secs(4);
    let server = Server::start().await;
    let locker = connected(&server.url()).await;
    let running = tokio::spawn(
        locker
            .lock("key")
            .ttl(SHORT)
            .renew()
            .run(sleep(SHORT * 3 / 2)),
    );
    until(LIMIT, "locked", async || server.exists("key").await).await;
    locker.shutdown().await;
    assert!(!running.is_finished());
    running
        .await
        .expect("no panic")
        .expect("extended to its end");
    locker.shutdown().await;
    assert!(!server.exists("key").await);
}

#[tokio::test]
async fn it_gives_up_what_cannot_be_released() {
    let server = Server::start().await;
    let locker = connected(&server.url()).await;
    let request = locker.lock("key").ttl(Duration::from_millis(500));
    let guard = request.acquire().await.expect("free");
    server.kill();
    drop(guard);
    tokio::time::timeout(LIMIT, locker.shutdown())
        .await
        .expect("until the ttl is over");
}

fn runtime(threads: usize) -> Runtime {
    let mut builder = match threads {
        0 => Builder::new_current_thread(),
        _ => Builder::new_multi_thread(),
    };
    builder
        .worker_threads(threads.max(1))
        .enable_all()
        .build()
        .expect("a runtime")
}

/// The server, on a runtime of its own that outlives the others, and runs while nobody blocks on it.
fn server() -> (Runtime, Server) {
    let runtime = runtime(1);
    let server = runtime.block_on(Server::start());
    (runtime, server)
}

#[test]
fn a_guard_dropped_outside_of_a_runtime_is_released_by_the_one_it_came_from() {
    let (own, server) = server();
    for threads in [0, 2] {
        let runtime = runtime(threads);
        let locker = runtime.block_on(connected(&server.url()));
        let guard = runtime.block_on(hold(&locker, "key"));
        thread::spawn(move || drop(guard)).join().expect("no panic");
        if threads > 0 {
            // Without anybody's help.
            own.block_on(until(LIMIT, "released", async || {
                !server.exists("key").await
            }));
        }
        runtime.block_on(locker.shutdown());
        assert!(!own.block_on(server.exists("key")));
    }
}

#[test]
fn a_guard_that_outlives_its_runtime_is_released_by_the_next() {
    let (own, server) = server();
    for threads in [0, 2] {
        let runtime = runtime(threads);
        let locker = runtime.block_on(connected(&server.url()));
        let guard = runtime.block_on(hold(&locker, "key"));
        drop(runtime);
        drop(guard);
        own.block_on(locker.shutdown());
        assert!(!own.block_on(server.exists("key")));
    }
}

/// Whatever the tasks of a dying runtime hold: it dies without a panic, and soon. What it had begun
/// to release may stay until the ttl is over.
#[test]
fn guards_may_be_dropped_while_their_runtime_goes_down() {
    dropped_while_a_runtime_goes_down(0);
}

#[test]
fn guards_may_be_dropped_while_their_runtime_of_two_threads_goes_down() {
    dropped_while_a_runtime_goes_down(2);
}

fn dropped_while_a_runtime_goes_down(threads: usize) {
    let (own, server) = server();
    let runtime = runtime(threads);
    let locker = runtime.block_on(connected_within(&server.url(), LIMIT / 4));
    let in_bodies = Arc::<AtomicUsize>::default();
    let tasks: Vec<JoinHandle<()>> = (0..20)
        .map(|number| {
            let (locker, in_bodies) = (locker.clone(), Arc::clone(&in_bodies));
            runtime.spawn(async move {
                let key = format!("key {number}");
                let guard = hold(&locker, &format!("by hand {number}")).await;
                let request = locker.lock(key).ttl(TTL).renew();
                let body = async {
                    in_bodies.fetch_add(1, Ordering::Relaxed);
                    std::future::pending::<()>().await;
                };
                let result = request.run(body).await;
                drop(guard);
                drop(result);
            })
        })
        .collect();
    // A task whose answer is under way still would end with the connection.
    runtime.block_on(until(LIMIT, "all are in their bodies", async || {
        in_bodies.load(Ordering::Relaxed) == 20
    }));
    let (sender, over) = std::sync::mpsc::channel();
    thread::spawn(move || {
        drop(runtime);
        let _ = sender.send(());
    });
    over.recv_timeout(LIMIT).expect("it goes down");
    for task in tasks {
        let end = own.block_on(task).expect_err("it never ends by itself");
        assert!(end.is_cancelled(), "{end}");
    }
    own.block_on(locker.shutdown());
}

/// The release that nobody awaits is under way when its runtime goes.
#[test]
fn a_release_under_way_in_a_dying_runtime_blocks_nobody() {
    let (own, server) = server();
    let proxy = own.block_on(server.proxy());
    let runtime = runtime(2);
    let locker = runtime.block_on(connected(&proxy.url()));
    let guard = runtime.block_on(hold(&locker, "key"));
    proxy.stall_requests(true);
    proxy.forget();
    drop(guard);
    own.block_on(proxy.wait_for_request_here(bulk("EVALSHA"), LIMIT));
    drop(runtime);
    proxy.stall_requests(false);
    let shutdown = async { tokio::time::timeout(LIMIT, locker.shutdown()).await };
    own.block_on(shutdown).expect("nothing is pending");
}
