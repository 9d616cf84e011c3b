//! The runtime of `redis-locked`: lockers, requests, guards and leases.
//!
//! Use it through the crate `redis-locked`, which has the attribute and the guide.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod acquire;
mod backoff;
mod body;
mod builder;
mod error;
mod guard;
mod keeper;
mod key;
mod lease;
mod locker;
mod outcome;
#[doc(hidden)]
pub mod private;
mod queue;
mod request;
mod store;
mod telemetry;
mod tenure;
mod token;
mod waiting;

pub use backoff::Backoff;
pub use builder::LockerBuilder;
pub use error::{LockError, LostReason};
pub use guard::LockGuard;
pub use lease::Lease;
pub use locker::Locker;
pub use request::{LockRequest, OnLost};
pub use token::FencingToken;
