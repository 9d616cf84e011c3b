//! Requests for a key that several may hold.

use std::time::Duration;

use redis_locked::{LockError, LockGuard, LockRequest, Locker};
use tokio::task::JoinHandle;

/// Longer than any test: who gets such a lock was told.
pub(crate) const TTL: Duration = Duration::from_secs(60);

pub(crate) type Waiter = JoinHandle<Result<LockGuard, LockError>>;

pub(crate) fn whole(locker: &Locker) -> LockRequest {
    locker.lock("k").ttl(TTL)
}

pub(crate) fn permit(locker: &Locker, number: u32) -> LockRequest {
    whole(locker).permits(number)
}

pub(crate) fn reader(locker: &Locker) -> LockRequest {
    whole(locker).shared()
}

pub(crate) async fn has(request: LockRequest) -> LockGuard {
    request.acquire().await.expect("there is room")
}

pub(crate) async fn busy(request: LockRequest) -> LockError {
    let error = request.acquire().await.expect_err("there is no room");
    assert!(error.is_busy(), "{error}");
    error
}
