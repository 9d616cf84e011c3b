//! A holder that loses the lock, or goes on without it, holds up nobody in its line.

mod common;

use std::future::pending;
use std::time::{Duration, Instant};

use common::{LIMIT, redis};
use redis_locked::{LockError, LockRequest, Locker, OnLost};
use redis_locked_test_support::until;
use tokio::task::{JoinHandle, yield_now};

/// Longer than any test: who gets such a lock was called.
const TTL: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(300);
/// Extended, and a loss noticed, after a quarter.
const RENEWED: Duration = Duration::from_secs(3);

fn request(locker: &Locker) -> LockRequest {
    locker.lock("k").ttl(TTL).wait(LIMIT)
}

/// One who has its place in the line when this returns: the test's runtime has one thread.
async fn next<T: Send + 'static>(
    call: impl Future<Output = Result<T, LockError>> + Send + 'static,
) -> JoinHandle<Result<T, LockError>> {
    let task = tokio::spawn(call);
    yield_now().await;
    task
}

async fn turn_of<T>(task: JoinHandle<Result<T, LockError>>) -> T {
    let result = tokio::time::timeout(LIMIT, task).await;
    let result = result.expect("in time").expect("no panic");
    result.expect("its turn")
}

#[tokio::test]
async fn one_that_lost_its_key_holds_up_nobody() {
    for taken_over in [false, true] {
        let (server, locker) = redis().await;
        let held = request(&locker).ttl(RENEWED).renew().acquire().await;
        let held = held.expect("free");
        let deadline = Instant::now() + held.remaining();
        let task = next(request(&locker).acquire()).await;
        if taken_over {
            server.set_px("k", "theirs", 200).await;
        } else {
            server.del("k").await;
        }
        let guard = turn_of(task).await;
        assert!(Instant::now() < deadline, "called only by the clock");
        assert!(!held.is_held());
        assert_ne!(guard.token(), held.token());
        assert!(held.release().await.expect_err("lost").is_not_held());
        assert!(guard.is_held());
        assert!(server.exists("k").await);
    }
}

#[tokio::test]
async fn one_that_does_not_know_of_its_loss_passes_on_nothing() {
    let (server, locker) = redis().await;
    let unaware = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    let granted = next(request(&locker).acquire()).await;
    let after = next(request(&locker).acquire()).await;
    server.del("k").await;
    let guard = turn_of(granted).await;
    let error = unaware.release().await.expect_err("deleted");
    assert!(error.is_not_held(), "{error}");
    assert!(guard.is_held() && !after.is_finished());
    guard.release().await.expect("ours");
    assert!(turn_of(after).await.is_held());
}

#[tokio::test]
async fn one_that_goes_on_past_its_deadline_holds_up_nobody() {
    let (_server, locker) = redis().await;
    let finish = request(&locker).ttl(SHORT).on_lost(OnLost::Finish);
    let endless = next(finish.run(pending::<()>())).await;
    until(LIMIT, "it holds the lock", async || {
        let busy = locker.lock("k").acquire().await;
        busy.is_err_and(|error| error.is_busy())
    })
    .await;
    let guard = turn_of(next(request(&locker).acquire()).await).await;
    assert!(guard.is_held() && !endless.is_finished());
    endless.abort();
    assert!(endless.await.expect_err("aborted").is_cancelled());
    assert!(guard.is_held());
    guard.release().await.expect("ours");
}
