//! What is allocated; started by the benchmarks. Prints `name number number` for each.

use std::alloc::System;
use std::future::pending;
use std::time::Duration;

use redis_locked_benches::ours;
use redis_locked_benches::peers::Contender;
use redis_locked_benches::raw::Raw;
use redis_locked_test_support::Server;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::task::JoinHandle;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CALLS: usize = 1_000;
const WAITERS: usize = 1_000;

// In one thread, so that nothing else allocates meanwhile.
#[tokio::main(flavor = "current_thread")]
async fn main() {
    let server = Server::start().await;
    ours::install(&server.url()).await;
    for mut contender in Contender::all(&server).await {
        for id in 0..CALLS {
            contender.call(id).await;
        }
        let region = Region::new(ALLOCATOR);
        for id in 0..CALLS {
            contender.call(id).await;
        }
        let stats = region.change();
        let count = stats.allocations + stats.reallocations;
        println!("{}|{count}|{}", contender.name(), stats.bytes_allocated);
    }
    println!("calls|{CALLS}|0");

    let raw = Raw::connect(&server.client()).await;
    let (key, token) = ("ours:one", Raw::token());
    assert!(raw.clone().try_acquire(key, &token).await);
    // The first waiter opens the connection on which the server tells that a lock is freed.
    let first = tokio::spawn(wait());
    settle().await;
    let trivial = grown_by(|| tokio::spawn(pending_instead())).await;
    let waiting = grown_by(|| tokio::spawn(wait())).await;
    println!("a trivial task|{trivial}|0");
    println!("a waiter|{waiting}|0");
    raw.clone().release(key, &token).await;
    first.await.expect("locks");
}

async fn wait() {
    ours::queue("one").await.expect("locks");
}

async fn pending_instead() {
    pending::<()>().await;
}

async fn settle() {
    tokio::time::sleep(Duration::from_millis(200)).await;
}

/// The bytes by which the heap has grown for each of the tasks that this spawns.
async fn grown_by(spawn: impl Fn() -> JoinHandle<()>) -> usize {
    let mut tasks = Vec::with_capacity(WAITERS);
    let region = Region::new(ALLOCATOR);
    for _ in 0..WAITERS {
        tasks.push(spawn());
    }
    settle().await;
    let change = region.change();
    let live = change.bytes_allocated - change.bytes_deallocated;
    for task in &tasks {
        task.abort();
    }
    settle().await;
    live / WAITERS
}
