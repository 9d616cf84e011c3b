//! Keys that are being given back, all at once.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::Instant;

use super::single::Hold;
use crate::error::LockError;
use crate::store::{Answer, Released, StoreError};

/// The releases of all keys of a guard: asked for together, so that they leave together. Dropped before its
/// end, they go on in the background.
pub(crate) struct Releasing {
    first: Option<Asked>,
    others: Vec<Asked>,
    /// The first that failed.
    failed: Option<Box<NotReleased>>,
}

/// A release that was asked for.
struct Asked {
    answer: Answer<Released>,
    at: Instant,
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
        Self {
            first: Asked::new(first, now),
            others: others
                .into_iter()
                .filter_map(|hold| Asked::new(hold, now))
                .collect(),
            failed: None,
        }
    }

    /// Those of a request that was given up before it had all keys.
    pub(crate) fn of(mut holds: Vec<Hold>) -> Option<Self> {
        let first = holds.pop()?;
        Some(Self::new(first, holds))
    }
}

impl Releasing {
    fn hear(&mut self, asked: Asked, answer: Result<Released, StoreError>) {
        let Asked { at, hold, .. } = asked;
        let loss_is_known = hold.tenure().loss_is_told();
        let Err(error) = hold.conclude(at, answer) else {
            return;
        };
        let failed = NotReleased {
            error,
            loss_is_known,
        };
        if self.failed.is_some() {
            failed.log();
        } else {
            self.failed = Some(Box::new(failed));
        }
    }
}

impl Asked {
    fn new(hold: Hold, at: Instant) -> Option<Self> {
        if hold.pass_on() {
            return None;
        }
        let answer = hold.ask_release(at);
        Some(Self { answer, at, hold })
    }
}

impl Future for Releasing {
    type Output = Result<(), Box<NotReleased>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.get_mut();
        if let Some(asked) = &mut this.first
            && let Poll::Ready(answer) = asked.answer.as_mut().poll(cx)
            && let Some(asked) = this.first.take()
        {
            this.hear(asked, answer);
        }
        let mut next = 0;
        while let Some(asked) = this.others.get_mut(next) {
            if let Poll::Ready(answer) = asked.answer.as_mut().poll(cx) {
                let asked = this.others.swap_remove(next);
                this.hear(asked, answer);
            } else {
                next += 1;
            }
        }
        if this.first.is_some() || !this.others.is_empty() {
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
