//! A process that locks for a long time holds no more than at the beginning: no memory, no task and
//! no connection stays behind, whatever went wrong meanwhile.
//!
//! The suite makes some ten thousand acquisitions, in memory and on a server. `ACQUISITIONS=10000000 cargo test --release --test
//! endurance -- --nocapture` makes ten million on each, in some minutes, and prints what was there after a
//! hundredth of them and at the end.

use std::alloc::System;
use std::mem::replace;
use std::ops::Range;
use std::panic::resume_unwind;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::poll_immediate;
use redis_locked::{LockError, Locker};
use redis_locked_test_support::{Server, until};
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};
use tokio::runtime::Handle;
use tokio::task::{JoinSet, yield_now};
use tokio::time::sleep;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CALLERS: usize = 64;
/// After so many acquisitions, something breaks.
const BREAK_EVERY: usize = 5_000;
const TTL: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(20);
/// The shortest time for which a run is recorded.
const RECORD: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(60);
/// What tables may keep that have grown once.
const SLACK: isize = 16 * 1024;
/// And what has expired in memory, which goes only where there are a thousand of them.
const EXPIRED: isize = 256 * 1024;

/// What a process holds while nothing is under way.
#[derive(Debug)]
struct Holdings {
    bytes: isize,
    tasks: usize,
    connections: usize,
}

impl Holdings {
    /// Of a locker whose connections were just opened again, so that all have the same buffers.
    async fn of(server: Option<&Server>, locker: &Locker) -> Self {
        locker.shutdown().await;
        if server.is_none() {
            // What has expired in memory goes when something is acquired after a second.
            sleep(2 * RECORD).await;
            let held = locker.lock("last").ttl(TTL).acquire().await.expect("free");
            held.release().await.expect("ours");
        }
        for _ in 0..2 {
            let Some(server) = server else { break };
            let held = locker.lock("last").ttl(TTL).acquire().await.expect("free");
            let waiting = tokio::spawn(locker.lock("last").ttl(TTL).wait(LIMIT).run(yield_now()));
            server.wait_until_tracking(LIMIT).await;
            held.release().await.expect("ours");
            waiting.await.expect("no panic").expect("released");
        }
        let tasks = || Handle::current().metrics().num_alive_tasks();
        let mut before = tasks();
        until(LIMIT, "nothing comes to its end any more", async || {
            sleep(SHORT).await;
            before == replace(&mut before, tasks())
        })
        .await;
        let connections = match server {
            Some(server) => server.connections().await,
            None => 0,
        };
        let stats = ALLOCATOR.stats();
        let count = |bytes: usize| isize::try_from(bytes).expect("fits");
        Self {
            bytes: count(stats.bytes_allocated) - count(stats.bytes_deallocated),
            tasks: tasks(),
            connections,
        }
    }
}

// One test, since all that the process allocates is counted.
#[tokio::test]
async fn nothing_stays_behind() {
    stays_as_it_was(&Locker::in_memory(), None, SLACK + EXPIRED).await;
    let server = Arc::new(Server::start().await);
    let locker = Locker::connect(&server.url()).await.expect("connected");
    stays_as_it_was(&locker, Some(&server), SLACK).await;
    let kinds = [":fence", ":seats", ":last"];
    let is_side = |key: &String| kinds.iter().any(|kind| key.ends_with(kind));
    let keys = server.keys().await;
    assert!(keys.iter().all(is_side), "orphans: {keys:?}");
    // Seats of lines that are empty go by themselves, within seconds, and so do records.
    until(LIMIT, "no orphan is left", async || {
        let keys = server.keys().await;
        keys.iter().all(|key| key.ends_with(":fence"))
    })
    .await;
}

