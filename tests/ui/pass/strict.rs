//! Nothing in the expansion needs an `allow`.

#![forbid(unsafe_code, unreachable_code, unused, clippy::all, clippy::pedantic)]
#![deny(warnings, missing_docs)]

use redis_locked::{LockError, Locker, redis_locked};

/// Locks.
#[redis_locked(key = "{id}", ttl = "1s", retries = 1, backoff = "1ms..2ms", bind = lease)]
pub async fn locks(id: u8) -> Result<String, LockError> {
    Ok(lease.key().to_owned())
}

/// Skips.
#[redis_locked(key = "k", skip)]
pub async fn skips() {}

/// Never gets to its end.
#[redis_locked(key = "k", or_else = |_| 0)]
pub async fn ends_early() -> u8 {
    return 1;
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let locker = Locker::in_memory();
    assert_eq!(locker.scope(locks(1)).await.unwrap(), "1");
    locker.scope(skips()).await;
    assert_eq!(locker.scope(ends_early()).await, 1);
}
