//! Who gets the lock, and when.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use redis_locked::{LockError, Locker};
use tokio::task::yield_now;

use crate::common::LIMIT;

const TTL: Duration = Duration::from_secs(60);
const BRIEF: Duration = Duration::from_millis(200);
const PAUSE: Duration = Duration::from_millis(2);

pub(crate) async fn one_at_a_time(locker: Locker) {
    let (inside, total) = (Cell::new(0), Cell::new(0));
    let work = async || {
        assert_eq!(inside.replace(1), 0, "not alone");
        yield_now().await;
        tokio::time::sleep(Duration::ZERO).await;
        inside.set(0);
        total.set(total.get() + 1);
    };
    let retrying = async || {
        for _ in 0..15 {
            let request = locker.lock("k").ttl(TTL).retries(1_000_000).backoff(PAUSE);
            request.run(work()).await.expect("its turn");
        }
    };
    let waiting = async || {
        for _ in 0..15 {
            let request = locker.lock("k").ttl(TTL).wait(LIMIT);
            request.run(work()).await.expect("its turn");
        }
    };
    tokio::join!(retrying(), retrying(), waiting(), waiting(), waiting());
    assert_eq!(total.get(), 75);
}

/// Acquires while someone else holds the lock, who then releases it.
async fn after_a_release(locker: &Locker, request: redis_locked::LockRequest) {
    let held = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    let mut acquiring = pin!(request.acquire());
    // Far enough to have found the lock busy, where that takes one poll or a few.
    let begun = tokio::time::timeout(BRIEF / 4, poll_fn(|cx| acquiring.as_mut().poll(cx))).await;
    assert!(begun.is_err(), "the lock was busy");
    held.release().await.expect("ours");
    let guard = tokio::time::timeout(LIMIT, acquiring)
        .await
        .expect("its turn");
    guard.expect("free").release().await.expect("ours");
}

pub(crate) async fn retries_get_what_is_released(locker: Locker) {
    let request = locker.lock("k").ttl(TTL).retries(1_000_000).backoff(PAUSE);
    after_a_release(&locker, request).await;
}

pub(crate) async fn waiting_gets_what_is_released(locker: Locker) {
    after_a_release(&locker, locker.lock("k").ttl(TTL).wait(LIMIT)).await;
    after_a_release(&locker, locker.lock("k").ttl(TTL).wait_forever()).await;
}

pub(crate) async fn retries_run_out(locker: Locker) {
    let _held = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    for retries in [0, 1, 5] {
        let start = Instant::now();
        let request = locker.lock("k").retries(retries).backoff(PAUSE);
        let error = request.acquire().await.expect_err("busy");
        assert!(start.elapsed() >= PAUSE * retries);
        let LockError::Busy { attempts, .. } = error else {
            panic!("{error}");
        };
        assert_eq!(attempts, retries + 1);
    }
}

pub(crate) async fn waiting_gets_what_expires(locker: Locker) {
    let held = locker.lock("k").ttl(BRIEF).acquire().await.expect("free");
    // As of a process that has died.
    std::mem::forget(held);
    let request = locker.lock("k").ttl(TTL).wait(LIMIT);
    request.run(async {}).await.expect("its turn");
}

pub(crate) async fn waiting_runs_out(locker: Locker) {
    let _held = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    let start = Instant::now();
    let error = locker
        .lock("k")
        .wait(BRIEF)
        .acquire()
        .await
        .expect_err("busy");
    assert!(error.is_busy(), "{error}");
    assert!(start.elapsed() >= BRIEF);
}

pub(crate) async fn who_waits_comes_in_order(locker: Locker) {
    let held = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    let order: Arc<Mutex<Vec<u32>>> = Arc::default();
    let mut waiting = Vec::new();
    for number in 0..10 {
        let (request, order) = (locker.lock("k").ttl(TTL).wait(LIMIT), Arc::clone(&order));
        let body = async move { order.lock().expect("no panic").push(number) };
        waiting.push(tokio::spawn(request.run(body)));
        // So that it takes its place in the line.
        yield_now().await;
    }
    held.release().await.expect("ours");
    for call in waiting {
        call.await.expect("no panic").expect("its turn");
    }
    let order = order.lock().expect("no panic");
    assert_eq!(*order, (0..10).collect::<Vec<_>>());
}

pub(crate) async fn who_leaves_the_line_is_skipped(locker: Locker) {
    let held = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    for _ in 0..3 {
        let request = locker.lock("k").ttl(TTL).wait(LIMIT);
        let left = tokio::time::timeout(PAUSE, request.acquire()).await;
        assert!(left.is_err(), "the lock was busy");
    }
    let last = tokio::spawn(locker.lock("k").ttl(TTL).wait(LIMIT).acquire());
    yield_now().await;
    held.release().await.expect("ours");
    let guard = tokio::time::timeout(LIMIT, last).await.expect("its turn");
    drop(guard.expect("no panic").expect("free"));
}
