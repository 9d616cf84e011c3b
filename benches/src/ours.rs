//! The lock through the attribute, on the locker that is installed.

use std::time::Instant;

use redis_locked::{LockError, Locker, redis_locked};

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
