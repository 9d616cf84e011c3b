//! Worlds in which many want the same few keys, of each sort of request.

use super::super::chance::{between, one_in, one_of};
use super::super::checker::COALESCE;
use super::super::workload::{Family, KINDS, Kind};
use super::rows::LINE_KINDS;
use super::{Plan, Sort};

/// Beside each other, these take and give back the most.
const BUSY_KINDS: &[&str] = &[
    "plain", "retries", "wait", "forever", "drop", "leave", "hand", "skip", "fenced", "renew",
];

impl Plan {
    pub(super) fn busy() -> Self {
        let kinds = KINDS.iter().filter(|kind| BUSY_KINDS.contains(&kind.name));
        let waits = |kind: &Kind| u32::from(matches!(kind.name, "wait" | "forever"));
        let kinds = kinds.map(|kind| (kind, 1 + 6 * waits(kind)));
        Self {
            servers: 1,
            kinds: kinds.collect(),
            callers: between(20..=40),
            keys: *one_of(&[2, 8, 40, 100]),
            ttls: 1_000..=5_000,
            longest_body: *one_of(&[0, 1, 2]),
            long_body_one_in: 4_000,
            longest_pause: *one_of(&[0, 2]),
            longest_wait: 5_000,
            length: 20_000,
            ..Self::any(Sort::Busy)
        }
    }

    pub(super) fn line() -> Self {
        let sort = *one_of(&[Sort::Calm, Sort::Troubled]);
        let plan = Self::any(sort);
        let waits = |kind: &Kind| u32::from(LINE_KINDS.contains(&kind.name));
        let kinds = KINDS
            .iter()
            .filter(|kind| kind.family == Family::Whole)
            .map(|kind| (kind, between(0..=2) + 5 * waits(kind)));
        let plan = Self {
            servers: 1,
            places: between(2..=50),
            callers: *one_of(&[1, 1, 2, 4]),
            keys: *one_of(&[1, 1, 2, 4]),
            kinds: kinds.collect(),
            ttls: 1_000..=3_000,
            longest_body: *one_of(&[0, 5, 60, 400]),
            longest_pause: *one_of(&[0, 20, 200]),
            longest_wait: *one_of(&[500, 5_000]),
            ..plan
        };
        if sort == Sort::Troubled {
            return plan;
        }
        match between(0..=3) {
            0 => plan,
            // Nobody else waits whose run would do for those who were told to count on one.
            1 => Self {
                places: between(2..=5),
                callers: between(2..=6),
                keys: between(1..=2),
                // Who is told to count on another knows that at once.
                longest_pause: *one_of(&[5, 20, 200]),
                kinds: KINDS
                    .iter()
                    .filter(|kind| kind.name == COALESCE)
                    .map(|kind| (kind, 1))
                    .collect(),
                ..plan
            },
            _ => plan.quiet(),
        }
    }

    pub(super) fn places() -> Self {
        let sort = *one_of(&[Sort::Calm, Sort::Troubled, Sort::Troubled]);
        let plan = Self::any(sort);
        let plan = Self {
            kinds: Self::mostly(Family::Places),
            servers: 1,
            places: between(1..=8),
            callers: between(1..=6),
            keys: *one_of(&[1, 1, 2, 4]),
            longest_body: *one_of(&[5, 20, 60, 400]),
            longest_pause: *one_of(&[0, 3, 20, 200]),
            ..plan
        };
        if sort == Sort::Calm && one_in(2) {
            plan.quiet()
        } else {
            plan
        }
    }

    pub(super) fn records() -> Self {
        let sort = *one_of(&[Sort::Calm, Sort::Troubled, Sort::Troubled]);
        Self {
            kinds: Self::mostly(Family::Records),
            servers: 1,
            places: between(1..=6),
            callers: between(1..=5),
            keys: between(1..=4),
            longest_pause: *one_of(&[3, 20, 200]),
            ..Self::any(sort)
        }
    }

    pub(super) fn arrays() -> Self {
        let sort = *one_of(&[Sort::Calm, Sort::Troubled, Sort::Troubled]);
        let servers = *one_of(&[1, 1, 1, 3]);
        let mut kinds = Self::mostly(Family::Arrays);
        kinds.retain(|(kind, _)| servers == 1 || !kind.is_of_one_server);
        Self {
            servers,
            kinds,
            places: between(1..=5),
            callers: between(1..=6),
            keys: between(2..=8),
            longest_body: *one_of(&[5, 20, 60, 400]),
            longest_pause: *one_of(&[0, 3, 20, 200]),
            ..Self::any(sort)
        }
    }
}
