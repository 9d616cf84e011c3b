//! Every argument, as a literal and as an expression.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use redis_locked::{Backoff, LockError, Locker, redis_locked};

use super::{alone, busy, held};

const TTL: Duration = Duration::from_secs(2);
const RETRIES: u32 = 2;
const PAUSE: Backoff = Backoff::fixed(Duration::from_millis(1));

#[redis_locked(
    key = "all:{id}",
    ttl = "1m 30s",
    retries = 3,
    backoff = "50ms..2s",
    renew,
    max_hold = "10m",
    min_hold = "100ms",
    on_lost = finish,
    fenced,
    bind = lease,
)]
async fn literals(id: u8) -> Result<String, LockError> {
    assert!(lease.fencing_token().is_some());
    assert!(lease.remaining() > Duration::from_secs(80));
    held()
}

#[redis_locked(key = "k", ttl = TTL, retries = RETRIES, backoff = PAUSE, min_hold = TTL / 2)]
async fn expressions() -> Result<String, LockError> {
    held()
}

#[redis_locked(
    key = "k",
    ttl = Duration::from_secs(ttl),
    retries = retries - 1,
    backoff = Duration::from_millis(1),
    on_lost = cancel,
    renew,
    max_hold = TTL * 2
)]
async fn from_arguments(ttl: u64, retries: u32) -> Result<String, LockError> {
    held()
}

#[redis_locked(key = "k", retries = 2, backoff = "1ms")]
async fn fixed_backoff() -> Result<String, LockError> {
    held()
}

#[redis_locked(key = "k", wait = "20ms")]
async fn waits() -> Result<String, LockError> {
    held()
}

#[redis_locked(key = "k", wait = TTL / 100)]
async fn waits_as_told() -> Result<String, LockError> {
    held()
}

#[redis_locked(key = "k", wait)]
async fn waits_forever() -> Result<String, LockError> {
    held()
}

#[redis_locked(key = "k", locker = locker)]
async fn on_a_reference(locker: &Locker) -> Result<String, LockError> {
    held()
}

#[redis_locked(key = "k", locker = locker)]
async fn on_a_value(locker: Locker) -> Result<Locker, LockError> {
    held()?;
    Ok(locker)
}

#[redis_locked(key = "k", locker = *locker)]
async fn on_a_place(locker: Box<Locker>) -> Result<String, LockError> {
    held()
}

#[redis_locked(key = "k", locker = locker)]
async fn on_an_arc(locker: Arc<Locker>) -> Result<String, LockError> {
    held()
}

static LOCKER: LazyLock<Locker> = LazyLock::new(Locker::in_memory);

#[redis_locked(key = "k", locker = LOCKER)]
async fn on_a_static() -> Result<String, LockError> {
    held()
}

#[tokio::test]
async fn all_arguments() {
    assert_eq!(alone(literals(1)).await, "all:1");
    assert_eq!(alone(expressions()).await, "k");
    assert_eq!(alone(from_arguments(1, 1)).await, "k");
    assert_eq!(alone(waits()).await, "k");
    assert_eq!(alone(waits_as_told()).await, "k");
    assert_eq!(alone(waits_forever()).await, "k");
}

#[tokio::test]
async fn attempts_end() {
    assert!(busy("k", fixed_backoff()).await.unwrap_err().is_busy());
    assert!(busy("k", expressions()).await.unwrap_err().is_busy());
    assert!(busy("k", from_arguments(1, 2)).await.unwrap_err().is_busy());
    assert!(busy("k", waits()).await.unwrap_err().is_busy());
    assert!(busy("k", waits_as_told()).await.unwrap_err().is_busy());
}

#[tokio::test]
async fn lockers() {
    let locker = Locker::in_memory();
    assert_eq!(on_a_reference(&locker).await.unwrap(), "k");
    let locker = on_a_value(locker).await.unwrap();
    assert_eq!(on_a_place(Box::new(locker.clone())).await.unwrap(), "k");
    assert_eq!(on_an_arc(Arc::new(locker)).await.unwrap(), "k");
    assert_eq!(on_a_static().await.unwrap(), "k");
}
