//! A body that hangs is noticed: nothing wakes it.

use std::future::{pending, poll_fn};
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use redis_locked::{LockError, LockRequest, Locker, LostReason, OnLost, redis_locked};
use tokio::sync::oneshot;
use tokio::time::{Instant, interval, sleep};

const TTL: Duration = Duration::from_secs(30);
const IDLE: Duration = Duration::from_secs(100);
const SECOND: Duration = Duration::from_secs(1);

fn request(locker: &Locker) -> LockRequest {
    locker.lock("k").ttl(TTL).renew().max_idle(IDLE)
}

#[track_caller]
fn is_idle<T: std::fmt::Debug>(result: Result<T, LockError>) {
    let error = result.expect_err("it hangs");
    let LockError::Lost { reason, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!(*reason, LostReason::Idle);
    assert!(error.to_string().contains("give that a timeout"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_hangs_is_cut_off_and_its_lock_is_free() {
    let locker = Locker::in_memory();
    let began = Instant::now();
    let body = async {
        // It works for a while.
        for _ in 0..10 {
            sleep(IDLE / 2).await;
        }
        pending::<()>().await;
    };
    is_idle(request(&locker).run(body).await);
    assert_eq!(began.elapsed(), IDLE * 6);
    locker.shutdown().await;
    let next = locker.lock("k").acquire().await.expect("free");
    next.release().await.expect("ours");
}

/// What polls its task for other reasons would hide that: the timer of its own cut-off does at each ttl.
#[tokio::test(start_paused = true)]
async fn what_else_its_task_is_polled_for_does_not_count() {
    let locker = Locker::in_memory();
    let began = Instant::now();
    let polls = AtomicU32::new(0);
    let hangs = poll_fn(|_| {
        polls.fetch_add(1, Ordering::SeqCst);
        Poll::<()>::Pending
    });
    let busy = async {
        let mut ticks = interval(SECOND);
        while began.elapsed() < IDLE * 3 {
            ticks.tick().await;
        }
    };
    // In one task.
    let (ended, ()) = tokio::join!(
        async {
            let ended = request(&locker).run(hangs).await;
            (ended, began.elapsed())
        },
        busy
    );
    is_idle(ended.0);
    assert_eq!(ended.1, IDLE);
    assert!(polls.load(Ordering::SeqCst) > 50);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_something_wakes_goes_on() {
    let locker = Locker::in_memory();
    let body = async {
        for _ in 0..50 {
            sleep(SECOND * 99).await;
        }
        "done"
    };
    assert_eq!(request(&locker).run(body).await.expect("not idle"), "done");
    // Woken from another task, which moves the body among tasks, too.
    let (wakes, woken) = oneshot::channel();
    let mut run = Box::pin(request(&locker).run(woken));
    let first = poll_fn(|cx| Poll::Ready(run.as_mut().poll(cx))).await;
    assert!(first.is_pending());
    let elsewhere = tokio::spawn(run);
    sleep(SECOND * 99).await;
    wakes.send(7).expect("it waits");
    let sent = elsewhere.await.expect("no panic").expect("not idle");
    assert_eq!(sent, Ok(7));
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_stays_lost_though_the_body_moves_again() {
    let locker = Locker::in_memory();
    let began = Instant::now();
    let body = async {
        sleep(IDLE * 2).await;
        let lease = redis_locked::Lease::current().expect("in a body");
        let is_held = lease.is_held();
        sleep(SECOND).await;
        (is_held, lease.is_held(), lease.lost().await)
    };
    let finish = request(&locker).on_lost(OnLost::Finish).run(body);
    let next = async {
        // The key is given up when the last extension is over.
        let next = locker.lock("k").wait(IDLE * 2).acquire().await;
        next.expect("given up").release().await.expect("ours");
        began.elapsed()
    };
    let (finished, freed) = tokio::join!(finish, next);
    let expected = (false, false, LostReason::Idle);
    assert_eq!(finished.expect("it finishes"), expected);
    assert!(freed >= IDLE && freed <= IDLE + TTL, "{freed:?}");
}

#[tokio::test(start_paused = true)]
async fn the_first_word_on_a_loss_is_the_earlier_one() {
    let locker = Locker::in_memory();
    let limited = request(&locker).max_hold(IDLE / 2).run(pending::<()>());
    let error = limited.await.expect_err("cut off");
    assert!(
        error.to_string().contains("`max_hold` was reached"),
        "{error}"
    );
    let limited = request(&locker).max_hold(IDLE * 2).run(pending::<()>());
    is_idle(limited.await);
}

#[tokio::test]
async fn it_needs_renew() {
    let locker = Locker::in_memory();
    let error = locker.lock("k").max_idle(IDLE).acquire().await;
    let error = error.expect_err("refused");
    assert!(
        error.to_string().contains("`max_idle` needs `renew`"),
        "{error}"
    );
    let error = locker
        .lock("k")
        .renew()
        .max_idle(Duration::ZERO)
        .acquire()
        .await;
    let error = error.expect_err("refused");
    assert!(error.to_string().contains("max_idle is zero"), "{error}");
}

#[redis_locked(key = "k", ttl = "30s", renew, max_idle = "100s", once_per = "1d")]
async fn hangs() -> Result<(), LockError> {
    pending().await
}

#[tokio::test(start_paused = true)]
async fn a_job_that_hangs_leaves_its_period_open() {
    let noon = std::time::UNIX_EPOCH + Duration::from_secs(43_200);
    let locker = Locker::builder().in_memory_at(noon);
    is_idle(locker.scope(hangs()).await);
    locker.shutdown().await;
    let last = locker.last_run("k").await.expect("read").expect("recorded");
    assert_eq!(last.outcome, Some(redis_locked::Outcome::CutOff));
    is_idle(locker.scope(hangs()).await);
}
