//! Lints of the user's own code stay.

#![deny(unused, clippy::all)]

use redis_locked::{LockError, redis_locked};

#[redis_locked(key = "k", bind = lease)]
async fn unused_lease() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k")]
async fn unused_argument(id: u8) -> Result<(), LockError> {
    let unused = 5;
    Ok(())
}

#[redis_locked(key = "k")]
async fn unreachable() -> Result<(), LockError> {
    return Ok(());
    println!("never");
}

fn main() {
    drop(unused_lease());
    drop(unused_argument(1));
    unreachable();
}
