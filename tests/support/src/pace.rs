//! How fast this machine lets us run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const PAUSE: Duration = Duration::from_millis(2);

/// Measures how late threads are woken, from its start on. Where a promise says what happens within
/// a time, a machine that stood still for as long neither proves nor refutes it.
pub struct Pace {
    worst_ns: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
}

impl Pace {
    /// Starts to measure, until it is dropped.
    #[must_use]
    pub fn start() -> Self {
        let (worst_ns, over) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (worst, ended) = (worst_ns.clone(), over.clone());
        thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                let start = Instant::now();
                thread::sleep(PAUSE);
                let late = start.elapsed().saturating_sub(PAUSE).as_nanos();
                worst.fetch_max(u64::try_from(late).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
        });
        Self { worst_ns, over }
    }

    /// The longest that this process was kept waiting.
    #[must_use]
    pub fn worst(&self) -> Duration {
        Duration::from_nanos(self.worst_ns.load(Ordering::Relaxed))
    }
}

impl Drop for Pace {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Pace;
    use crate::until::until;

    #[tokio::test]
    async fn it_sees_how_late_threads_are_woken() {
        let pace = Pace::start();
        until(Duration::from_secs(20), "it has measured", async || {
            pace.worst() > Duration::ZERO
        })
        .await;
    }
}
