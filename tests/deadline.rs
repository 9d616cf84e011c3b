//! The body is polled only while the lock is surely held.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use redis_locked::{LockError, Locker, LostReason, OnLost, redis_locked};
use redis_locked_test_support::{Logs, Server};
use tokio::sync::Notify;
use tokio::task::yield_now;
use tokio::time::sleep;
use tracing::Level;

const TTL: Duration = Duration::from_millis(300);
/// Long enough that an extension gets through in time on a loaded machine.
const RENEWED: Duration = Duration::from_secs(4);
const LONG: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(20);

/// With time limits that no loaded machine reaches.
async fn connected(url: &str) -> Locker {
    let builder = Locker::builder()
        .connection_timeout(LIMIT)
        .response_timeout(LIMIT);
    builder.connect(url).await.expect("connected")
}

async fn redis() -> (Server, Locker) {
    let server = Server::start().await;
    let locker = connected(&server.url()).await;
    (server, locker)
}

#[track_caller]
fn reason<T>(result: Result<T, LockError>) -> LostReason {
    match result {
        Err(LockError::Lost { key, reason, .. }) => {
            assert_eq!(key, "key");
            reason
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("the body came to its end"),
    }
}

#[tokio::test]
async fn a_body_that_pauses_is_cut_off_at_the_deadline() {
    let (server, locker) = redis().await;
    let state = Arc::new(());
    let in_body = state.clone();
    let started = Instant::now();
    let mut running = Box::pin(locker.lock("key").ttl(TTL).run(async move {
        sleep(LONG).await;
        drop(in_body);
    }));
    assert_eq!(reason(running.as_mut().await), LostReason::Expired);
    // The caller has its answer, and has not dropped the future yet.
    assert_eq!(Arc::strong_count(&state), 1);
    let drift = TTL / 100 + Duration::from_millis(2);
    assert!(started.elapsed() + drift >= TTL, "cut off early");
    locker.shutdown().await;
    assert!(!server.exists("key").await);
}

/// By the time that the body is woken, a thread that stood still has let the deadline pass.
#[tokio::test]
async fn a_body_is_not_polled_after_the_deadline_by_a_late_executor() {
    let (_server, locker) = redis().await;
    let wake = Arc::new(Notify::new());
    let polled_late = Arc::new(AtomicBool::new(false));
    let body = {
        let (wake, polled_late) = (wake.clone(), polled_late.clone());
        async move {
            wake.notify_one();
            yield_now().await;
            wake.notified().await;
            polled_late.store(true, Ordering::SeqCst);
        }
    };
    let running = tokio::spawn(locker.lock("key").ttl(TTL).run(body));
    wake.notified().await;
    wake.notify_one();
    thread::sleep(TTL);
    let result = running.await.expect("no panic");
    assert_eq!(reason(result), LostReason::Expired);
    assert!(!polled_late.load(Ordering::SeqCst));
}

#[tokio::test]
async fn a_body_that_blocks_its_thread_past_the_deadline_is_not_polled_again() {
    let (_server, locker) = redis().await;
    let mut polled_late = false;
    let body = async {
        thread::sleep(TTL);
        yield_now().await;
        polled_late = true;
    };
    let result = locker.lock("key").ttl(TTL).run(body).await;
    assert_eq!(reason(result), LostReason::Expired);
    assert!(!polled_late);
}

/// The same for a body that never pauses, so that no timer can cut it off.
#[tokio::test]
async fn a_body_that_is_always_ready_is_cut_off() {
    let (_server, locker) = redis().await;
    let body = async {
        loop {
            yield_now().await;
        }
    };
    let result = locker.lock("key").ttl(TTL).run(body).await;
    assert_eq!(reason::<()>(result), LostReason::Expired);
}

#[redis_locked(key = "key", ttl = TTL, on_lost = finish, locker = locker)]
async fn finishing(locker: &Locker, bound: Duration) -> Result<&'static str, LockError> {
    sleep(bound).await;
    Ok("finished")
}

#[tokio::test]
async fn a_body_may_finish_without_its_lock_and_a_warning_says_so() {
    let (server, locker) = redis().await;
    let (logs, _guard) = Logs::of_this_thread();
    assert_eq!(
        finishing(&locker, Duration::ZERO).await.ok(),
        Some("finished")
    );
    assert!(logs.find(Level::WARN, "").is_none(), "{:?}", logs.events());
    assert_eq!(finishing(&locker, TTL).await.ok(), Some("finished"));
    let warning = logs.find(Level::WARN, "lost").expect("a warning");
    assert_eq!(warning.fields["lock.key"], "key");
    locker.shutdown().await;
    assert!(!server.exists("key").await);
}

/// With `finish`, the loss still is one: others get the lock, and the end does not touch theirs.
#[tokio::test]
async fn a_body_that_finishes_late_leaves_the_next_holder_alone() {
    let (server, locker) = redis().await;
    let other = connected(&server.url()).await;
    let begun = Arc::new(Notify::new());
    let taken = Arc::new(Notify::new());
    let body = {
        let (begun, taken) = (begun.clone(), taken.clone());
        async move {
            begun.notify_one();
            taken.notified().await;
        }
    };
    let request = locker.lock("key").ttl(TTL).on_lost(OnLost::Finish);
    let running = tokio::spawn(request.run(body));
    begun.notified().await;
    let next = other
        .lock("key")
        .ttl(LONG)
        .wait(LIMIT)
        .acquire()
        .await
        .expect("taken over");
    taken.notify_one();
    running.await.expect("no panic").expect("finished");
    let value = server.get("key").await.expect("the next holder's");
    assert!(value.starts_with(next.token()));
    next.release().await.expect("still held");
}

#[tokio::test]
async fn max_hold_bounds_a_renewed_body() {
    let (server, locker) = redis().await;
    let monitor = server.monitor();
    let started = Instant::now();
    let max_hold = RENEWED * 3 / 2;
    let request = locker.lock("key").ttl(RENEWED).renew().max_hold(max_hold);
    let result = request.run(sleep(LONG)).await;
    assert_eq!(reason(result), LostReason::MaxHold);
    assert!(started.elapsed() >= max_hold, "cut off early");
    let released = |event: &redis_locked_test_support::Event| event.is("del", "key");
    monitor.wait_for(released, LIMIT).await;
}

#[tokio::test]
async fn max_hold_under_the_ttl_counts_too() {
    let (_server, locker) = redis().await;
    let request = locker.lock("key").ttl(LONG).renew().max_hold(TTL);
    let mut seen = Duration::MAX;
    let body = async {
        seen = redis_locked::Lease::current()
            .expect("in a body")
            .remaining();
        sleep(LONG).await;
    };
    assert_eq!(reason(request.run(body).await), LostReason::MaxHold);
    assert!(seen <= TTL);
}

/// A body that outlives its ttl, and whose lock nobody else gets meanwhile.
#[tokio::test]
async fn a_renewed_body_runs_as_long_as_it_takes() {
    let (server, locker) = redis().await;
    let intruder = async {
        while !server.set_nx_px("key", "thief", 1).await {
            sleep(Duration::from_millis(1)).await;
        }
        panic!("the key was free");
    };
    let body = sleep(RENEWED * 3 / 2);
    let request = locker.lock("key").ttl(RENEWED).renew().run(async {
        tokio::select! {
            () = body => {}
            () = intruder => {}
        }
    });
    request.await.expect("held to the end");
    assert!(!server.exists("key").await);
}
