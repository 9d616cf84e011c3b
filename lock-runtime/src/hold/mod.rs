//! What holds a lock: its guard, and the leases that tell its state.

mod attempt;
mod common;
mod guard;
mod lease;
mod part;
mod releasing;
mod single;

pub(crate) use attempt::AttemptOutcome;
pub(crate) use common::{Common, Settings};
pub use guard::LockGuard;
pub(crate) use guard::Loss;
pub use lease::Lease;
pub(crate) use lease::{LONGEST_TIME, check_ttl};
pub(crate) use releasing::Releasing;
pub(crate) use single::Hold;
