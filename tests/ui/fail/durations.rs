//! Durations and numbers.

use redis_locked::{LockError, redis_locked};

#[redis_locked(key = "k", ttl = "5 sceonds", retries = 1, backoff = "fast")]
async fn unreadable() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", ttl = "", wait = "-5s")]
async fn strange() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", ttl = "5", min_hold = "1")]
async fn no_unit() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", ttl = 5, renew, max_hold = 1.5, wait = true)]
async fn numbers() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", ttl = "0s", renew, max_hold = "0ms", min_hold = "0s", wait = "0s")]
async fn zero() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", ttl = "9ms")]
async fn short() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", retries = 1, backoff = "2s..50ms")]
async fn shrinking() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", retries = 1, backoff = "50ms".."2s")]
async fn range_of_two() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", retries = 1, backoff = "50ms..")]
async fn open_range() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", retries = 1, backoff = "0s..1s")]
async fn from_zero() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", retries = "3")]
async fn quoted_retries() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", retries = -1)]
async fn negative_retries() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", ttl = "1M", min_hold = "1month")]
async fn months() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", ttl = "1y", wait = "4000d")]
async fn years() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", wait = "forever")]
async fn forever() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", retries = 1, backoff = "50ms-2s")]
async fn range_with_a_hyphen() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", once_per = "500ms", record = "1ms")]
async fn short_periods() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", once_per = "367days", record = "forever")]
async fn long_periods() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", once_per = "daily")]
async fn a_word_for_a_period() -> Result<(), LockError> {
    Ok(())
}

fn main() {}
