//! The attempts of one request, in one loop. Retrying and waiting differ in the pause between them.

use std::future::Future;

use tokio::time::{Instant, timeout_at};

use super::check::Request;
use crate::error::LockError;
use crate::hold::{AttemptOutcome, LockGuard};
use crate::store::{Asking, Holder, StoreError};
use crate::telemetry;

/// What the next attempt depends on.
pub(super) struct Progress {
    pub(super) attempts: u32,
    /// When the last attempt was begun.
    pub(super) asked: Instant,
    pub(super) last: Last,
}

/// What came of the last attempt.
pub(super) enum Last {
    Busy(Option<Holder>),
    /// Busy, after some of several servers were taken.
    Split(Option<Holder>),
    Failed(StoreError),
}

/// What is to be done after an attempt.
pub(super) enum NextStep {
    Ask,
    /// Another caller of this process has passed the lock on.
    Take(LockGuard),
    GiveUp,
}

/// What lies between two attempts.
pub(super) trait PauseBetween {
    /// How the attempt with this number, from one, is to be made.
    fn asking(&self, attempt: u32) -> Asking;

    /// When the attempt with this number is cut short.
    fn limit(&self, _attempt: u32) -> Option<Instant> {
        None
    }

    /// Pauses after an attempt that did not get the lock.
    fn next(
        &mut self,
        request: &Request,
        progress: &Progress,
    ) -> impl Future<Output = NextStep> + Send;

    /// What has come of an attempt that was cut short, where that is more than what is known of the
    /// one before it.
    fn cut(&self, _request: &Request, _asked: Instant) -> Option<StoreError> {
        None
    }
}

/// Asks until the lock is granted, or passed on, or `between` gives up.
pub(super) async fn attempts(
    request: &Request,
    between: &mut impl PauseBetween,
) -> Result<LockGuard, LockError> {
    let mut guard = request.guard();
    let mut progress = Progress {
        attempts: 0,
        asked: request.started,
        last: Last::Busy(None),
    };
    loop {
        progress.attempts += 1;
        progress.asked = Instant::now();
        let asking = match between.asking(progress.attempts) {
            // The key may be ours by an attempt whose answer was lost.
            Asking::Plain | Asking::WhoHolds if guard.may_be_ours() => Asking::Again,
            asking => asking,
        };
        let limit = between.limit(progress.attempts);
        let Some((asked, granting)) = before(limit, guard.attempt(asking)).await else {
            if let Some(error) = between.cut(request, progress.asked) {
                progress.last = Last::Failed(error);
            }
            return Err(failure(request, progress));
        };
        progress.last = match granting {
            AttemptOutcome::Granted => return Ok(request.begun(asked, progress.attempts)),
            AttemptOutcome::Lost(reason) => {
                let error = LockError::lost(request.key(), reason);
                telemetry::lost(request.terms.name, &error);
                return Err(error);
            }
            AttemptOutcome::Busy(holder) => Last::Busy(holder),
            AttemptOutcome::Split(holder) => Last::Split(holder),
            AttemptOutcome::Failed(error) if !error.may_pass => {
                return Err(request.failed(progress.attempts, error));
            }
            AttemptOutcome::Failed(error) => Last::Failed(error),
        };
        guard = request.again(asked);
        match between.next(request, &progress).await {
            NextStep::Ask => {}
            NextStep::Take(guard) => return Ok(request.begun(guard, progress.attempts)),
            NextStep::GiveUp => return Err(failure(request, progress)),
        }
    }
}

fn failure(request: &Request, progress: Progress) -> LockError {
    match progress.last {
        Last::Busy(holder) | Last::Split(holder) => {
            request.busy(progress.attempts, holder.as_ref())
        }
        Last::Failed(error) => request.failed(progress.attempts, error),
    }
}

/// The future's output, unless the time comes first.
pub(super) async fn before<T>(time: Option<Instant>, future: impl Future<Output = T>) -> Option<T> {
    match time {
        Some(time) => timeout_at(time, future).await.ok(),
        None => Some(future.await),
    }
}
