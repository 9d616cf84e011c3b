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
    assert_eq!(
        *order.lock().expect("no panic"),
        (0..WAITERS).collect::<Vec<_>>()
    );
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
    let (_locker, waiter) = joins(&server, 0).await;
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

#[tokio::test]
async fn who_gives_up_leaves_its_place_to_the_next_of_its_process() {
    let (server, locker) = redis().await;
    let held = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    let ours = locker_at(&server.url()).await;
    let gives_up = tokio::spawn(ours.lock("k").ttl(TTL).wait(LIMIT).acquire());
    until_waiting(&server, 1).await;
    let place: f64 =
        ask::<Vec<(String, f64)>>(&server, "ZRANGE {k}:line 0 0 WITHSCORES").await[0].1;
    let next = tokio::spawn(ours.lock("k").ttl(TTL).wait(LIMIT).acquire());
    let (_other, theirs) = joins(&server, 1).await;
    gives_up.abort();
    drop(gives_up.await);
    // The place is taken over, not given back.
    let first: Vec<(String, f64)> = ask(&server, "ZRANGE {k}:line 0 0 WITHSCORES").await;
    assert!((first[0].1 - place).abs() < f64::EPSILON);
    held.release().await.expect("ours");
    let guard = gets_it(next).await;
    assert!(!theirs.is_finished());
    guard.release().await.expect("ours");
    drop(gets_it(theirs).await);
}

#[tokio::test]
async fn a_place_that_the_next_cannot_use_is_given_back() {
    let (server, locker) = redis().await;
    let held = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    let ours = locker_at(&server.url()).await;
    let gives_up = tokio::spawn(ours.lock("k").ttl(TTL).wait(LIMIT).acquire());
    until_waiting(&server, 1).await;
    let (_other, theirs) = joins(&server, 1).await;
    let next = tokio::spawn(ours.lock("k").fenced().ttl(TTL).wait(LIMIT).acquire());
    gives_up.abort();
    drop(gives_up.await);
    until_waiting(&server, 2).await;
    held.release().await.expect("ours");
    gets_it(theirs).await.release().await.expect("ours");
    assert!(gets_it(next).await.fencing_token().is_some());
}

#[tokio::test]
async fn busy_tells_how_many_wait() {
    let (server, locker) = redis().await;
    let held = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    let (_first, first) = joins(&server, 0).await;
    let (_second, second) = joins(&server, 1).await;
    for fenced in [false, true] {
        let mut request = locker.lock("k").ttl(TTL);
        if fenced {
            request = request.fenced();
        }
        let busy = request.acquire().await.expect_err("held");
        assert!(
            matches!(
                busy,
                LockError::Busy {
                    waiting: Some(2),
                    ..
                }
            ),
            "{busy:?}"
        );
        assert!(busy.to_string().contains("and 2 wait for it"), "{busy}");
    }
    // Who waited does not count itself.
    let other = locker_at(&server.url()).await;
    let short = Duration::from_millis(300);
    let busy = other
        .lock("k")
        .wait(short)
        .acquire()
        .await
        .expect_err("held");
    assert!(
        matches!(
            busy,
            LockError::Busy {
                waiting: Some(2),
                ..
            }
        ),
        "{busy:?}"
    );
    drop((held, first, second));
}

#[tokio::test]
async fn a_release_of_a_key_that_is_gone_passes_it_on() {
    let (server, locker) = redis().await;
    let held = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    let (_other, waiter) = joins(&server, 0).await;
    // Its bell is all that tells: nothing is pushed while the key is not watched.
    let gone: i64 = ask(&server, "DEL k").await;
    assert_eq!(gone, 1);
    assert!(held.release().await.expect_err("gone").is_not_held());
    drop(gets_it(waiter).await);
}

#[tokio::test]
async fn coalescing_callers_leave_the_work_to_the_one_who_waits() {
    let (server, locker) = redis().await;
    let coalesce = |locker: &Locker| locker.lock("k").ttl(TTL).wait(LIMIT).coalesce();
    let held = coalesce(&locker).acquire().await.expect("free");
    // Of the holder's own process, in a line that nobody else sees but on the server.
    let waits = tokio::spawn(coalesce(&locker).acquire());
    until_waiting(&server, 1).await;
    let other = locker_at(&server.url()).await;
    for locker in [&locker, &other] {
        let busy = coalesce(locker)
            .acquire()
            .await
            .expect_err("somebody waits");
        assert!(
            matches!(
                busy,
                LockError::Busy {
                    waiting: Some(1),
                    ..
                }
            ),
            "{busy:?}"
        );
    }
    // Who does not coalesce, waits.
    let (another, third) = joins(&server, 1).await;
    // Its process has not asked who has the lock, and takes nobody's key for a foreign one.
    let busy = coalesce(&another).acquire().await.expect_err("one waits");
    assert!(
        matches!(
            busy,
            LockError::Busy {
                waiting: Some(1),
                foreign: false,
                endless: false,
                ..
            }
        ),
        "{busy:?}"
    );
    held.release().await.expect("ours");
    gets_it(waits).await.release().await.expect("ours");
    gets_it(third).await.release().await.expect("ours");
    gets_it(tokio::spawn(coalesce(&other).acquire()))
        .await
        .release()
        .await
        .expect("ours");
}

#[tokio::test]
async fn who_is_gone_is_nobody_to_count_on() {
    let (server, locker) = redis().await;
    let held = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    let gone = format!("{};gone", "x".repeat(22));
    let _: i64 = ask(&server, &format!("ZADD {{k}}:line 1 {gone}")).await;
    let mut connection = server.connection().await;
    let mut command = redis::cmd("HSET");
    command
        .arg("{k}:seats")
        .arg(gone)
        .arg("99999999999999 1 2000 0 bell:x");
    let _: i64 = command
        .query_async(&mut connection)
        .await
        .expect("answered");
    let waits = tokio::spawn(locker.lock("k").ttl(TTL).wait(LIMIT).coalesce().acquire());
    until(LIMIT, "it has a seat, and the dead none", async || {
        let line: Vec<String> = ask(&server, "ZRANGE {k}:line 0 -1").await;
        line.len() == 1 && !line[0].contains("gone")
    })
    .await;
    held.release().await.expect("ours");
    drop(gets_it(waits).await);
}

#[tokio::test]
async fn callers_of_one_process_who_coalesce_are_owed_a_run_by_the_first_that_waits() {
    let (server, locker) = redis().await;
    let runs = Arc::new(std::sync::atomic::AtomicU64::new(0));
    for _ in 0..20 {
        let mut all = Vec::new();
        for _ in 0..8 {
            let (locker, runs) = (locker.clone(), Arc::clone(&runs));
            let request = locker.lock("k").ttl(TTL).wait(LIMIT).coalesce();
            all.push(tokio::spawn(async move {
                let asked = runs.load(std::sync::atomic::Ordering::SeqCst);
                let ran = request.run(async {
                    runs.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    tokio::time::sleep(Duration::from_millis(1)).await;
                });
                (asked, ran.await)
            }));
        }
        let mut owed = Vec::new();
        for caller in all {
            let (asked, ran) = caller.await.expect("no panic");
            match ran {
                Ok(()) => {}
                Err(error) if error.is_busy() => owed.push(asked),
                Err(error) => panic!("{error}"),
            }
        }
        let all = runs.load(std::sync::atomic::Ordering::SeqCst);
        assert!(owed.iter().all(|asked| *asked < all), "{owed:?}, {all} ran");
    }
    let all = runs.load(std::sync::atomic::Ordering::SeqCst);
    assert!(all < 20 * 8, "some leave it to others");
    drop(server);
}
