//! What is told about locks while they are asked for and held: spans, events and metrics.

#[cfg(feature = "metrics")]
mod metrics;
#[cfg(not(feature = "metrics"))]
#[path = "telemetry/no_metrics.rs"]
mod metrics;

use tracing::Span;
use tracing::field::{Empty, debug, display};

use crate::error::{LockError, LostReason};
use crate::guard::LockGuard;
pub(crate) use metrics::{Holding, Waiting, describe};

/// The span of one run, from the request to the end of the release. What is not known yet is
/// recorded when it is.
pub(crate) fn run(key: &str, name: &'static str) -> Span {
    tracing::info_span!(
        "lock",
        lock.key = key,
        lock.name = name,
        lock.attempts = Empty,
        lock.waited = Empty,
        lock.held = Empty,
        lock.outcome = Empty,
        lock.holder = Empty,
    )
}

/// The run has its lock.
pub(crate) fn acquired(run: &Span, guard: &LockGuard) {
    if !run.is_disabled() {
        run.record("lock.attempts", guard.attempts());
        run.record("lock.waited", debug(guard.waited()));
    }
}

/// The body has ended by itself.
pub(crate) fn ran(run: &Span, guard: &LockGuard) {
    if !run.is_disabled() {
        run.record("lock.held", debug(guard.held_for()));
        run.record("lock.outcome", "ran");
    }
}

/// The run has ended without a result of the body.
pub(crate) fn failed(run: &Span, error: &LockError) {
    if run.is_disabled() {
        return;
    }
    run.record("lock.outcome", outcome(error));
    let (attempts, waited) = match error {
        LockError::Busy {
            attempts,
            waited,
            owner,
            ..
        } => {
            if let Some(owner) = owner {
                run.record("lock.holder", display(owner));
            }
            (attempts, waited)
        }
        LockError::Backend {
            attempts, waited, ..
        } => (attempts, waited),
        _ => return,
    };
    run.record("lock.attempts", attempts);
    run.record("lock.waited", debug(waited));
}

fn outcome(error: &LockError) -> &'static str {
    match error {
        LockError::Busy { .. } => "busy",
        LockError::Lost { .. } => "lost",
        LockError::NotHeld { .. } => "not_held",
        LockError::WouldDeadlock { .. } => "would_deadlock",
        LockError::Backend { .. } => "backend",
        LockError::NotConfigured { .. } => "not_configured",
        LockError::InvalidRequest { .. } => "invalid_request",
    }
}

/// Another holder has the lock, and the caller is told so.
pub(crate) fn busy(name: &'static str, error: &LockError) {
    metrics::busy(name);
    tracing::debug!(lock.name = name, "{error}");
}

/// The store could not be asked, and the caller is told so.
pub(crate) fn backend(name: &'static str) {
    metrics::backend_error(name);
}

/// A lock that was held is held no more.
pub(crate) fn lost(name: &'static str, key: &str, reason: LostReason) {
    metrics::lost(name);
    tracing::warn!(
        lock.key = key,
        lock.name = name,
        %reason,
        "lock lost"
    );
}

/// A release that was asked for did not find the lock, or the store.
pub(crate) fn release_failed(name: &'static str) {
    metrics::failed_release(name);
}

#[cfg(all(test, feature = "metrics"))]
mod tests;
