//! The attempts of one request, in one loop. Retrying and waiting differ in the pause between them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

use super::check::Request;
use crate::error::LockError;
use crate::hold::{AttemptOutcome, Hold, LockGuard};
use crate::store::{Asking, Holder, Passed, StoreError};
use crate::telemetry;
use crate::tenure::SharedTenure;

/// What the next attempt depends on.
pub(super) struct Progress {
    pub(super) attempts: u32,
    /// When the last attempt was begun, or the next is.
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
    Take(Hold),
    /// Another process has passed the lock on.
    Begin(Passed),
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

    /// The owner of the key for the first attempt.
    fn hold(&mut self, request: &Request, now: Instant) -> Hold {
        request.hold(now)
    }

    /// Pauses after an attempt that did not get the lock.
    fn next(
        &mut self,
        request: &Request,
        tenure: &Arc<SharedTenure>,
        progress: &Progress,
    ) -> impl Future<Output = NextStep> + Send;

    /// The owner of the key, after the last attempt. It has to give back what may be its own, which it
    /// does when it is dropped.
    fn gave_up(&mut self, _hold: Hold) {}

    /// What has come of an attempt that was cut short, where that is more than what is known of the
    /// one before it.
    fn cut(&self, _request: &Request, _asked: Instant) -> Option<StoreError> {
        None
    }
}

/// A key that is had.
pub(super) struct Got {
    pub(super) hold: Hold,
    pub(super) attempts: u32,
}

impl Got {
    /// The lock of this key alone is had, which was asked for at this time.
    pub(super) fn begin(self, name: &'static str, started: Instant) -> LockGuard {
        LockGuard::new(self.hold, name, self.attempts, started)
    }
}

/// Why a key is not had.
pub(super) enum Missed {
    /// No further attempt is of use.
    ForGood(LockError),
    GaveUp(Box<Progress>),
}

impl Missed {
    /// What the caller is told; metrics and the log are told, too.
    pub(super) fn into_error(self, request: &Request) -> LockError {
        let progress = match self {
            Self::ForGood(error) => return error,
            Self::GaveUp(progress) => progress,
        };
        match progress.last {
            Last::Busy(holder) | Last::Split(holder) => {
                request.busy(progress.attempts, holder.as_ref())
            }
            Last::Failed(error) => request.failed(progress.attempts, error),
        }
    }
}

/// Asks until the lock is granted, or passed on, or `between` gives up.
pub(super) async fn attempts(
    request: &Request,
    between: &mut impl PauseBetween,
) -> Result<Got, Missed> {
    let began = Instant::now();
    let mut hold = between.hold(request, began);
    let mut progress = Progress {
        attempts: 0,
        asked: began,
        last: Last::Busy(None),
    };
    loop {
        progress.attempts += 1;
        let asking = match between.asking(progress.attempts) {
            // The key may be ours by an attempt whose answer was lost.
            Asking::Plain | Asking::WhoHolds if hold.may_be_ours() => Asking::Again,
            asking => asking,
        };
        let limit = between.limit(progress.attempts);
        let Some((asked, granting)) = before(limit, hold.attempt(asking, progress.asked)).await
        else {
            if let Some(error) = between.cut(request, progress.asked) {
                progress.last = Last::Failed(error);
            }
            return Err(Missed::GaveUp(Box::new(progress)));
        };
        progress.last = match granting {
            AttemptOutcome::Granted => {
                return Ok(Got {
                    hold: asked,
                    attempts: progress.attempts,
                });
            }
            AttemptOutcome::Lost(reason) => {
                let error = LockError::lost(request.key(), reason);
                telemetry::lost(request.terms.name, &error);
                return Err(Missed::ForGood(error));
            }
            AttemptOutcome::Done(done) => {
                return Err(Missed::ForGood(request.already_done(done)));
            }
            AttemptOutcome::Busy(holder) => Last::Busy(holder),
            AttemptOutcome::Split(holder) => Last::Split(holder),
            AttemptOutcome::Failed(error) if !error.may_pass => {
                let error = request.failed(progress.attempts, error);
                return Err(Missed::ForGood(error));
            }
            AttemptOutcome::Failed(error) => Last::Failed(error),
        };
        hold = request.again(asked);
        match between.next(request, hold.tenure(), &progress).await {
            NextStep::Ask => {}
            NextStep::Begin(passed) => {
                if hold.passed_by_store(passed, &request.needs()) {
                    return Ok(Got {
                        hold,
                        attempts: progress.attempts,
                    });
                }
            }
            NextStep::Take(taken) => {
                if let Some(taken) = Box::pin(taken.instead_of(hold)).await {
                    return Ok(Got {
                        hold: taken,
                        attempts: progress.attempts,
                    });
                }
                hold = between.hold(request, Instant::now());
            }
            NextStep::GiveUp => {
                between.gave_up(hold);
                return Err(Missed::GaveUp(Box::new(progress)));
            }
        }
        progress.asked = Instant::now();
    }
}

pin_project! {
    /// The future's output, unless the time comes first.
    ///
    /// There is one of these for each who waits, and a timer takes as much as the rest of it: it is
    /// allocated for those only who need one.
    pub(super) struct Before<F> {
        #[pin]
        future: F,
        timer: Option<Pin<Box<Sleep>>>,
    }
}

pub(super) fn before<F: Future>(time: Option<Instant>, future: F) -> Before<F> {
    let timer = time.map(|time| Box::pin(sleep_until(time)));
    Before { future, timer }
}

impl<F: Future> Future for Before<F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(cx) {
            return Poll::Ready(Some(output));
        }
        match this.timer {
            Some(timer) => timer.as_mut().poll(cx).map(|()| None),
            None => Poll::Pending,
        }
    }
}
