//! How a tenure ends.

use std::future::pending;
use std::time::{Duration, Instant};

use redis_locked::{LockError, LockGuard, Locker, LostReason, OnLost, redis_locked};
use redis_locked_test_support::{until, until_some};
use tokio::sync::Notify;

use crate::common::LIMIT;

const TTL: Duration = Duration::from_secs(60);
const BRIEF: Duration = Duration::from_millis(200);

/// The lock of `k`, as soon as it is free.
async fn once_free(locker: &Locker) -> LockGuard {
    until_some(LIMIT, "the lock is free", async || {
        locker.lock("k").ttl(TTL).acquire().await.ok()
    })
    .await
}

#[redis_locked(key = "k", ttl = TTL)]
async fn end(how: &str) -> Result<u32, LockError> {
    match how {
        "end" => {}
        "return" => return Ok(1),
        _ => {
            let other = Locker::in_memory();
            drop(other.lock("").acquire().await?);
        }
    }
    Ok(0)
}

pub(crate) async fn the_result_passes_and_the_lock_is_free(locker: Locker) {
    for (how, result) in [("end", Some(0)), ("return", Some(1)), ("?", None)] {
        assert_eq!(locker.scope(end(how)).await.ok(), result, "{how}");
        let guard = locker.lock("k").ttl(TTL).acquire().await;
        guard.expect("free at once").release().await.expect("ours");
    }
    let body = locker.lock("k").run(async { Err::<(), _>("its own") });
    assert_eq!(body.await.expect("free"), Err("its own"));
}

pub(crate) async fn a_dropped_guard_frees_the_lock(locker: Locker) {
    drop(locker.lock("k").ttl(TTL).acquire().await.expect("free"));
    drop(once_free(&locker).await);
    locker.shutdown().await;
    let guard = locker.lock("k").acquire().await;
    drop(guard.expect("free after the shutdown"));
}

pub(crate) async fn a_cancelled_body_frees_the_lock(locker: Locker) {
    let inside = Notify::new();
    let body = async {
        inside.notify_one();
        pending::<()>().await;
    };
    tokio::select! {
        _ = locker.lock("k").ttl(TTL).run(body) => unreachable!(),
        () = inside.notified() => {}
    }
    drop(once_free(&locker).await);
}

pub(crate) async fn a_panic_frees_the_lock(locker: Locker) {
    let body = async { panic!("as asked") };
    let call = tokio::spawn(locker.lock("k").ttl(TTL).run(body));
    assert!(call.await.expect_err("panicked").is_panic());
    drop(once_free(&locker).await);
}

pub(crate) async fn a_body_is_cut_off_at_its_deadline(locker: Locker) {
    let start = Instant::now();
    let call = locker.lock("k").ttl(BRIEF).run(pending::<()>());
    let error = call.await.expect_err("cut off");
    assert!(
        matches!(
            error,
            LockError::Lost {
                reason: LostReason::Expired,
                ..
            }
        ),
        "{error}"
    );
    assert!(start.elapsed() >= BRIEF * 9 / 10);
    drop(once_free(&locker).await);
}

pub(crate) async fn on_lost_finish_lets_it_end(locker: Locker) {
    let (inside, lost) = (Notify::new(), Notify::new());
    let request = locker.lock("k").ttl(BRIEF).on_lost(OnLost::Finish);
    let body = async {
        inside.notify_one();
        lost.notified().await;
        7
    };
    let (result, ()) = tokio::join!(request.run(body), async {
        inside.notified().await;
        drop(once_free(&locker).await);
        lost.notify_one();
    });
    assert_eq!(result.expect("it finished"), 7);
}

pub(crate) async fn max_hold_ends_a_renewed_body(locker: Locker) {
    let request = locker.lock("k").ttl(BRIEF * 8).renew().max_hold(BRIEF * 10);
    let start = Instant::now();
    let error = request.run(pending::<()>()).await.expect_err("cut off");
    assert!(start.elapsed() >= BRIEF * 9, "renewed");
    assert!(
        matches!(
            error,
            LockError::Lost {
                reason: LostReason::MaxHold,
                ..
            }
        ),
        "{error}"
    );
    drop(once_free(&locker).await);
}

pub(crate) async fn min_hold_keeps_the_key(locker: Locker) {
    let hold = BRIEF * 5;
    for released in [true, false] {
        let start = Instant::now();
        let guard = locker.lock("k").ttl(TTL).min_hold(hold).acquire().await;
        let guard = guard.expect("free");
        if released {
            guard.release().await.expect("ours");
        } else {
            drop(guard);
            locker.shutdown().await;
        }
        let next = once_free(&locker).await;
        let took = start.elapsed();
        assert!(took >= hold * 9 / 10, "free after {took:?}");
        next.release().await.expect("ours");
    }
}

pub(crate) async fn after_the_release_the_lease_is_over(locker: Locker) {
    let guard = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    let lease = guard.lease();
    guard.release().await.expect("ours");
    assert!(!lease.is_held());
    assert_eq!(lease.remaining(), Duration::ZERO);
    assert!(lease.extend(TTL).await.expect_err("over").is_not_held());

    let guard = locker
        .lock("k")
        .ttl(TTL)
        .renew()
        .acquire()
        .await
        .expect("free");
    let lease = guard.lease();
    drop(guard);
    until(LIMIT, "the lease is over", async || !lease.is_held()).await;
    once_free(&locker).await.release().await.expect("ours");
}
