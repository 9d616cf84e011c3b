//! What a seed makes of the world: how many live in it, what they want, and what goes wrong.

mod any;
mod crowds;
mod leaving;
mod rows;
mod shown;
mod single;
mod sort;

use std::ops::RangeInclusive;
use std::time::Duration;

use super::chance::between;
use super::checker::Limits;
use super::clock::Clock;
use super::faults::Fault;
use super::network::Weather;
use super::workload::Kind;
pub use sort::Sort;

/// Some day of 2026, in microseconds since 1970.
const DAY: i64 = 1_790_000_000_000_000;

pub(super) struct Plan {
    /// One, or those of a quorum.
    pub(super) servers: usize,
    pub(super) places: usize,
    /// In each process.
    pub(super) callers: usize,
    pub(super) keys: usize,
    pub(super) kinds: Vec<(&'static Kind, u32)>,
    pub(super) ttls: RangeInclusive<u64>,
    pub(super) longest_body: u64,
    /// One body in so many may outlast its ttl.
    pub(super) long_body_one_in: u32,
    pub(super) longest_pause: u64,
    pub(super) longest_wait: u64,
    /// Whether some wait without a limit.
    pub(super) is_patient: bool,
    /// That of `once_per`.
    pub(super) period: u64,
    pub(super) clocks: Clocks,
    pub(super) weather: Weather,
    pub(super) connection_timeout: Duration,
    pub(super) response_timeout: Duration,
    pub(super) server_timeout: Duration,
    pub(super) faults: Vec<(&'static Fault, u32)>,
    /// Between two faults, in the mean.
    pub(super) calm: u64,
    /// How long callers begin new things.
    pub(super) length: u64,
}

pub(super) struct Clocks {
    drift: bool,
}

impl Clocks {
    pub(super) fn process(&self) -> Clock {
        self.clock(between(0..=1_000_000))
    }

    pub(super) fn server(&self) -> Clock {
        self.clock(DAY + between(0..=1_000_000))
    }

    fn clock(&self, start: i64) -> Clock {
        if self.drift {
            Clock::drifting(start)
        } else {
            Clock::exact(start)
        }
    }
}

impl Plan {
    pub(super) fn draw() -> Self {
        match Sort::draw() {
            Sort::Busy => Self::busy(),
            Sort::Line => Self::line(),
            Sort::Places => Self::places(),
            Sort::Records => Self::records(),
            Sort::Arrays => Self::arrays(),
            Sort::Doubt => Self::doubt(),
            Sort::Quorum => Self::quorum(),
            Sort::Renewed => Self::renewed(),
            Sort::Taken => Self::taken(),
            Sort::Numbers => Self::numbers(),
            sort => Self::any(sort),
        }
    }

    /// Of what kind the next to be drawn is.
    pub(super) fn next_sort() -> Sort {
        Sort::draw()
    }

    pub(super) fn limits(&self) -> Limits {
        let parcel = match self.weather.late_one_in {
            Some(_) => self.weather.latest,
            None => self.weather.usual,
        };
        // Of a quorum, a server that is slow is given up sooner.
        let answer = if self.servers > 1 {
            self.response_timeout.min(self.server_timeout)
        } else {
            self.response_timeout
        };
        Limits {
            parcel,
            operation: self.weather.user_timeout,
            answer: u64::try_from(answer.as_millis()).expect("not that long"),
        }
    }
}
