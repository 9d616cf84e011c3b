//! What holds a lock: its guard, and the leases that tell its state.

mod attempt;
mod common;
mod guard;
mod lease;

pub(crate) use attempt::AttemptOutcome;
pub(crate) use common::{Common, Settings};
pub use guard::LockGuard;
pub use lease::Lease;
pub(crate) use lease::{LONGEST_TIME, check_ttl};
