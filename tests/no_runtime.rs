//! A locked function that is polled by an executor that is not tokio's.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use redis_locked::{LockError, Locker, redis_locked};

#[redis_locked(key = "k", locker = locker)]
async fn pauses(locker: &Locker, began: &AtomicBool) -> Result<(), LockError> {
    began.store(true, Ordering::Relaxed);
    std::future::pending().await
}

#[redis_locked(key = "k", locker = locker)]
async fn never_pauses(locker: &Locker, began: &AtomicBool) -> Result<(), LockError> {
    began.store(true, Ordering::Relaxed);
    Ok(())
}

fn polled<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut context = Context::from_waker(Waker::noop());
    match pin!(future).poll(&mut context) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

#[track_caller]
fn assert_refused(result: Option<Result<(), LockError>>, began: &AtomicBool) {
    let error = result
        .expect("no answer is needed")
        .expect_err("nothing runs here");
    assert!(matches!(error, LockError::InvalidRequest { .. }), "{error}");
    assert!(error.to_string().contains("tokio"), "{error}");
    assert!(!began.load(Ordering::Relaxed), "the body began");
}

#[test]
fn without_a_runtime_the_body_does_not_begin() {
    let (locker, began) = (Locker::in_memory(), AtomicBool::new(false));
    assert_refused(polled(pauses(&locker, &began)), &began);
    assert_refused(polled(never_pauses(&locker, &began)), &began);
}
