//! A clock that runs at its own rate, within what is promised.

use super::chance::between;

/// A process and a server drift apart by 1 % at most, so each by half of that from the true time.
const DRIFT: i64 = 4_950;
const MILLION: i64 = 1_000_000;

/// Milliseconds of true time in, microseconds of its own out.
#[derive(Debug, Clone)]
pub(super) struct Clock {
    /// Its microseconds in a second of true time.
    rate: i64,
    /// What it shows at the beginning.
    start: i64,
}

impl Clock {
    pub(super) fn drifting(start: i64) -> Self {
        Self {
            rate: MILLION + between(-DRIFT..=DRIFT),
            start,
        }
    }

    pub(super) fn exact(start: i64) -> Self {
        Self {
            rate: MILLION,
            start,
        }
    }

    pub(super) fn micros(&self, now: u64) -> i64 {
        self.start + i64::try_from(now).expect("not that long") * self.rate / 1000
    }

    pub(super) fn millis(&self, now: u64) -> u64 {
        u64::try_from(self.micros(now) / 1000).expect("it starts after zero")
    }

    /// It is set back by so many milliseconds.
    pub(super) fn set_back(&mut self, millis: u32) {
        self.start -= i64::from(millis) * 1000;
    }
}
