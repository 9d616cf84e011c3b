//! redis-locked beside raw commands and other crates: `cargo bench --bench compare` from the root.
//!
//! All that is compared runs in turns within one run, against one server, with the same settings
//! of its connections, so that what else the machine does meets all alike.

pub mod contend;
pub mod hand;
pub mod ours;
pub mod peers;
pub mod rates;
pub mod raw;
pub mod rows;
pub mod sample;
pub mod table;
pub mod traced;
pub mod visitors;

use std::path::PathBuf;
use std::time::Duration;

/// How long every lock lives at most. No measured lock comes near it.
pub const TTL: Duration = Duration::from_secs(10);

/// What to measure, and how thoroughly.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Few rounds, for working on the benchmarks; its numbers say little.
    pub quick: bool,
    /// Also build crates, which takes minutes.
    pub builds: bool,
    /// Only the rows whose name contains this.
    pub only: Option<String>,
    /// The program that counts allocations.
    pub heap: PathBuf,
    /// The program that is run many times to compete for a lock.
    pub contender: PathBuf,
    /// The program that visits a key, of this commit.
    pub visitors: PathBuf,
    /// The program that is run with one subscriber and another.
    pub traced: PathBuf,
}

impl Plan {
    /// So many, or few when in a hurry.
    #[must_use]
    pub fn rounds(&self, full: usize) -> usize {
        if self.quick { full.div_ceil(5) } else { full }
    }

    /// So long, or shorter when in a hurry.
    #[must_use]
    pub fn time(&self, full: Duration) -> Duration {
        if self.quick { full / 5 } else { full }
    }
}
