//! A world in which anything may happen, from which all others begin.

use std::time::Duration;

use super::super::chance::{between, one_in, one_of};
use super::super::faults::{FAULTS, Fault};
use super::super::network::Weather;
use super::super::workload::{Family, KINDS};
use super::{Clocks, Plan, Sort};

/// A ttl that is longer than callers begin new things.
pub(super) const OUTLASTS: u64 = 10_000;

impl Plan {
    /// Calm, or not: all kinds but those of arrays.
    pub(super) fn any(sort: Sort) -> Self {
        let is_troubled = sort == Sort::Troubled;
        let servers = *one_of(&[1, 1, 1, 1, 3, 5]);
        let is_crowded = one_in(2);
        let (connection, response) = *one_of(&[(2_000, 1_000), (500, 300), (100, 60)]);
        let usual = *one_of(&[1, 2, 3, 6]);
        let (with_places, with_records) = (one_in(3), one_in(4));
        let kinds = KINDS
            .iter()
            .filter(|kind| servers == 1 || !kind.is_of_one_server)
            .filter(|kind| match kind.family {
                Family::Whole => true,
                Family::Places => with_places,
                Family::Records => with_records,
                // In worlds of their own, so that all others are what they were.
                Family::Arrays => false,
            });
        // All kinds beside each other, or a few.
        let weight = |of_all| if of_all { 2 } else { between(0..=9) };
        let of_all = one_in(2);
        let mut kinds: Vec<_> = kinds.map(|kind| (kind, weight(of_all))).collect();
        kinds[0].1 += 1;
        // A key that is left behind for the longest of these is there when its process shuts down.
        let shortest_ttl = *one_of(&[50, 200, 1_000, OUTLASTS]);
        let longest_ttl = shortest_ttl * between(1..=5);
        Self {
            servers,
            places: between(1..=4),
            callers: if is_crowded {
                between(8..=40)
            } else {
                between(1..=8)
            },
            keys: if is_crowded {
                between(1..=60)
            } else {
                between(1..=4)
            },
            kinds,
            ttls: shortest_ttl..=longest_ttl,
            longest_body: *one_of(&[2, 5, 20, 60]),
            long_body_one_in: if shortest_ttl == OUTLASTS {
                u32::MAX
            } else {
                20
            },
            longest_pause: *one_of(&[0, 3, 20, 200]),
            longest_wait: *one_of(&[20, 500, 5_000]),
            is_patient: true,
            period: *one_of(&[1_000, 1_000, 1_500, 3_000]),
            clocks: Clocks { drift: one_in(2) },
            weather: Weather {
                usual,
                late_one_in: (is_troubled && one_in(2)).then(|| between(20..=500)),
                latest: usual + between(5..=80),
                user_timeout: connection + response,
            },
            connection_timeout: Duration::from_millis(connection),
            response_timeout: Duration::from_millis(response),
            server_timeout: Duration::from_millis(*one_of(&[30, 100])),
            faults: if is_troubled {
                Self::faults()
            } else {
                Vec::new()
            },
            calm: *one_of(&[between(30..=150), between(150..=2_000)]),
            length: between(3_000..=8_000),
        }
    }

    /// All beside each other, or a few: where hardly anything else goes wrong, more is promised.
    fn faults() -> Vec<(&'static Fault, u32)> {
        let few = one_in(2);
        let weight = || if few && !one_in(6) { 0 } else { between(0..=5) };
        let mut faults: Vec<_> = FAULTS.iter().map(|fault| (fault, weight())).collect();
        let some = between(0..=faults.len() - 1);
        faults[some].1 += 1;
        faults
    }
}
