//! Arguments that exclude or need each other, and everything wrong at once.

#![allow(unused_variables)]

use redis_locked::{LockError, redis_locked};

#[redis_locked(key = "k", retries = 3, wait)]
async fn retries_and_wait() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", wait = "5s", retries = 3, backoff = "5ms")]
async fn wait_and_retries() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", backoff = "5ms")]
async fn backoff_alone() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", wait, backoff = "5ms")]
async fn backoff_while_waiting() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", permits = 3, shared)]
async fn permits_and_shared() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", permits = 3, once_per = "1d")]
async fn permits_and_a_record() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", retries = 3, coalesce)]
async fn coalesce_without_wait() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", max_hold = "5m")]
async fn max_hold_alone() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", ttl = "5s", min_hold = "6s")]
async fn min_hold_over_ttl() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", skip, or_else = |_| Ok(()))]
async fn skip_and_or_else() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(kee = "k", ttl = "5", max_hold = "5s", backoff = "1ms", colour = "red")]
fn all_at_once() -> Result<(), LockError> {
    Ok(())
}

fn main() {}
