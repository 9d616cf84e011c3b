//! Bodies inside bodies: what they see, and what would wait for itself.

use std::time::Duration;

use redis_locked::{Lease, LockError, Locker, redis_locked};

const WAIT: Duration = Duration::from_secs(60);

#[redis_locked(key = "outer")]
async fn outer<T>(inner: impl Future<Output = T>) -> Result<T, LockError> {
    assert_eq!(innermost().as_deref(), Some("outer"));
    let result = inner.await;
    assert_eq!(innermost().as_deref(), Some("outer"));
    Ok(result)
}

#[redis_locked(key = "{key}", wait)]
async fn named(key: &str) -> Result<(), LockError> {
    tokio::task::yield_now().await;
    Lease::assert_held(key);
    Ok(())
}

#[redis_locked(key = "recursive", wait)]
async fn recursive(depth: u32) -> Result<u32, LockError> {
    Box::pin(recursive(depth + 1)).await
}

fn innermost() -> Option<String> {
    Lease::current().map(|lease| lease.key().to_owned())
}

#[track_caller]
fn assert_would_deadlock<T>(result: Result<T, LockError>, expected: &str) {
    match result {
        Err(LockError::WouldDeadlock { key, .. }) => assert_eq!(key, expected),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("locked twice"),
    }
}

#[tokio::test]
async fn the_innermost_lease_is_the_current_one() {
    Locker::in_memory()
        .scope(async {
            assert!(innermost().is_none());
            let inner = outer(async {
                named("inner").await?;
                Lease::assert_held("outer");
                Ok::<_, LockError>(())
            });
            inner.await.expect("free").expect("free");
            assert!(innermost().is_none());
        })
        .await;
}

#[tokio::test]
async fn all_leases_around_are_held() {
    let locker = Locker::in_memory();
    let middle = locker.lock("middle").run(async {
        for key in ["outer", "middle"] {
            Lease::assert_held(key);
        }
        innermost()
    });
    let seen = locker.scope(outer(middle)).await;
    let seen = seen.expect("free").expect("free");
    assert_eq!(seen.as_deref(), Some("middle"));
}

#[tokio::test]
#[should_panic(expected = "lock \"other\" is not held here")]
async fn another_lock_is_not_enough() {
    let body = async { Lease::assert_held("other") };
    Locker::in_memory()
        .lock("key")
        .run(body)
        .await
        .expect("free");
}

#[tokio::test]
#[should_panic(expected = "is not held here")]
async fn a_guard_by_hand_is_no_body() {
    let locker = Locker::in_memory();
    let _guard = locker.lock("key").acquire().await.expect("free");
    Lease::assert_held("key");
}

#[tokio::test]
#[should_panic(expected = "is not held here")]
async fn a_lock_that_is_lost_is_not_held() {
    let request = Locker::in_memory()
        .lock("key")
        .ttl(Duration::from_millis(20));
    let body = async {
        std::thread::sleep(Duration::from_millis(20));
        Lease::assert_held("key");
    };
    request.run(body).await.expect("no pause, no cut");
}

#[tokio::test]
async fn spawned_tasks_are_outside_and_take_a_clone_along() {
    let body = async {
        let lease = Lease::current().expect("in a body");
        let task = async move {
            assert!(Lease::current().is_none());
            assert!(lease.is_held());
        };
        tokio::spawn(task).await.expect("no panic");
    };
    Locker::in_memory()
        .lock("key")
        .run(body)
        .await
        .expect("free");
}

#[tokio::test]
async fn a_function_that_calls_itself_fails_at_once() {
    let locker = Locker::in_memory();
    assert_would_deadlock(locker.scope(recursive(0)).await, "recursive");
}

#[tokio::test]
async fn a_function_with_the_key_of_one_around_fails_at_once() {
    let locker = Locker::in_memory();
    // Not only the innermost counts.
    let deep = outer(async { locker.lock("middle").run(named("outer")).await });
    let result = locker.scope(deep).await.expect("free").expect("free");
    assert_would_deadlock(result, "outer");
}

#[tokio::test]
async fn requests_by_hand_fail_at_once_too() {
    let locker = Locker::in_memory();
    let body = async {
        let again = || locker.lock("key").wait(WAIT);
        assert_would_deadlock(again().acquire().await, "key");
        assert_would_deadlock(again().run(async {}).await, "key");
        assert_would_deadlock(locker.lock("key").acquire().await, "key");
    };
    locker.lock("key").run(body).await.expect("free");
}

/// Two branches of one body are in that body, each for itself.
#[tokio::test]
async fn branches_of_a_body_see_what_is_around_them_only() {
    let locker = Locker::in_memory();
    let branch = async |key: &'static str| {
        let body = async {
            for _ in 0..5 {
                tokio::task::yield_now().await;
                assert_eq!(innermost().as_deref(), Some(key));
            }
        };
        locker.lock(key).run(body).await
    };
    let (left, right) = tokio::join!(branch("left"), branch("right"));
    left.and(right).expect("free");
}

#[tokio::test]
async fn the_key_of_another_locker_or_prefix_is_another_key() {
    let (one, other) = (Locker::in_memory(), Locker::in_memory());
    let inner = other.lock("key").run(async { innermost() });
    let seen = one.lock("key").run(inner).await.expect("free");
    assert_eq!(seen.expect("free").as_deref(), Some("key"));
}

/// A request that was made outside is judged by where it is awaited.
#[tokio::test]
async fn it_is_the_place_of_the_await_that_counts() {
    let locker = Locker::in_memory();
    let prepared = locker.lock("key").run(async {});
    let result = locker.lock("key").run(prepared).await.expect("free");
    assert_would_deadlock(result, "key");
}

#[tokio::test]
async fn a_lock_that_was_released_does_not_deadlock() {
    let locker = Locker::in_memory();
    for _ in 0..2 {
        locker.lock("key").run(async {}).await.expect("free");
    }
    let body = async { locker.lock("other").run(async {}).await };
    locker
        .lock("key")
        .run(body)
        .await
        .expect("free")
        .expect("free");
}
