//! What is told of a holder's troubles: each once, to the log or to the caller.

use tokio::time::Instant;

use super::SharedTenure;
use crate::error::LostReason;
use crate::store::{Released, StoreError};
use crate::telemetry;

impl SharedTenure {
    /// Tells the log of a loss.
    pub(crate) fn tell_loss(&self, reason: LostReason) {
        if let Some(name) = self.first_word(|tenure| &mut tenure.reported.loss) {
            telemetry::lost(name, &self.loss(reason));
        }
    }

    /// Whether the log or the caller was told that the holder has lost the lock.
    pub(crate) fn loss_is_told(&self) -> bool {
        self.look(|tenure| tenure.reported.loss)
    }

    /// The release, whose caller is told, has not found the key.
    pub(crate) fn count_loss(&self) {
        if let Some(name) = self.first_word(|tenure| &mut tenure.reported.loss) {
            telemetry::count_loss(name);
        }
    }

    /// A release that nobody awaits has not found the key of a lock that was held.
    pub(crate) fn was_not_there(&self, answer: Released) {
        if self.loss_is_told() {
            return;
        }
        let reason = self.why_not_there(answer, Instant::now());
        self.tell_loss(reason);
        self.count_failed_release();
    }

    /// Why a release has not found the key: past its deadline, it may have gone by itself before another took it.
    pub(super) fn why_not_there(&self, answer: Released, now: Instant) -> LostReason {
        match answer {
            _ if now >= self.look(|tenure| tenure.confirmed) => LostReason::Expired,
            Released::TakenOver => LostReason::TakenOver,
            Released::Gone | Released::Done => LostReason::Deleted,
        }
    }

    /// An extension failed, and another follows: the log is told, unless the last one that went
    /// well is half of the ttl ago at most.
    pub(crate) fn was_not_extended(&self, error: &StoreError) {
        self.count_failure(error);
        let now = Instant::now();
        let is_late = self.look(|tenure| {
            let left = tenure.confirmed.saturating_duration_since(now);
            left < tenure.terms.ttl / 2
        });
        let is_first = || self.first_word(|tenure| &mut tenure.reported.failed_extension);
        if is_late && is_first().is_some() {
            tracing::warn!(
                lock.key = self.key(),
                error = error as &dyn std::error::Error,
                "lock not extended; it is lost at its deadline unless Redis extends it before"
            );
        } else {
            tracing::debug!(lock.key = self.key(), %error, "lock not extended yet");
        }
    }

    /// Counts a release that failed. True if nobody has been told of it.
    pub(crate) fn count_failed_release(&self) -> bool {
        let name = self.first_word(|tenure| &mut tenure.reported.failed_release);
        if let Some(name) = name {
            telemetry::failed_release(name);
        }
        name.is_some()
    }
}
