//! Worlds in which callers leave at any time, and what they leave behind is still there at the end.

use std::time::Duration;

use super::super::chance::{between, one_of};
use super::super::network::Weather;
use super::any::OUTLASTS;
use super::{Plan, Sort};

/// With these, callers leave at any time, and some stay.
const KINDS: &[&str] = &["plain", "retries", "wait", "drop", "leave", "hand", "skip"];

impl Plan {
    pub(super) fn doubt() -> Self {
        let plan = Self::any(Sort::Troubled);
        let (connection, response) = *one_of(&[(500, 300), (100, 60)]);
        let plan = plan.of_leavers(20, 60).with_timeouts(connection, response);
        Self {
            servers: 1,
            faults: Self::faults_of(&[
                "cut in the middle",
                "cut in the middle",
                "connection stands still",
                "cut",
                "server refuses",
                "scripts forgotten",
            ]),
            calm: between(20..=200),
            length: between(2_000..=4_000),
            ..plan
        }
    }

    pub(super) fn quorum() -> Self {
        let plan = Self::any(Sort::Calm);
        let servers = *one_of(&[3, 5]);
        let plan = plan.of_leavers(3, 30).with_timeouts(2_000, 1_000);
        Self {
            servers,
            weather: Weather {
                late_one_in: Some(between(5..=100)),
                ..plan.weather
            },
            faults: Self::faults_of(&["scripts forgotten"]),
            calm: between(5..=100),
            length: between(500..=2_000),
            ..plan
        }
    }

    /// What is left behind keeps nobody for long, so that it is still there when all is shut down.
    fn of_leavers(self, least_keys: usize, most_keys: usize) -> Self {
        Self {
            places: between(1..=3),
            callers: between(2..=8),
            keys: between(least_keys..=most_keys),
            kinds: Self::only(KINDS),
            ttls: OUTLASTS..=5 * OUTLASTS,
            longest_body: *one_of(&[2, 5, 20]),
            long_body_one_in: u32::MAX,
            longest_pause: *one_of(&[3, 20]),
            longest_wait: *one_of(&[20, 500]),
            is_patient: false,
            ..self
        }
    }

    /// To connect, and to be answered, in milliseconds.
    pub(super) fn with_timeouts(self, connection: u64, response: u64) -> Self {
        Self {
            weather: Weather {
                user_timeout: connection + response,
                ..self.weather
            },
            connection_timeout: Duration::from_millis(connection),
            response_timeout: Duration::from_millis(response),
            ..self
        }
    }
}
