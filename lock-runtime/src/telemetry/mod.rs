//! What is told about locks while they are asked for and held: spans, events and metrics.

#[cfg(feature = "metrics")]
mod metrics;
#[cfg(not(feature = "metrics"))]
#[path = "no_metrics.rs"]
mod metrics;
mod run;

use crate::error::{LockError, Loss};
use crate::store::StoreError;
pub(crate) use metrics::{
    Holding, Waiting, backend_error, describe, failed_release, run_ended, show, show_runs,
};
pub(crate) use run::Run;

/// What spans and metrics call a lock that was given no name. Not the empty text: to Prometheus, an
/// empty label is none at all.
pub(crate) const UNNAMED: &str = "unnamed";

/// Another holder has the lock, and the caller is told so.
pub(crate) fn busy(name: &'static str, error: &LockError) {
    metrics::busy(name);
    tracing::debug!(lock.key = error.key(), lock.name = name, "{error}");
}

/// The period has had its run, and the caller is told so.
pub(crate) fn already_done(name: &'static str, error: &LockError) {
    if let LockError::AlreadyDone { ago, .. } = error {
        metrics::already_done(name, *ago);
    }
    tracing::debug!(lock.key = error.key(), lock.name = name, "{error}");
}

/// The store cannot be asked, and the caller is not told, since it waits until it can.
pub(crate) fn waits_for_store(name: &'static str, key: &str, error: &StoreError) {
    metrics::backend_error(name);
    tracing::error!(
        lock.key = key,
        lock.name = name,
        error = error as &dyn std::error::Error,
        "lock cannot be asked for; its caller waits without a limit, so it is asked for again"
    );
}

/// A lock that was held is held no more, and a body or a keeper has seen it.
pub(crate) fn lost(name: &'static str, error: &LockError) {
    metrics::lost(name);
    if let LockError::Lost {
        key,
        reason,
        failed_extensions,
        last_failure,
        ..
    } = error
    {
        let reason = Loss(*reason, *failed_extensions, last_failure.as_deref());
        tracing::warn!(lock.key = key, lock.name = name, %reason, "lock lost");
    }
}

/// A lock that was held is held no more, which the release has found out and tells its caller.
pub(crate) fn count_loss(name: &'static str) {
    metrics::lost(name);
}
