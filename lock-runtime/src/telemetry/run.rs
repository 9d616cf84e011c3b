//! The span of one run of a body.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Span;
use tracing::field::{Empty, debug, display};
use tracing::span::Entered;

use crate::error::LockError;

/// The span of one run, from the request to the end of the release. What is not known yet is
/// recorded when it is; a run that is dropped before its end says so.
pub(crate) struct Run {
    span: Span,
    // A cell, since the span is entered meanwhile.
    progress: Cell<Progress>,
}

#[derive(Clone, Copy)]
enum Progress {
    /// Nobody wants to know, or the outcome is recorded.
    Settled,
    /// It has asked for the lock at this time.
    Asking(Instant),
    /// It has the lock since.
    Held(Instant),
    /// The same, and its body is being polled.
    InBody(Instant),
}

impl Run {
    /// That of a request which nobody has polled yet.
    pub(crate) fn none() -> Self {
        Self {
            span: Span::none(),
            progress: Cell::new(Progress::Settled),
        }
    }

    pub(crate) fn start(key: &str, name: &'static str) -> Self {
        let span = tracing::info_span!(
            "lock",
            lock.key = key,
            lock.name = name,
            lock.attempts = Empty,
            lock.waited = Empty,
            lock.held = Empty,
            lock.outcome = Empty,
            lock.holder = Empty,
        );
        // The clock is read for those only who want to know.
        let progress = if span.is_disabled() {
            Progress::Settled
        } else {
            Progress::Asking(Instant::now())
        };
        Self {
            span,
            progress: Cell::new(progress),
        }
    }

    pub(crate) fn enter(&self) -> Entered<'_> {
        self.span.enter()
    }

    /// The run has its lock.
    pub(crate) fn acquired(&self, attempts: u32, waited: Duration) {
        if let Progress::Asking(_) = self.progress.get() {
            self.span.record("lock.attempts", attempts);
            self.span.record("lock.waited", debug(waited));
            self.progress.set(Progress::Held(Instant::now()));
        }
    }

    /// Polls the body.
    pub(crate) fn in_body<T>(&self, poll: impl FnOnce() -> T) -> T {
        let before = self.progress.get();
        if let Progress::Held(since) = before {
            self.progress.set(Progress::InBody(since));
        }
        let polled = poll();
        self.progress.set(before);
        polled
    }

    /// The body has ended by itself.
    pub(crate) fn ran(&self) {
        self.settle("ran");
    }

    /// The run has ended without a result of the body.
    pub(crate) fn failed(&self, error: &LockError) {
        if let Progress::Settled = self.progress.get() {
            return;
        }
        match error {
            LockError::Busy {
                attempts, owner, ..
            } => {
                self.span.record("lock.attempts", attempts);
                if let Some(owner) = owner {
                    self.span.record("lock.holder", display(owner));
                }
            }
            LockError::AlreadyDone { owner, .. } => {
                self.span.record("lock.holder", display(owner));
            }
            LockError::Backend { attempts, .. } => {
                self.span.record("lock.attempts", attempts);
            }
            _ => {}
        }
        self.settle(outcome(error));
    }

    /// Records how it ended, and how long it took to come to where it is now.
    fn settle(&self, outcome: &'static str) {
        let (field, since) = match self.progress.replace(Progress::Settled) {
            Progress::Settled => return,
            Progress::Asking(since) => ("lock.waited", since),
            Progress::Held(since) | Progress::InBody(since) => ("lock.held", since),
        };
        self.span.record(field, debug(since.elapsed()));
        self.span.record("lock.outcome", outcome);
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        // A body that did not come back from being polled has panicked, whenever its future is
        // dropped.
        match self.progress.get() {
            Progress::InBody(_) => self.settle("panicked"),
            Progress::Settled | Progress::Asking(_) | Progress::Held(_) => self.settle("cancelled"),
        }
    }
}

fn outcome(error: &LockError) -> &'static str {
    match error {
        LockError::Busy { .. } => "busy",
        LockError::Lost { .. } => "lost",
        LockError::NotHeld { .. } => "not_held",
        LockError::AlreadyDone { .. } => "already_done",
        LockError::WouldDeadlock { .. } => "would_deadlock",
        LockError::Backend { .. } => "backend",
        LockError::NotConfigured { .. } => "not_configured",
        LockError::InvalidRequest { .. } => "invalid_request",
    }
}
