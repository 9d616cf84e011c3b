//! Other attributes on the same function.

use redis_locked::{LockError, Locker, redis_locked};

use super::{alone, held};

/// Documented.
#[redis_locked(key = "instrumented:{id}")]
#[tracing::instrument(fields(key = held().ok()))]
async fn instrument_below(id: u8) -> Result<String, LockError> {
    held()
}

#[tracing::instrument(err, ret, skip(name))]
#[redis_locked(key = "instrumented:{id}:{name}")]
pub(crate) async fn instrument_above(id: u8, name: &str) -> Result<String, LockError> {
    held()
}

struct Shop {
    region: u8,
}

#[async_trait::async_trait]
trait Job {
    async fn above(&self, id: u8) -> Result<String, LockError>;
    async fn below(&self, pair: (u8, u8)) -> Result<String, LockError>;
}

#[async_trait::async_trait]
impl Job for Shop {
    #[tracing::instrument(skip(self), err)]
    #[redis_locked(key = "{self.region}:{id}")]
    async fn above(&self, id: u8) -> Result<String, LockError> {
        held()
    }

    #[redis_locked(key = "{self.region}:{a}")]
    #[tracing::instrument(skip(self))]
    async fn below(&self, (a, _): (u8, u8)) -> Result<String, LockError> {
        held()
    }
}

#[redis_locked(key = "main", locker = Locker::in_memory())]
#[tokio::main(flavor = "current_thread")]
async fn main_of_a_program() -> Result<String, LockError> {
    tokio::task::yield_now().await;
    held()
}

#[redis_locked(key = "test", locker = Locker::in_memory())]
#[tokio::test]
async fn above_a_test() -> Result<(), LockError> {
    assert_eq!(held()?, "test");
    Ok(())
}

#[redis_locked(key = "test", skip, locker = Locker::in_memory())]
#[tokio::test]
async fn above_a_test_without_a_result() {
    assert_eq!(held().unwrap(), "test");
}

/// The lower attribute is the inner function, and yet locks first: the upper one has put its code into
/// the body that the lower one locks.
#[redis_locked(key = "upper:{id}")]
#[redis_locked(key = "lower:{id}", bind = outer)]
async fn twice(id: u8) -> Result<(String, String), LockError> {
    Ok((held()?, outer.key().to_owned()))
}

#[must_use]
#[inline]
#[cfg(not(windows))]
#[redis_locked(key = "attributes", skip)]
#[expect(unused_variables, reason = "to see that lints reach the body")]
pub(crate) async fn attributes(
    #[cfg(not(windows))] id: u8,
    #[cfg(windows)] gone: u8,
) -> Option<String> {
    #![allow(clippy::items_after_statements)]
    let never_used = 1;
    fn inner() -> Option<String> {
        held().ok()
    }
    inner()
}

#[tokio::test]
async fn instruments() {
    let shop = Shop { region: 1 };
    assert_eq!(alone(instrument_below(1)).await, "instrumented:1");
    assert_eq!(alone(instrument_above(1, "n")).await, "instrumented:1:n");
    assert_eq!(alone(shop.above(2)).await, "1:2");
    assert_eq!(alone(shop.below((2, 3))).await, "1:2");
}

#[test]
fn above_a_main() {
    assert_eq!(main_of_a_program().unwrap(), "main");
}

#[tokio::test]
async fn two_locks_on_one_function() {
    let (inner, outer) = alone(twice(1)).await;
    assert_eq!((inner.as_str(), outer.as_str()), ("upper:1", "lower:1"));
}

#[tokio::test]
#[cfg(not(windows))]
async fn lints_and_conditions() {
    let found = Locker::in_memory().scope(attributes(1)).await;
    assert_eq!(found.unwrap(), "attributes");
}
