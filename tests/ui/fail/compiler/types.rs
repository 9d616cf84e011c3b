//! Arguments whose expressions have another type.

use std::time::Duration;

use redis_locked::{LockError, redis_locked};

const SECONDS: u64 = 5;

#[redis_locked(key = "k", ttl = SECONDS)]
async fn ttl_is_a_number() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", retries = SECONDS, backoff = SECONDS)]
async fn retries_and_backoff() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", locker = "redis://localhost")]
async fn locker_is_an_address() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", locker = locker)]
async fn locker_may_be_missing(locker: Option<redis_locked::Locker>) -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", locker = lockr)]
async fn unknown_locker(locker: &redis_locked::Locker) -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", wait = Duration::from_second(5))]
async fn unknown_function() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", crate = redis_lock)]
async fn unknown_crate() -> Result<(), LockError> {
    Ok(())
}

fn main() {}
