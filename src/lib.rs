//! The facade.

pub use redis_locked_macros::redis_locked;
#[doc(hidden)]
pub use redis_locked_runtime::private as __private;
pub use redis_locked_runtime::{
    Backoff, FencingToken, Lease, LockError, LockGuard, LockRequest, Locker, LockerBuilder,
    LostReason, OnLost,
};
