//! Every shape of function that the attribute takes, under the strictest lints, in the edition of this
//! package and, through `tests/edition-2021`, in the one before.

#![deny(warnings, missing_docs, clippy::pedantic)]
#![forbid(unsafe_code)]

#[path = "shapes/arguments.rs"]
mod arguments;
#[path = "shapes/differences.rs"]
mod differences;
#[path = "shapes/drops.rs"]
mod drops;
#[path = "shapes/keys.rs"]
mod keys;
#[path = "shapes/methods.rs"]
mod methods;
#[path = "shapes/names.rs"]
mod names;
#[path = "shapes/neighbours.rs"]
mod neighbours;
#[path = "shapes/options.rs"]
mod options;
#[path = "shapes/results.rs"]
mod results;
#[path = "shapes/twins.rs"]
mod twins;

use std::future::Future;

use redis_locked::{Lease, LockError, Locker};

/// The key that the code calling this runs under.
#[expect(clippy::unnecessary_wraps, reason = "what the bodies return")]
fn held() -> Result<String, LockError> {
    let lease = Lease::current().expect("this runs under a lock");
    assert!(lease.is_held());
    Ok(lease.key().to_owned())
}

/// Runs the future with a locker of its own, and sees that no lock outlives it.
async fn alone<T>(future: impl Future<Output = Result<T, LockError>>) -> T {
    Locker::in_memory()
        .scope(future)
        .await
        .expect("nobody else has the lock")
}

/// Runs the future while somebody else has the key.
async fn busy<T>(key: &str, future: impl Future<Output = T>) -> T {
    let locker = Locker::in_memory();
    let guard = locker.lock(key).acquire().await.expect("the key is free");
    let result = locker.scope(future).await;
    guard.release().await.expect("the key is still ours");
    result
}
