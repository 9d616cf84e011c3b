//! One locker on several runtimes, as an installed one is under several `#[tokio::test]`s.

mod common;

use std::time::Duration;

use common::{LIMIT, locker_at, redis};
use redis_locked::{LockError, Locker, redis_locked};
use redis_locked_test_support::{Server, until};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

const TTL: Duration = Duration::from_secs(60);

#[redis_locked(key = "k", ttl = TTL)]
async fn call() -> Result<u32, LockError> {
    tokio::task::yield_now().await;
    Ok(7)
}

fn runtimes() -> [Runtime; 2] {
    [Builder::new_current_thread(), Builder::new_multi_thread()]
        .map(|mut builder| builder.enable_all().build().expect("a runtime"))
}

/// A server that outlives all runtimes of a test, and a locker connected on the first.
fn start() -> (Runtime, Server, Locker) {
    let [runtime, _] = runtimes();
    let (server, locker) = runtime.block_on(redis());
    (runtime, server, locker)
}

async fn is_gone(server: &Server) {
    until(LIMIT, "the key is gone", async || !server.exists("k").await).await;
}

#[test]
fn one_after_another() {
    let (first, server, locker) = start();
    assert_eq!(first.block_on(locker.scope(call())).expect("free"), 7);
    drop(first);
    for _ in 0..2 {
        for runtime in runtimes() {
            let result = runtime.block_on(locker.scope(call()));
            assert_eq!(result.expect("works on the next runtime"), 7);
            let ttl = Duration::from_secs(2);
            runtime.block_on(async {
                let renewed = locker.lock("k").ttl(ttl).renew();
                let guard = renewed.acquire().await.expect("free");
                let lost = tokio::time::timeout(ttl * 5 / 4, guard.lost()).await;
                assert_eq!(lost.ok(), None);
                drop(guard);
                is_gone(&server).await;
            });
        }
    }
}

#[test]
fn waiting_works_on_the_next_runtime_too() {
    let (first, server, locker) = start();
    let wait = async || {
        let holder = locker_at(&server.url()).await;
        let held = holder.lock("k").ttl(TTL).acquire().await.expect("free");
        let waiting = locker.lock("k").ttl(TTL).wait(LIMIT).run(async { 7 });
        let monitor = server.monitor();
        let release = async {
            monitor.wait_for(|event| event.is("pttl", "k"), LIMIT).await;
            held.release().await.expect("ours");
        };
        let (result, ()) = tokio::join!(waiting, release);
        assert_eq!(result.expect("woken"), 7);
    };
    first.block_on(wait());
    drop(first);
    for runtime in runtimes() {
        runtime.block_on(wait());
    }
}

#[test]
fn two_at_once() {
    let (_first, _server, locker) = start();
    let threads: Vec<_> = runtimes()
        .into_iter()
        .map(|runtime| {
            let locker = locker.clone();
            std::thread::spawn(move || {
                for _ in 0..50 {
                    let request = locker.lock("k").ttl(TTL).wait(LIMIT);
                    let result = runtime.block_on(request.run(async { 7 }));
                    assert_eq!(result.expect("its turn comes"), 7);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("no panic");
    }
}

#[test]
fn a_guard_dropped_outside_of_any_runtime_is_released_by_its_own() {
    let (_, server, locker) = start();
    let [_, runtime] = runtimes();
    let guard = runtime.block_on(locker.lock("k").ttl(TTL).acquire());
    drop(guard.expect("free"));
    runtime.block_on(is_gone(&server));
}

#[test]
fn a_guard_whose_runtime_has_ended_is_released_by_the_one_it_is_dropped_in() {
    let (first, server, locker) = start();
    let request = locker.lock("k").ttl(TTL).renew();
    let guard = first.block_on(request.acquire()).expect("free");
    drop(first);
    let [second, _] = runtimes();
    second.block_on(async {
        drop(guard);
        is_gone(&server).await;
    });
}

#[test]
fn a_guard_dropped_after_all_runtimes_have_ended_does_no_harm() {
    let (first, server, locker) = start();
    let request = locker.lock("k").ttl(Duration::from_millis(400));
    let guard = first.block_on(request.acquire()).expect("free");
    drop(first);
    drop(guard);
    let [second, _] = runtimes();
    second.block_on(async {
        is_gone(&server).await;
        assert_eq!(locker.scope(call()).await.expect("free"), 7);
        let shutdown = tokio::time::timeout(LIMIT, locker.shutdown());
        shutdown.await.expect("nothing is pending");
    });
}

#[test]
fn a_locker_can_be_made_outside_of_a_runtime() {
    let (first, server, _) = start();
    let locker = Locker::from_client(server.client());
    assert_eq!(first.block_on(locker.scope(call())).expect("free"), 7);
}

/// The keeper lived on the first.
#[test]
fn the_end_of_one_ends_the_renewal_of_another_s_leases() {
    let ttl = Duration::from_secs(2);
    for second in runtimes() {
        // One that works on while nobody blocks on it, as does the connection that it has opened.
        let [_, first] = runtimes();
        let (_server, locker) = first.block_on(redis());
        let renewed = |key: &str| locker.lock(key).ttl(ttl).renew().acquire();
        let theirs = first.block_on(renewed("theirs")).expect("free");
        let ours = second.block_on(renewed("ours")).expect("free");
        drop(first);
        let lost = second.block_on(async { timeout(ttl * 2, ours.lost()).await });
        assert_eq!(lost.ok(), None, "it was extended no more");
        assert!(ours.is_held());
        drop(theirs);
        second.block_on(ours.release()).expect("ours");
    }
}

/// Each later call panicked.
#[test]
fn one_that_ends_while_it_opens_the_connection_takes_all_calls_along() {
    let (_own, server, _) = start();
    for opens in runtimes() {
        // To find out where the host is, a runtime asks a thread.
        let url = format!("redis://localhost:{}", server.port());
        let locker = Locker::from_client(redis::Client::open(url).expect("a valid url"));
        let acquiring = locker.lock("other").ttl(TTL).acquire();
        opens.block_on(async {
            drop(tokio::spawn(acquiring));
            tokio::task::yield_now().await;
        });
        drop(opens);
        for runtime in runtimes() {
            let call = || {
                let (locker, call) = (locker.clone(), call());
                runtime.block_on(async { tokio::spawn(locker.scope(call)).await })
            };
            // One call may find out.
            if let Err(error) = call().expect("a call panics") {
                assert!(error.is_backend(), "{error}");
            }
            let second = call().expect("a call panics");
            assert_eq!(second.expect("the next call works"), 7);
        }
    }
}

/// What was forgotten after the end of its keeper was kept for ever, and the locker with it.
#[test]
fn a_lease_that_outlives_its_keeper_s_runtime_keeps_the_locker_alive() {
    let (first, server, locker) = start();
    let renewed = locker.lock("k").ttl(TTL).renew();
    let guard = first.block_on(async {
        let guard = renewed.acquire().await.expect("free");
        // The keeper, which has begun by now, takes note of it.
        tokio::task::yield_now().await;
        guard
    });
    drop(first);
    let [second, _] = runtimes();
    second.block_on(async {
        guard.release().await.expect("ours");
        assert_eq!(server.connections().await, 1);
        drop(locker);
        let closed = async || server.connections().await == 0;
        until(LIMIT, "nobody needs the connection", closed).await;
    });
}
