//! What has been told of a holder's troubles: each once, to the log or to the caller.

use tokio::time::Instant;

use super::Tenure;
use crate::error::LostReason;
use crate::store::Released;
use crate::telemetry;

/// Of the holder whose turn it is.
#[derive(Debug, Default)]
pub(super) struct Told {
    /// That the lock is lost.
    loss: bool,
    /// That a release has failed.
    failed_release: bool,
}

impl Tenure {
    /// Tells the log of a loss.
    pub(crate) fn tell_loss(&self, reason: LostReason) {
        if let Some(name) = self.first_word(|told| &mut told.loss) {
            telemetry::lost(name, self.key(), reason);
        }
    }

    /// Whether the log or the caller was told that the holder has lost the lock.
    pub(crate) fn loss_is_told(&self) -> bool {
        self.state().told.loss
    }

    /// The release, whose caller is told, has not found the key.
    pub(crate) fn count_loss(&self) {
        if let Some(name) = self.first_word(|told| &mut told.loss) {
            telemetry::count_loss(name);
        }
    }

    /// A release that nobody awaits has not found the key of a lock that was held.
    pub(crate) fn was_not_there(&self, answer: Released) {
        if self.loss_is_told() {
            return;
        }
        let reason = match answer {
            _ if Instant::now() >= self.state().confirmed => LostReason::Expired,
            Released::TakenOver => LostReason::TakenOver,
            Released::Gone | Released::Done => LostReason::Deleted,
        };
        self.tell_loss(reason);
        self.count_failed_release();
    }

    /// Counts a release that failed. True if nobody has been told of it.
    pub(crate) fn count_failed_release(&self) -> bool {
        let name = self.first_word(|told| &mut told.failed_release);
        if let Some(name) = name {
            telemetry::failed_release(name);
        }
        name.is_some()
    }

    /// The lock's name if this has not been told yet; from now on it has. The recorder and the
    /// subscriber, which are foreign code, are called when the state is let go.
    fn first_word(&self, of: impl FnOnce(&mut Told) -> &mut bool) -> Option<&'static str> {
        let mut state = self.state();
        let told = std::mem::replace(of(&mut state.told), true);
        (!told).then_some(state.name)
    }
}
