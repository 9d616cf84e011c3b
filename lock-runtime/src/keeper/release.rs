//! A release that nobody awaits, asked for until it is done or the key is gone by itself.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::Shared;
use crate::backoff::Backoff;
use crate::store::{Released, StoreError};
use crate::telemetry;
use crate::tenure::{Leftover, Tenure, rest};

/// The pauses between attempts.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));

/// A release that nobody awaits.
pub(super) struct Release {
    pub(super) shared: Arc<Shared>,
    pub(super) tenure: Arc<Tenure>,
    pub(super) leftover: Leftover,
}

impl Release {
    /// Asks until the key is released or gone by itself.
    ///
    /// Where the command that sets the key may still be under way, on a connection of its own, an
    /// answer that there is no such key settles nothing before that command has timed out.
    pub(super) async fn run(&self) {
        let Leftover {
            in_doubt_until,
            expires,
            keep_until,
            held,
            had: _,
        } = self.leftover;
        let settled = in_doubt_until.unwrap_or_else(Instant::now);
        let key = self.tenure.key();
        let (from, cap) = PAUSES;
        let mut pauses = Backoff::exponential(from, cap).pauses();
        let mut first = true;
        loop {
            let asked = Instant::now();
            let entry = Arc::clone(&self.tenure.entry);
            let mut pause = pauses.next().unwrap_or(cap);
            match self.shared.store.release(entry, rest(keep_until)).await {
                Ok(Released::Done) => return,
                Ok(answer) if asked >= settled => {
                    // After an answer that was lost, the key may be gone by this very release.
                    if held && first {
                        self.tenure.was_not_there(answer);
                    }
                    return;
                }
                Ok(_) => pause = pause.min(settled.saturating_duration_since(Instant::now())),
                Err(error) if error.may_pass && Instant::now() + pause < expires => {
                    tracing::debug!(lock.key = key, %error, "lock not released yet");
                }
                Err(error) => {
                    self.give_up(&error);
                    return;
                }
            }
            first = false;
            sleep(pause).await;
        }
    }

    fn give_up(&self, error: &StoreError) {
        let (key, error) = (self.tenure.key(), error as &dyn std::error::Error);
        let text = "lock not released; its key goes when its ttl is over";
        if self.leftover.had && self.tenure.count_failed_release() {
            telemetry::backend_error(self.tenure.name());
            tracing::warn!(lock.key = key, error, "{text}");
        } else {
            // It was never had, or the holder or the log has been told that its release failed.
            tracing::debug!(lock.key = key, error, "{text}");
        }
    }
}

impl Drop for Release {
    fn drop(&mut self) {
        let tenure = &self.tenure;
        tenure.locker.queue().vacate(tenure, tenure.was_passed_on());
        self.shared.desk().releases -= 1;
        self.shared.progress.notify_waiters();
    }
}
