//! Counters, gauges and histograms, by the facade of the crate `metrics`.
//!
//! They are labelled by the name of the lock, which is the template of its key: keys have no end.

use std::collections::HashSet;
use std::ptr;
use std::sync::{LazyLock, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use ::metrics::{
    Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram, with_recorder,
};
use tokio::time::Instant;

use crate::store::Outcome;

const ACQUIRED: &str = "redis_locked_acquired_total";
const BUSY: &str = "redis_locked_busy_total";
const ALREADY_DONE: &str = "redis_locked_already_done_total";
const LOST: &str = "redis_locked_lost_total";
const BACKEND_ERRORS: &str = "redis_locked_backend_errors_total";
const FAILED_RELEASES: &str = "redis_locked_failed_releases_total";
const WAITED: &str = "redis_locked_waited_seconds";
const HELD: &str = "redis_locked_held_seconds";
const HELD_NOW: &str = "redis_locked_held";
const WAITING_NOW: &str = "redis_locked_waiting";
const RUNS: &str = "redis_locked_runs_total";
const LAST_SUCCESS: &str = "redis_locked_last_success_timestamp_seconds";

const LABEL: &str = "lock.name";
const OUTCOME: &str = "outcome";

/// What was shown to which recorder: one that is installed late has seen nothing.
static SHOWN: LazyLock<RwLock<Shown>> = LazyLock::new(RwLock::default);

#[derive(Default)]
struct Shown {
    /// Where the recorder lies.
    recorder: usize,
    names: HashSet<&'static str>,
}

/// Tells the recorder what the metrics mean.
pub(crate) fn describe() {
    describe_counter!(
        ACQUIRED,
        Unit::Count,
        "Locks acquired, those passed on by another task of the process too"
    );
    describe_counter!(
        BUSY,
        Unit::Count,
        "Requests that gave up because another had the lock"
    );
    describe_counter!(
        ALREADY_DONE,
        Unit::Count,
        "Requests whose period had had its run"
    );
    describe_counter!(
        RUNS,
        Unit::Count,
        "Runs that are recorded, by how they ended"
    );
    describe_gauge!(
        LAST_SUCCESS,
        Unit::Seconds,
        "When the last recorded run that succeeded ended, in seconds since 1970, as far as this process \
         knows"
    );
    describe_counter!(
        LOST,
        Unit::Count,
        "Locks lost while they were held, or granted after their deadline"
    );
    describe_counter!(
        BACKEND_ERRORS,
        Unit::Count,
        "Requests and releases given up, extensions that failed, and waits without a limit that \
         met trouble, because of the store"
    );
    describe_counter!(
        FAILED_RELEASES,
        Unit::Count,
        "Releases that found the lock gone, or were given up because of the store"
    );
    describe_histogram!(
        WAITED,
        Unit::Seconds,
        "From the request to its lock, its failure or its end by the caller"
    );
    describe_histogram!(
        HELD,
        Unit::Seconds,
        "From the lock to the end of its release"
    );
    describe_gauge!(
        HELD_NOW,
        Unit::Count,
        "Locks that this process has acquired and not released yet"
    );
    describe_gauge!(
        WAITING_NOW,
        Unit::Count,
        "Requests of this process that try or wait now"
    );
}

/// Shows what was never counted at zero, so that a rate over it can be computed from the start.
pub(crate) fn show(name: &'static str) {
    let recorder = with_recorder(|recorder| ptr::from_ref(recorder).addr());
    {
        let shown = SHOWN.read().unwrap_or_else(PoisonError::into_inner);
        if shown.recorder == recorder && shown.names.contains(name) {
            return;
        }
    }
    describe();
    for metric in [
        ACQUIRED,
        BUSY,
        ALREADY_DONE,
        LOST,
        BACKEND_ERRORS,
        FAILED_RELEASES,
    ] {
        counter!(metric, LABEL => name).increment(0);
    }
    for metric in [HELD_NOW, WAITING_NOW] {
        gauge!(metric, LABEL => name).increment(0.0);
    }
    let mut shown = SHOWN.write().unwrap_or_else(PoisonError::into_inner);
    if shown.recorder != recorder {
        shown.recorder = recorder;
        shown.names.clear();
    }
    shown.names.insert(name);
}

/// A request while it tries or waits.
pub(crate) struct Waiting {
    _ongoing: Ongoing,
}

impl Waiting {
    pub(crate) fn new(name: &'static str) -> Self {
        show(name);
        let ongoing = Ongoing::new(
            gauge!(WAITING_NOW, LABEL => name),
            histogram!(WAITED, LABEL => name),
        );
        Self { _ongoing: ongoing }
    }
}

/// A lock while it is held.
pub(crate) struct Holding {
    _ongoing: Ongoing,
}

impl Holding {
    pub(crate) fn new(name: &'static str) -> Self {
        counter!(ACQUIRED, LABEL => name).increment(1);
        let ongoing = Ongoing::new(
            gauge!(HELD_NOW, LABEL => name),
            histogram!(HELD, LABEL => name),
        );
        Self { _ongoing: ongoing }
    }
}

/// Counted among those of now until it is dropped, and then by how long it took.
///
/// It keeps the recorder's handles, so that one recorder sees both ends.
struct Ongoing {
    now: Gauge,
    took: Histogram,
    since: Instant,
}

impl Ongoing {
    fn new(now: Gauge, took: Histogram) -> Self {
        now.increment(1.0);
        Self {
            now,
            took,
            since: Instant::now(),
        }
    }
}

impl Drop for Ongoing {
    fn drop(&mut self) {
        self.now.decrement(1.0);
        self.took.record(self.since.elapsed());
    }
}

pub(super) fn busy(name: &'static str) {
    counter!(BUSY, LABEL => name).increment(1);
}

pub(super) fn already_done(name: &'static str, ago: Duration) {
    counter!(ALREADY_DONE, LABEL => name).increment(1);
    succeeded(name, ago);
}

/// Shows the outcomes of runs that are recorded at zero, as above.
pub(crate) fn show_runs(name: &'static str) {
    for outcome in Outcome::ALL {
        counter!(RUNS, LABEL => name, OUTCOME => outcome.as_str()).increment(0);
    }
}

pub(crate) fn run_ended(name: &'static str, outcome: Outcome) {
    counter!(RUNS, LABEL => name, OUTCOME => outcome.as_str()).increment(1);
    if outcome == Outcome::Ok {
        succeeded(name, Duration::ZERO);
    }
}

/// A run has succeeded, so long ago.
fn succeeded(name: &'static str, ago: Duration) {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let at = now.unwrap_or_default().saturating_sub(ago);
    gauge!(LAST_SUCCESS, LABEL => name).set(at.as_secs_f64());
}

pub(super) fn lost(name: &'static str) {
    counter!(LOST, LABEL => name).increment(1);
}

pub(crate) fn backend_error(name: &'static str) {
    counter!(BACKEND_ERRORS, LABEL => name).increment(1);
}

pub(crate) fn failed_release(name: &'static str) {
    counter!(FAILED_RELEASES, LABEL => name).increment(1);
}
