//! Names and values of arguments.

#![allow(unused_variables)]

use redis_locked::{LockError, redis_locked};

#[redis_locked(key = "k", tll = "5s")]
async fn misspelt() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", retry = 3, Key = "k", timeout = Duration::from_secs(5))]
async fn other_words() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", ttl = "5s", ttl = "6s", renew, renew)]
async fn twice() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked("report:{tenant}", 3)]
async fn unnamed(tenant: u8) -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k" ttl = "5s")]
async fn no_comma() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", ttl, retries =, backoff = )]
async fn no_value() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", renew = true, fenced = false, skip = "yes")]
async fn flags_with_values() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key("k"), ttl: "5s")]
async fn other_syntax() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", on_lost = "finish")]
async fn quoted_word() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", on_lost = ignore)]
async fn unknown_word() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", bind = "lease", crate = "my::locks")]
async fn quoted_names() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", bind = _)]
async fn bound_to_nothing() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", = 5, ttl = "5s")]
async fn no_name() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", lock_at_most_for = "5s", lock_at_least_for = "1s")]
async fn shedlock() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", expire = 5, blocking_timeout = 10)]
async fn redis_py() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", lease = "5s")]
async fn redisson() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", permits = 0)]
async fn nobody_may() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", permits = 1001)]
async fn too_many_may() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", permits = "3")]
async fn quoted_number() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", permits)]
async fn how_many() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", shared = true, semaphore = 3)]
async fn shared_is_a_flag() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "report:{}", tenant)]
async fn as_in_format(tenant: u8) -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", name = NAME)]
async fn named_by_a_const() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", name = "")]
async fn named_by_nothing() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k", timeot = "5s", readers)]
async fn nearly_anothers_name() -> Result<(), LockError> {
    Ok(())
}

fn main() {}
