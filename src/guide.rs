//! The guide: one page a question.
//!
//! The crate's front page is the short guide, and [`redis_locked`] lists the arguments. These pages have what
//! needs more room: how to choose, what can go wrong, and what other libraries do. `cargo test` compiles all
//! their code.

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

/// How does a job run once per night, hour or other period?
///
#[doc = include_str!("guide/jobs.md")]
pub mod jobs {}

/// What if the job needs the number of its tick?
///
#[doc = include_str!("guide/ticks.md")]
pub mod ticks {}

/// How does one process lead, or consume alone?
///
#[doc = include_str!("guide/leader.md")]
pub mod leader {}

/// How does a web handler lock?
///
#[doc = include_str!("guide/web.md")]
pub mod web {}

/// How are durations written, and where do they come from?
///
#[doc = include_str!("guide/durations.md")]
pub mod durations {}

/// In which order do attributes stand?
///
#[doc = include_str!("guide/order.md")]
pub mod order {}

/// How do I test my own functions?
///
#[doc = include_str!("guide/testing.md")]
pub mod testing {}

/// Wait or retry?
///
#[doc = include_str!("guide/waiting.md")]
pub mod waiting {}

/// How many at a time?
///
#[doc = include_str!("guide/several.md")]
pub mod several {}

/// How do I lock several keys at once?
///
#[doc = include_str!("guide/keys.md")]
pub mod keys {}

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
