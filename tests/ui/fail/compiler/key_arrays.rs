//! Arrays that are no keys, and keys in arrays that are no text.

use redis_locked::{LockError, redis_locked};

#[redis_locked(key = keys)]
async fn array(keys: [String; 2]) -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = &["a", "b"])]
async fn borrowed() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = keys.clone())]
async fn vec(keys: Vec<String>) -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = ["account:{from}", "account:{too}"])]
async fn misspelt(from: u64, to: u64) -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = ["account:{from}", to])]
async fn no_text(from: u64, to: Option<u64>) -> Result<(), LockError> {
    Ok(())
}

fn main() {}
