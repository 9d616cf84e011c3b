//! Keys that are being given back, all at once.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::time::Instant;

use super::single::Hold;
use crate::error::LockError;
use crate::store::{Answer, Released};

/// The releases of all keys of a guard: asked for together, so that they leave together. Dropped before its
/// end, they go on in the background.
pub(crate) struct Releasing {
    first: Release,
    others: Vec<Release>,
    /// The first that failed.
    failed: Option<Box<NotReleased>>,
}

/// That of one key.
struct Release {
    /// None once it was answered, or where the lock was passed on.
    answer: Option<Answer<Released>>,
    asked: Instant,
    hold: Hold,
}

/// Why a key was not released.
pub(crate) struct NotReleased {
    pub(crate) error: LockError,
    /// The log was told before that its lock is lost.
    loss_is_known: bool,
}

impl Releasing {
    /// Passes on what others of this process wait for, and asks for the release of the rest.
    pub(super) fn new(first: Hold, others: Vec<Hold>) -> Self {
        let now = Instant::now();
        let first = Release::new(first, now);
        let others = if others.is_empty() {
            Vec::new()
        } else {
            let others = others.into_iter();
            others.map(|hold| Release::new(hold, now)).collect()
        };
        Self {
            first,
            others,
            failed: None,
        }
    }

    /// Those of a request that was given up before it had all keys, if it has any.
    pub(crate) fn of(mut holds: Vec<Hold>) -> Option<Self> {
        let first = holds.pop()?;
        Some(Self::new(first, holds))
    }
}

impl Release {
    fn new(hold: Hold, now: Instant) -> Self {
        let answer = (!hold.pass_on()).then(|| hold.ask_release(now));
        Self {
            answer,
            asked: now,
            hold,
        }
    }

    /// Ready when it is over; the first that failed stays.
    fn poll(&mut self, cx: &mut Context<'_>, failed: &mut Option<Box<NotReleased>>) -> Poll<()> {
        let Some(answer) = &mut self.answer else {
            return Poll::Ready(());
        };
        let answer = ready!(answer.as_mut().poll(cx));
        self.answer = None;
        let loss_is_known = self.hold.tenure().loss_is_told();
        if let Err(error) = self.hold.conclude(self.asked, answer) {
            let not_released = NotReleased {
                error,
                loss_is_known,
            };
            if failed.is_some() {
                not_released.log();
            } else {
                *failed = Some(Box::new(not_released));
            }
        }
        Poll::Ready(())
    }
}

impl Future for Releasing {
    type Output = Result<(), Box<NotReleased>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        let mut are_over = this.first.poll(cx, &mut this.failed).is_ready();
        for other in &mut this.others {
            are_over &= other.poll(cx, &mut this.failed).is_ready();
        }
        if !are_over {
            return Poll::Pending;
        }
        Poll::Ready(this.failed.take().map_or(Ok(()), Err))
    }
}

impl NotReleased {
    /// Tells the log, where no caller is told.
    pub(crate) fn log(&self) {
        let error = &self.error;
        if error.is_not_held() && self.loss_is_known {
            // The body went on without its lock, and the log has been told why.
            tracing::debug!(lock.key = error.key(), "{error}");
        } else {
            tracing::warn!(
                lock.key = error.key(),
                error = error as &dyn std::error::Error,
                "lock not released by its body's end"
            );
        }
    }
}
