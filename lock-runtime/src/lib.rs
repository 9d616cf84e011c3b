//! The runtime of `redis-locked`: lockers, requests, guards and leases.
//!
//! Use it through the crate `redis-locked`, which has the attribute and the guide.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod backoff;
mod body;
mod error;
mod hold;
mod keeper;
mod key;
mod line;
mod locker;
#[doc(hidden)]
pub mod private;
mod request;
mod store;
mod telemetry;
mod tenure;
mod token;

pub use backoff::Backoff;
pub use body::OnLost;
pub use error::{LockError, LostReason};
pub use hold::{Lease, LockGuard};
pub use locker::{Locker, LockerBuilder};
pub use request::LockRequest;
pub use token::FencingToken;
