//! Fairness between processes: two lockers on one server, each with many callers; none starves.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use common::{LIMIT, locker_at, redis};
use redis_locked::Locker;
use tokio::task::JoinSet;

const TTL: Duration = Duration::from_secs(60);
const CALLERS: usize = 8;

#[derive(Default)]
struct Counts {
    inside: AtomicUsize,
    each: [AtomicUsize; 2],
}

/// How often each of two lockers had the lock, when all callers hold it so long, again and again.
async fn compete(hold: Duration, running: Duration) -> [usize; 2] {
    let (server, locker) = redis().await;
    let lockers = [locker, locker_at(&server.url()).await];
    let counts = Arc::new(Counts::default());
    let until = Instant::now() + running;
    let mut callers = JoinSet::new();
    for caller in 0..2 * CALLERS {
        let (locker, counts) = (lockers[caller % 2].clone(), Arc::clone(&counts));
        callers.spawn(async move {
            while Instant::now() < until {
                visit(&locker, &counts, caller % 2, hold).await;
            }
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller.expect("no panic");
    }
    [0, 1].map(|locker| counts.each[locker].load(SeqCst))
}

async fn visit(locker: &Locker, counts: &Counts, which: usize, hold: Duration) {
    let body = async {
        assert_eq!(counts.inside.fetch_add(1, SeqCst), 0);
        if !hold.is_zero() {
            tokio::time::sleep(hold).await;
        }
        counts.inside.fetch_sub(1, SeqCst);
        counts.each[which].fetch_add(1, SeqCst);
    };
    let call = locker.lock("k").ttl(TTL).wait(LIMIT).run(body);
    call.await.expect("its turn, within the wait");
}

fn assert_fair(counts: [usize; 2]) {
    let (all, least) = (counts[0] + counts[1], counts[0].min(counts[1]));
    assert!(all > 0 && least * 5 >= all, "{counts:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_bodies_that_do_nothing() {
    assert_fair(compete(Duration::ZERO, Duration::from_secs(2)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_bodies_that_take_a_while() {
    assert_fair(compete(Duration::from_millis(3), Duration::from_secs(2)).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_bodies_that_take_longer_than_a_tenure_is_passed_on() {
    assert_fair(compete(Duration::from_millis(60), Duration::from_secs(3)).await);
}
