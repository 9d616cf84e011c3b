//! The line on the server: processes that wait for a key get it in the order in which they came, and
//! a release passes it on to one of them.

mod common;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use common::{LIMIT, locker_at, redis};
use redis_locked::{LockError, LockGuard, Locker};
use redis_locked_test_support::{Server, until};
use tokio::task::JoinHandle;

/// Longer than any test: who gets such a lock was told.
const TTL: Duration = Duration::from_secs(60);

type Waiter = JoinHandle<Result<LockGuard, LockError>>;

async fn ask<T: redis::FromRedisValue>(server: &Server, words: &str) -> T {
    let mut connection = server.connection().await;
    let mut words = words.split(' ');
    let mut command = redis::cmd(words.next().expect("a command"));
    words.for_each(|word| {
        command.arg(word);
    });
    command
        .query_async(&mut connection)
        .await
        .expect("answered")
}

/// Until so many processes are in the line for `k`.
async fn until_waiting(server: &Server, count: usize) {
    until(LIMIT, format_args!("{count} wait"), async || {
        ask::<usize>(server, "ZCARD {k}:line").await == count
    })
    .await;
}

/// Another process, whose caller has its seat when this returns.
async fn joins(server: &Server, before: usize) -> (Locker, Waiter) {
    let locker = locker_at(&server.url()).await;
    let waiter = tokio::spawn(locker.lock("k").ttl(TTL).wait(LIMIT).acquire());
    until_waiting(server, before + 1).await;
    (locker, waiter)
}

async fn gets_it(waiter: Waiter) -> LockGuard {
    waiter.await.expect("no panic").expect("its turn")
}

#[tokio::test]
async fn first_come_first_served() {
    const WAITERS: usize = 8;
    let (server, locker) = redis().await;
    let held = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut waiters = Vec::new();
    for number in 0..WAITERS {
        let (locker, waiter) = joins(&server, number).await;
        let order = Arc::clone(&order);
        waiters.push(tokio::spawn(async move {
            let guard = gets_it(waiter).await;
            order.lock().expect("no panic").push(number);
            guard.release().await.expect("ours");
            locker
        }));
    }
    held.release().await.expect("ours");
    for waiter in waiters {
        waiter.await.expect("no panic");
    }
    assert_eq!(*order.lock().expect("no panic"), Vec::from_iter(0..WAITERS));
    assert!(!server.exists("k").await);
    assert!(!server.exists("{k}:line").await);
}

#[tokio::test]
async fn a_hand_over_is_one_script_however_many_wait() {
    const WAITERS: usize = 10;
    let (server, locker) = redis().await;
    let held = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    let mut waiters = Vec::new();
    for number in 0..WAITERS {
        waiters.push(joins(&server, number).await);
    }
    server.reset_stats().await;
    held.release().await.expect("ours");
    let mut lockers = Vec::new();
    for (locker, waiter) in waiters {
        gets_it(waiter).await.release().await.expect("ours");
        lockers.push(locker);
    }
    let calls = server.command_calls().await;
    let scripts: u64 = ["evalsha", "eval"]
        .iter()
        .filter_map(|name| calls.get(*name))
        .sum();
    // Where the machine is slow, the first has itself told of changes before it is its turn, and who
    // has waited long makes sure of its lock.
    assert!(scripts <= 3 * (WAITERS as u64 + 1), "{calls:?}");
    assert_eq!(calls["publish"], 2 * WAITERS as u64 - 1, "{calls:?}");
}

#[tokio::test]
async fn who_is_gone_is_skipped_at_once() {
    let (server, locker) = redis().await;
    let held = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    for number in 0..3 {
        let gone = format!("{number}{}", "x".repeat(21));
        let _: i64 = ask(&server, &format!("ZADD {{k}}:line {number} {gone};gone")).await;
        let seat = format!("HSET {{k}}:seats {gone};gone");
        let mut connection = server.connection().await;
        let mut command = redis::cmd("HSET");
        command.arg("{k}:seats").arg(format!("{gone};gone"));
        command.arg(format!("99999999999999 1 2000 0 bell:{number}"));
        let _: i64 = command.query_async(&mut connection).await.expect(&seat);
    }
    let (_locker, waiter) = joins(&server, 3).await;
    let released = Instant::now();
    held.release().await.expect("ours");
    let guard = gets_it(waiter).await;
    assert!(released.elapsed() < Duration::from_millis(400));
    guard.release().await.expect("ours");
    assert!(!server.exists("{k}:line").await);
}

#[tokio::test]
async fn who_gives_up_is_not_rung() {
    let (server, locker) = redis().await;
    let held = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    let (_first, leaves) = joins(&server, 0).await;
    let (_second, stays) = joins(&server, 1).await;
    leaves.abort();
    until_waiting(&server, 1).await;
    held.release().await.expect("ours");
    drop(gets_it(stays).await);
}

#[tokio::test]
async fn numbers_grow_from_hand_over_to_hand_over() {
    let (server, locker) = redis().await;
    let held = locker.lock("k").ttl(TTL).fenced().acquire().await;
    let held = held.expect("free");
    let other = locker_at(&server.url()).await;
    let waiter = tokio::spawn(other.lock("k").ttl(TTL).wait(LIMIT).fenced().acquire());
    until_waiting(&server, 1).await;
    let first = held.fencing_token().expect("a number");
    held.release().await.expect("ours");
    let second = gets_it(waiter).await;
    assert!(second.fencing_token().expect("a number") > first);
}

#[tokio::test]
async fn a_side_key_that_holds_something_else_is_left_alone() {
    for side in ["{k}:line", "{k}:seats"] {
        let (server, locker) = redis().await;
        server.set_px(side, "theirs", 60_000).await;
        let held = locker.lock("k").ttl(TTL).acquire().await.expect("free");
        let other = locker_at(&server.url()).await;
        let waiter = tokio::spawn(other.lock("k").ttl(TTL).wait(LIMIT).acquire());
        tokio::time::sleep(Duration::from_millis(50)).await;
        held.release().await.expect("ours");
        drop(gets_it(waiter).await);
        assert_eq!(server.get(side).await.as_deref(), Some("theirs"));
    }
}

#[tokio::test]
async fn the_line_is_lost_and_the_lock_is_not() {
    for lost in ["DEL {k}:line {k}:seats", "SCRIPT FLUSH", "FLUSHALL"] {
        let (server, locker) = redis().await;
        let held = locker.lock("k").ttl(TTL).acquire().await.expect("free");
        let (_first, first) = joins(&server, 0).await;
        let (_second, second) = joins(&server, 1).await;
        let _: redis::Value = ask(&server, lost).await;
        drop(held);
        // In whatever order: that is lost, too.
        let visits = [first, second].map(|waiter| {
            tokio::spawn(async { gets_it(waiter).await.release().await.expect("ours") })
        });
        for visit in visits {
            visit.await.expect("no panic");
        }
    }
}

#[tokio::test]
async fn a_foreign_client_gets_through_the_open_door() {
    let (server, _locker) = redis().await;
    let stop = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mut busy = Vec::new();
    for _ in 0..3 {
        let (locker, stop) = (locker_at(&server.url()).await, Arc::clone(&stop));
        busy.push(tokio::spawn(async move {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                locker.lock("k").ttl(TTL).wait(LIMIT).run(async {}).await?;
            }
            Ok::<_, LockError>(())
        }));
    }
    // It polls.
    until(LIMIT, "the foreign client has it", async || {
        server.set_nx_px("k", "theirs", 60_000).await
    })
    .await;
    server.del("k").await;
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    for task in busy {
        task.await.expect("no panic").expect("its turn");
    }
}
