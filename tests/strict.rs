//! Under `forbid`, which rustc does not let us take back: nothing here needs an `allow`.

#![forbid(unsafe_code, unreachable_code, unused, clippy::all, clippy::pedantic)]
#![deny(warnings, missing_docs)]

use redis_locked::{LockError, Locker, redis_locked};

/// Locks.
#[redis_locked(key = "{id}", ttl = "1s", retries = 1, backoff = "1ms..2ms", bind = lease)]
async fn locks(id: u8) -> Result<String, LockError> {
    Ok(lease.key().to_owned())
}

/// Skips.
#[redis_locked(key = "k", skip)]
async fn skips() {}

/// Changes what it is given.
#[redis_locked(key = "{count}")]
async fn counts(mut count: u8) -> Result<u8, LockError> {
    count += 1;
    Ok(count)
}

/// Never gets to its end.
#[redis_locked(key = "k")]
async fn ends_early() -> Result<u8, LockError> {
    return Ok(1);
}

/// Has no end.
#[redis_locked(key = "k")]
async fn never_ends() -> Result<u8, LockError> {
    panic!("as it says");
}

#[test]
fn strict_crates_compile() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.expect("a runtime").block_on(async {
        let locker = Locker::in_memory();
        assert_eq!(locker.scope(locks(1)).await.unwrap(), "1");
        locker.scope(skips()).await;
        assert_eq!(locker.scope(counts(1)).await.unwrap(), 2);
        assert_eq!(locker.scope(ends_early()).await.unwrap(), 1);
        drop(never_ends());
    });
}
