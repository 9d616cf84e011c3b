//! Counters, gauges and histograms, by the facade of the crate `metrics`.
//!
//! They are labelled by the name of the lock, which is the template of its key: keys have no end.

use std::collections::HashSet;
use std::sync::{LazyLock, PoisonError, RwLock};
use std::time::Instant;

use ::metrics::{
    Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram,
};

const ACQUIRED: &str = "redis_locked_acquired_total";
const BUSY: &str = "redis_locked_busy_total";
const LOST: &str = "redis_locked_lost_total";
const BACKEND_ERRORS: &str = "redis_locked_backend_errors_total";
const FAILED_RELEASES: &str = "redis_locked_failed_releases_total";
const WAITED: &str = "redis_locked_waited_seconds";
const HELD: &str = "redis_locked_held_seconds";
const HELD_NOW: &str = "redis_locked_held";
const WAITING_NOW: &str = "redis_locked_waiting";

const LABEL: &str = "lock.name";

/// The names that were shown at zero already.
static SHOWN: LazyLock<RwLock<HashSet<&'static str>>> = LazyLock::new(RwLock::default);

/// Tells the recorder what the metrics mean.
pub(crate) fn describe() {
    describe_counter!(ACQUIRED, Unit::Count, "Locks acquired");
    describe_counter!(
        BUSY,
        Unit::Count,
        "Requests that gave up because another had the lock"
    );
    describe_counter!(LOST, Unit::Count, "Locks lost while they were held");
    describe_counter!(
        BACKEND_ERRORS,
        Unit::Count,
        "Requests that failed because of the store"
    );
    describe_counter!(
        FAILED_RELEASES,
        Unit::Count,
        "Releases that did not find the lock, or the store"
    );
    describe_histogram!(
        WAITED,
        Unit::Seconds,
        "From the request to its lock, or to its failure"
    );
    describe_histogram!(HELD, Unit::Seconds, "From the lock to its release");
    describe_gauge!(HELD_NOW, Unit::Count, "Locks held now by this process");
    describe_gauge!(
        WAITING_NOW,
        Unit::Count,
        "Requests of this process that try or wait now"
    );
}

/// Shows what was never counted at zero, so that a rate over it can be computed from the start.
fn show(name: &'static str) {
    let shown = SHOWN.read().unwrap_or_else(PoisonError::into_inner);
    if shown.contains(name) {
        return;
    }
    drop(shown);
    for metric in [ACQUIRED, BUSY, LOST, BACKEND_ERRORS, FAILED_RELEASES] {
        counter!(metric, LABEL => name).increment(0);
    }
    for metric in [HELD_NOW, WAITING_NOW] {
        gauge!(metric, LABEL => name).increment(0.0);
    }
    let mut shown = SHOWN.write().unwrap_or_else(PoisonError::into_inner);
    shown.insert(name);
}

/// A request while it tries or waits.
pub(crate) struct Waiting {
    name: &'static str,
    since: Instant,
}

impl Waiting {
    pub(crate) fn new(name: &'static str) -> Self {
        show(name);
        gauge!(WAITING_NOW, LABEL => name).increment(1.0);
        Self {
            name,
            since: Instant::now(),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        gauge!(WAITING_NOW, LABEL => self.name).decrement(1.0);
        histogram!(WAITED, LABEL => self.name).record(self.since.elapsed());
    }
}

/// A lock while it is held.
pub(crate) struct Holding {
    name: &'static str,
    since: Instant,
}

impl Holding {
    pub(crate) fn new(name: &'static str) -> Self {
        counter!(ACQUIRED, LABEL => name).increment(1);
        gauge!(HELD_NOW, LABEL => name).increment(1.0);
        Self {
            name,
            since: Instant::now(),
        }
    }
}

impl Drop for Holding {
    fn drop(&mut self) {
        gauge!(HELD_NOW, LABEL => self.name).decrement(1.0);
        histogram!(HELD, LABEL => self.name).record(self.since.elapsed());
    }
}

pub(super) fn busy(name: &'static str) {
    counter!(BUSY, LABEL => name).increment(1);
}

pub(super) fn lost(name: &'static str) {
    counter!(LOST, LABEL => name).increment(1);
}

pub(super) fn backend_error(name: &'static str) {
    counter!(BACKEND_ERRORS, LABEL => name).increment(1);
}

pub(super) fn failed_release(name: &'static str) {
    counter!(FAILED_RELEASES, LABEL => name).increment(1);
}