async fn stays_as_it_was(locker: &Locker, server: Option<&Arc<Server>>, slack: isize) {
    let wanted = std::env::var("ACQUISITIONS").map_or(20_000, |n| n.parse().expect("a number"));
    // Tables grow to the size that the worst moment needs: that is over by then.
    let first = (wanted / 100).max(2 * BREAK_EVERY);
    run(server, locker, 0..first).await;
    let early = Holdings::of(server.map(Arc::as_ref), locker).await;
    run(server, locker, first..wanted).await;
    let late = Holdings::of(server.map(Arc::as_ref), locker).await;
    println!("after {first} acquisitions: {early:?}; after {wanted}: {late:?}");
    assert!(late.bytes - early.bytes < slack, "{early:?}, then {late:?}");
    assert_eq!(late.tasks, early.tasks);
    assert_eq!(late.connections, early.connections);
}

/// Makes the acquisitions with these numbers, some of which fail.
async fn run(server: Option<&Arc<Server>>, locker: &Locker, numbers: Range<usize>) {
    let next = Arc::new(AtomicUsize::new(numbers.start));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (server, locker, next) = (server.cloned(), locker.clone(), Arc::clone(&next));
        let end = numbers.end;
        callers.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= end {
                    break;
                }
                if let Some(server) = &server
                    && number % BREAK_EVERY == BREAK_EVERY / 2
                {
                    break_something(server, number / BREAK_EVERY).await;
                }
                if let Err(error) = acquire(&locker, number).await {
                    assert!(
                        error.is_busy()
                            || error.is_backend()
                            || error.is_lost()
                            || error.is_not_held(),
                        "{error}"
                    );
                }
            }
        });
    }
    while let Some(ended) = callers.join_next().await {
        ended.expect("no panic");
    }
}

async fn break_something(server: &Server, number: usize) {
    match number % 3 {
        0 => server.kill_clients().await,
        1 => server.flush_scripts().await,
        _ => {
            server.stop_process();
            sleep(SHORT).await;
            server.continue_process();
        }
    }
}

/// One acquisition, in one of the ways that there are. No key comes again for ever, but those of records.
async fn acquire(locker: &Locker, number: usize) -> Result<(), LockError> {
    let own = || locker.lock(format!("own:{number}")).ttl(TTL);
    let shared = || {
        locker
            .lock(format!("shared:{}:{}", number / 64, number % 4))
            .ttl(TTL)
    };
    match number % 14 {
        0 | 1 => own().acquire().await?.release().await,
        2 => own().renew().run(yield_now()).await,
        3 => own().fenced().acquire().await.map(drop),
        4 => {
            own()
                .min_hold(Duration::from_millis(1))
                .run(yield_now())
                .await
        }
        5 => shared().wait(LIMIT).run(yield_now()).await,
        6 => shared().wait(SHORT).run(yield_now()).await,
        7 => {
            shared()
                .retries(2)
                .backoff(SHORT / 20)
                .run(yield_now())
                .await
        }
        8 => shared().permits(2).wait(SHORT).run(yield_now()).await,
        9 => shared().shared().wait(SHORT).run(yield_now()).await,
        10 => {
            let key = format!("recorded:{}", number % 64);
            locker
                .lock(key)
                .ttl(TTL)
                .record(RECORD)
                .run(yield_now())
                .await
        }
        11 => {
            let panics = own().run(async { resume_unwind(Box::new("on purpose")) });
            let ended: Result<Result<(), _>, _> = tokio::spawn(panics).await;
            match ended {
                Ok(refused) => refused,
                Err(error) => {
                    assert!(error.is_panic(), "{error}");
                    Ok(())
                }
            }
        }
        12 => {
            dropped_after(shared().wait(LIMIT).acquire(), number % 7).await;
            Ok(())
        }
        _ => {
            dropped_after(own().run(yield_now()), number % 7).await;
            Ok(())
        }
    }
}

async fn dropped_after<F: Future>(future: F, polls: usize) {
    let mut future = pin!(future);
    for _ in 0..polls {
        if poll_immediate(future.as_mut()).await.is_some() {
            break;
        }
        yield_now().await;
    }
}
