//! Worlds in which one thing goes wrong again and again, and what it threatens is done all the time.

use super::super::chance::{between, one_of};
use super::super::network::Weather;
use super::{Plan, Sort};

impl Plan {
    pub(super) fn renewed() -> Self {
        let plan = Self::any(Sort::Troubled).with_timeouts(100, 60);
        Self {
            servers: *one_of(&[1, 1, 3]),
            places: between(1..=2),
            callers: between(1..=4),
            keys: between(2..=6),
            kinds: Self::only(&["renew"]),
            ttls: 1_000..=3_000,
            long_body_one_in: 1,
            longest_pause: 20,
            longest_wait: *one_of(&[20, 500]),
            is_patient: false,
            weather: Weather {
                late_one_in: None,
                ..plan.weather
            },
            faults: Self::faults_of(&[
                "server refuses",
                "cut",
                "cut in the middle",
                "connection stands still",
                "server stands still",
            ]),
            calm: between(800..=3_000),
            length: between(5_000..=9_000),
            ..plan
        }
    }

    pub(super) fn taken() -> Self {
        Self {
            servers: 1,
            places: between(1..=2),
            callers: between(4..=12),
            keys: between(1..=3),
            kinds: Self::only(&["extend", "renew", "hand", "wait", "forever"]),
            ttls: 50..=400,
            longest_body: *one_of(&[20, 60]),
            longest_pause: 3,
            longest_wait: 500,
            faults: Self::faults_of(&["foreign hand"]),
            calm: between(5..=40),
            length: between(2_000..=5_000),
            ..Self::any(Sort::Calm)
        }
    }

    pub(super) fn numbers() -> Self {
        Self {
            servers: 1,
            places: between(1..=3),
            callers: between(1..=4),
            keys: between(1..=2),
            kinds: Self::only(&["fenced", "wait", "leave"]),
            ttls: 1_000..=3_000,
            longest_body: *one_of(&[0, 2, 5]),
            longest_pause: *one_of(&[0, 3]),
            longest_wait: 500,
            faults: Self::faults_of(&["clock back", "clock back", "foreign hand", "failover"]),
            calm: between(20..=200),
            length: between(2_000..=5_000),
            ..Self::any(Sort::Troubled)
        }
    }
}
