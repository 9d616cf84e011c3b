//! A shop with annotated functions, and tests of them that need no Redis and no time.
//!
//! ```sh
//! cargo test -p redis-locked-recipe-testing
//! ```
//!
//! What makes it testable: the locker is a field, so that each test gives a shop one of its own
//! (`Locker::in_memory()`, with the same semantics as Redis), and what takes time is behind a trait.
//! Where functions use the installed locker, `Locker::scope` does the same; see the last test.

use redis_locked::{LockError, Locker, redis_locked};

/// What the shop gets its money from. In the tests, something slow, or broken.
pub trait Bank: Send + Sync {
    /// Charges the customer of this order.
    fn charge(&self, order: u64) -> impl Future<Output = ()> + Send;
}

/// The shop.
#[derive(Debug)]
pub struct Shop<B> {
    locker: Locker,
    bank: B,
}

impl<B: Bank> Shop<B> {
    /// A shop whose functions lock with this locker: the same on all machines, or one of a test.
    pub fn new(locker: Locker, bank: B) -> Self {
        Self { locker, bank }
    }

    /// The bank.
    pub fn bank(&self) -> &B {
        &self.bank
    }

    /// Charges an order. Who comes while someone else charges it is told at once.
    ///
    /// # Errors
    /// `Busy`; `Lost` if the bank takes longer than five seconds; `Backend`.
    #[redis_locked(key = "order:{order}", ttl = "5s", locker = self.locker)]
    pub async fn charge(&self, order: u64) -> Result<(), LockError> {
        self.bank.charge(order).await;
        Ok(())
    }

    /// The same for those who have some patience: it tries again after 1 s, 1 s and 1 s.
    ///
    /// # Errors
    /// Those of [`Shop::charge`].
    #[redis_locked(key = "order:{order}", ttl = "5s", retries = 3, backoff = "1s", locker = self.locker)]
    pub async fn charge_soon(&self, order: u64) -> Result<(), LockError> {
        self.bank.charge(order).await;
        Ok(())
    }

    /// The same for those who wait in line.
    ///
    /// # Errors
    /// Those of [`Shop::charge`], `Busy` after a minute.
    #[redis_locked(key = "order:{order}", ttl = "5s", wait = "1m", locker = self.locker)]
    pub async fn charge_in_turn(&self, order: u64) -> Result<(), LockError> {
        self.bank.charge(order).await;
        Ok(())
    }

    /// Charges the subscribers on this day: whether it was done here. Each machine calls it at
    /// midnight by its own clock, and one does it.
    ///
    /// # Errors
    /// Those of [`Shop::charge`] but `Busy`, which is false.
    #[redis_locked(key = "subscribers:{day}", ttl = "1h", min_hold = "1h", skip, locker = self.locker)]
    pub async fn charge_subscribers(&self, day: u32) -> Result<bool, LockError> {
        self.bank.charge(0).await;
        Ok(true)
    }
}

/// Empties the cache, unless someone is at it. It uses the installed locker.
#[redis_locked(key = "cache", ttl = "5s", skip)]
pub async fn empty_cache(files: u32) -> Option<u32> {
    Some(files)
}
