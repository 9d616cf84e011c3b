//! The lock through the attribute, on the locker that is installed.

use std::time::Instant;

use redis_locked::{LockError, Locker, redis_locked};

/// How many have [`permit`] at a time.
pub const PERMITS: u32 = 8;

/// Installs a locker on this server.
///
/// # Panics
///
/// When the server does not answer, or a locker is installed already.
pub async fn install(url: &str) {
    let locker = Locker::connect(url).await.expect("connects");
    locker.install().expect("the first");
}

/// A lock that nobody else wants.
///
/// # Errors
///
/// When it could not lock.
#[redis_locked(key = "ours:{id}", ttl = "10s")]
pub async fn call(id: usize) -> Result<(), LockError> {
    Ok(())
}

/// The lock that all want: when it was entered.
///
/// # Errors
///
/// When it could not lock.
#[redis_locked(key = "ours:{name}", ttl = "10s", wait)]
pub async fn queue(name: &str) -> Result<Instant, LockError> {
    Ok(Instant::now())
}

/// One of so many places that all want.
///
/// # Errors
///
/// When it could not lock.
#[redis_locked(key = "ours:permits", permits = PERMITS, ttl = "10s", wait)]
pub async fn permit() -> Result<(), LockError> {
    Ok(())
}

/// The lock that all have together.
///
/// # Errors
///
/// When it could not lock.
#[redis_locked(key = "ours:shared", shared, ttl = "10s", wait)]
pub async fn share() -> Result<(), LockError> {
    Ok(())
}
