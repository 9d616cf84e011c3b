//! Who holds a key.

use std::time::Duration;

use tokio::time::Instant;

use crate::error::LockError;
use crate::hold::Common;
use crate::request::whole_key;

/// One who holds a key: see [`Locker::holders`](crate::Locker::holders).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Holder {
    /// The owner's name, escaped and cut after 100 characters; `None` if it is not a lock of this
    /// library.
    pub owner: Option<String>,
    /// How long it still holds the key, unless it extends or releases; `None` if the key never expires.
    pub left: Option<Duration>,
}

pub(super) async fn holders(common: &Common, key: String) -> Result<Vec<Holder>, LockError> {
    let asked = Instant::now();
    let holders = common.store.holders(whole_key(common, &key)?);
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
