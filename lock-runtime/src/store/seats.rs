//! How long what a store's line gives lasts.

use std::time::Duration;

/// How long a seat in the line lasts that is not refreshed.
pub(super) const SEAT: Duration = Duration::from_secs(8);

/// For how long the key is passed on to one who waits: as long as its holder may be gone without
/// anyone's noticing, and at least so long that it hears of it in time.
pub(super) fn reservation(ttl: Duration) -> Duration {
    ttl.clamp(Duration::from_millis(500), Duration::from_secs(2))
}
