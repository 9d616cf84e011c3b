//! A key that is missing or empty.

#![allow(unused_variables)]

use redis_locked::{LockError, redis_locked};

#[redis_locked]
async fn nothing() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(ttl = "5s", retries = 3)]
async fn no_key() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(kye = "report:{tenant}")]
async fn misspelt(tenant: u8) -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "")]
async fn empty() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = )]
async fn half_typed() -> Result<(), LockError> {
    Ok(())
}

fn main() {}
