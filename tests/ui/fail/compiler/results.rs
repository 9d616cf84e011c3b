//! Return types that can't say that the lock was not had.

use redis_locked::{LockError, redis_locked};

#[derive(Debug)]
struct MyError;

#[redis_locked(key = "k")]
async fn unit() {}

#[redis_locked(key = "k")]
async fn number() -> u8 {
    1
}

#[redis_locked(key = "k")]
async fn option() -> Option<u8> {
    None
}

#[redis_locked(key = "k")]
async fn other_error() -> Result<u8, MyError> {
    Ok(1)
}

#[redis_locked(key = "k")]
async fn hidden_type() -> impl Iterator<Item = u8> {
    0..5
}

#[redis_locked(key = "k", skip)]
async fn skipped_number() -> u8 {
    1
}

#[redis_locked(key = "k", skip)]
async fn skipped_without_default() -> Result<MyError, LockError> {
    Err(todo!())
}

#[redis_locked(key = "k", skip)]
async fn skipped_with_other_error() -> Result<u8, MyError> {
    Ok(1)
}

#[redis_locked(key = "k", skip)]
async fn skipped_without_either() -> Result<MyError, MyError> {
    Ok(MyError)
}

#[redis_locked(key = "k", or_else = |_| "none")]
async fn or_else_of_another_type() -> u8 {
    1
}

#[redis_locked(key = "k", or_else = 0)]
async fn or_else_is_a_value() -> u8 {
    1
}

const NOTHING: u8 = 0;

#[redis_locked(key = "k", or_else = NOTHING)]
async fn or_else_is_a_const() -> u8 {
    1
}

#[redis_locked(key = "k", or_else = |_, _| 0)]
async fn or_else_takes_two() -> u8 {
    1
}

#[redis_locked(key = "k", or_else = || 0)]
async fn or_else_takes_nothing() -> u8 {
    1
}

fn main() {}
