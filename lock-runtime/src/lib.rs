//! The runtime of `redis-locked`: lockers, requests, guards and leases.
//!
//! Use it through the crate `redis-locked`, which has the attribute and the guide.
//!
//! # The map
//!
//! A room imports only from rooms below it (`scripts/circles.sh` checks that no files form a circle).
//!
//! ```text
//! locker      the configured handle, its builder, and which locker applies
//! request     what a caller asks for: checked, then asked for in one loop, with pauses or in line
//! body        runs a body under a lease; what a function returns when it could not lock
//! hold        the guard that owns a lock, one attempt to get it, and the leases that tell its state
//! keeper      the one background task: extensions, and releases that nobody awaits
//! line        the line of this process for one key: a data structure that knows nothing of locks
//! tenure      one possession of a key as a state machine: told what happened, it answers what follows
//! store       the seam: the trait, and its stores in memory, on Redis and on several Redis servers
//! telemetry   spans, events and metrics
//! error, backoff, key, kind, token, random    what all use
//! ```
//!
//! A request goes one way: `request` asks the `store` through `hold`, tells the `tenure`, and
//! gives the guard to the `body` or to its caller; the guard's release goes back through the `store`,
//! or along the `line` to the next caller. Only the `keeper` runs beside it.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod backoff;
mod body;
mod error;
mod hold;
mod keeper;
mod key;
mod kind;
mod line;
mod locker;
#[doc(hidden)]
pub mod private;
mod random;
mod request;
#[cfg(simulation)]
#[path = "../../tests/simulation/src/mod.rs"]
pub mod simulation;
mod store;
mod telemetry;
mod tenure;
mod token;

/// The crate whose [`Client`](redis::Client) [`Locker::from_client`] takes: version 1 of it. A program
/// that names it through here always has the version that fits, whatever other version it depends on.
#[doc(no_inline)]
pub use redis;

pub use backoff::Backoff;
pub use body::{OnLost, RunResult};
pub use error::{LockError, LostReason};
pub use hold::{Lease, LockGuard};
pub use locker::{Holder, Locker, LockerBuilder};
pub use request::{LockRequest, Plain, Recorded};
pub use store::redis::Credentials;
pub use store::{LastRun, Outcome};
pub use token::FencingToken;
