//! The guide: one page a question.
//!
//! The crate's front page is the short guide, and [`redis_locked`] lists the arguments. Here is what needs
//! more room: how to choose, what can go wrong, and what others do. `cargo test` compiles all its code.

use crate::{Lease, LockError, Locker, LockerBuilder, LostReason, redis_locked};

/// Which ttl, and renew or not?
///
#[doc = include_str!("guide/lease.svg")]
#[doc = include_str!("guide/ttl.md")]
pub mod ttl {}

/// What if Redis fails over?
///
#[doc = include_str!("guide/failover.svg")]
#[doc = include_str!("guide/failover.md")]
pub mod failover {}

/// When do I need fencing, and how does the resource check it?
///
#[doc = include_str!("guide/fence.svg")]
#[doc = include_str!("guide/fencing.md")]
pub mod fencing {}

/// How does a job run once per tick?
///
#[doc = include_str!("guide/jobs.md")]
pub mod jobs {}

/// Wait or retry?
///
#[doc = include_str!("guide/waiting.md")]
pub mod waiting {}

/// What about many machines, and deploys?
///
#[doc = include_str!("guide/deploy.md")]
pub mod deploy {}

/// Which servers and services?
///
#[doc = include_str!("guide/servers.md")]
pub mod servers {}

/// What can't a lock do?
///
#[doc = include_str!("guide/limits.md")]
pub mod limits {}

/// Coming from another library, in Java, Go, Python or Rust
///
#[doc = include_str!("guide/coming.md")]
pub mod coming {}
