//! When which tenure is to be looked at.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::sync::{Arc, Weak};

use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::tenure::SharedTenure;

/// Timers of tenures that are over are swept when there are this many, then twice the rest.
const FIRST_SWEEP: usize = 1024;

/// A timer is never taken back: a tenure knows the one that counts.
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<Timer>>,
    sweep_at: usize,
}

pub(super) struct Timer {
    pub(super) at: Instant,
    pub(super) tenure: Weak<SharedTenure>,
    /// The runtime in which the lease was taken.
    pub(super) runtime: Handle,
}

impl Default for Timers {
    fn default() -> Self {
        Self {
            heap: BinaryHeap::new(),
            sweep_at: FIRST_SWEEP,
        }
    }
}

impl Timers {
    pub(super) fn insert(&mut self, timer: Timer) {
        if self.heap.len() >= self.sweep_at {
            self.heap.retain(|Reverse(timer)| timer.due().is_some());
            self.sweep_at = FIRST_SWEEP.max(2 * self.heap.len());
        }
        self.heap.push(Reverse(timer));
    }

    /// The next whose time has come by `now`.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Timer> {
        self.next().filter(|at| *at <= now)?;
        self.heap.pop().map(|Reverse(timer)| timer)
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse(timer)| timer.at)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn runtimes(&self) -> impl Iterator<Item = &Handle> {
        self.heap.iter().map(|Reverse(timer)| &timer.runtime)
    }
}

impl Timer {
    /// The tenure, if this is the timer that counts.
    pub(super) fn due(&self) -> Option<Arc<SharedTenure>> {
        let tenure = self.tenure.upgrade()?;
        let counts = tenure.look(|tenure| tenure.is_due(self.at));
        counts.then_some(tenure)
    }
}

impl PartialEq for Timer {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Timer {}

impl PartialOrd for Timer {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Timer {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.cmp(&other.at)
    }
}
