//! What the recorder of the crate `metrics` is told.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

use metrics::LocalRecorderGuard;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

/// What this thread's recorder has seen so far.
pub(crate) struct Metrics {
    pub(crate) snapshotter: Snapshotter,
    /// By name and metric; a snapshot takes away what it shows.
    pub(crate) totals: RefCell<BTreeMap<(String, String), f64>>,
}

impl Metrics {
    pub(crate) fn record() -> (Self, LocalRecorderGuard<'static>) {
        // Leaked, so that no two recorders lie at the same place.
        let recorder: &'static DebuggingRecorder = Box::leak(Box::default());
        let metrics = Self {
            snapshotter: recorder.snapshotter(),
            totals: RefCell::default(),
        };
        (metrics, metrics::set_default_local_recorder(recorder))
    }

    fn look(&self) {
        let mut totals = self.totals.borrow_mut();
        for (key, _, _, value) in self.snapshotter.snapshot().into_vec() {
            let labels: Vec<_> = key.key().labels().collect();
            assert_eq!(labels[0].key(), "lock.name");
            let metric = key.key().name().trim_start_matches("redis_locked_");
            let metric = match &labels[1..] {
                [] => metric.to_owned(),
                [outcome] => format!("{metric} {} {}", outcome.key(), outcome.value()),
                _ => panic!("{key:?}"),
            };
            let mut add = |metric: String, value: f64| {
                let name = labels[0].value().to_owned();
                *totals.entry((name, metric)).or_default() += value;
            };
            match value {
                DebugValue::Counter(count) => {
                    let count = u32::try_from(count).expect("few");
                    add(metric, f64::from(count));
                }
                DebugValue::Gauge(level) => add(metric, level.0),
                DebugValue::Histogram(values) => {
                    let count = u32::try_from(values.len()).expect("few");
                    add(format!("{metric}_count"), f64::from(count));
                    let sum: f64 = values.iter().map(|value| value.0).sum();
                    add(metric, sum);
                }
            }
        }
    }

    /// What was counted for this name and how many are held or waiting now, unless it is none.
    pub(crate) fn counts(&self, name: &str) -> String {
        self.look();
        let totals = self.totals.borrow();
        let counts = totals.iter().filter(|((of, metric), value)| {
            of == name && !metric.ends_with("_seconds") && **value != 0.0
        });
        let counts: Vec<_> = counts
            .map(|((_, metric), value)| format!("{metric} {value}"))
            .collect();
        counts.join(", ")
    }

    /// How much time was recorded for this name, in all.
    pub(crate) fn time(&self, name: &str, metric: &str) -> Duration {
        self.look();
        let totals = self.totals.borrow();
        let seconds = totals.get(&(name.to_owned(), format!("{metric}_seconds")));
        Duration::from_secs_f64(*seconds.expect("recorded"))
    }
}
