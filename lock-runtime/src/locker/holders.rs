//! Who holds a key.

use std::time::Duration;

use tokio::time::Instant;

use super::Locker;
use crate::error::LockError;
use crate::request::whole_key;

/// One who holds a key: see [`Locker::holders`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// The owner's name, escaped and cut after 100 characters; `None` if it is not a lock of this
    /// library.
    pub owner: Option<String>,
    /// How long it still holds the key, unless it extends or releases; `None` if the key never expires.
    pub left: Option<Duration>,
}

impl Locker {
    /// Who holds this key at the moment, the first to end in front: nobody, one, or several with
    /// [`permits`](crate::LockRequest::permits) or [`shared`](crate::LockRequest::shared), of whom no more
    /// than the first 1,000 are told. It takes nothing, and costs one command.
    ///
    /// What it says may be over when it is heard: ask for the lock to know whether it is free. A place
    /// that is kept for its [`min_hold`](crate::LockRequest::min_hold) is among them.
    ///
    /// ```
    /// # use redis_locked_runtime as redis_locked;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), redis_locked::LockError> {
    /// let locker = redis_locked::Locker::builder().owner("web-1").in_memory();
    /// let export = locker.lock("export").permits(3).acquire().await?;
    /// let holders = locker.holders("export").await?;
    /// assert_eq!(holders.len(), 1);
    /// assert_eq!(holders[0].owner.as_deref(), Some("web-1"));
    /// # drop(export);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// `Backend` when Redis could not be asked, `InvalidRequest` for an empty key or the name of a side
    /// key, and on a quorum, whose servers need not agree.
    ///
    /// # Cancellation
    ///
    /// Dropping the future does nothing.
    pub async fn holders(&self, key: impl Into<String>) -> Result<Vec<Holder>, LockError> {
        let (key, asked) = (key.into(), Instant::now());
        let whole = whole_key(&self.common, &key)?;
        let holders = self.common.store.holders(whole);
        let holders = holders.map_err(|reason| LockError::invalid(&key, reason))?;
        let holders = holders.await.map_err(|error| {
            let (key, waited) = (Some(key.as_str()), asked.elapsed());
            error.into_error(key, "looked at", 1, waited)
        })?;
        let each = holders.into_iter();
        Ok(each
            .map(|holder| Holder {
                owner: holder.owner,
                left: holder.left,
            })
            .collect())
    }
}
