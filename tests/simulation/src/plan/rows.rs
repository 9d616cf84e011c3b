//! Which kinds of requests there are in a world, and which faults.

use super::super::chance::between;
use super::super::faults::{FAULTS, Fault};
use super::super::workload::{Family, KINDS, Kind};
use super::Plan;

/// These make a line.
pub(super) const LINE_KINDS: &[&str] = &["wait", "forever", "renew", "leave", "coalesce", "fenced"];

/// After these, a key of a line is free, or one who waits is gone, and all else is as usual.
const QUIET: &[&str] = &["kill", "foreign hand"];

impl Plan {
    /// All kinds of this family, and some that make a line beside them.
    pub(super) fn mostly(family: Family) -> Vec<(&'static Kind, u32)> {
        let weight = |kind: &Kind| {
            if kind.family == family {
                between(1..=4)
            } else {
                u32::from(LINE_KINDS.contains(&kind.name)) * between(0..=2)
            }
        };
        KINDS
            .iter()
            .filter(|kind| kind.family == family || kind.family != Family::Arrays)
            .map(|kind| (kind, weight(kind)))
            .collect()
    }

    /// The kinds with these names, each as likely.
    pub(super) fn only(names: &[&str]) -> Vec<(&'static Kind, u32)> {
        let kinds = KINDS.iter().filter(|kind| names.contains(&kind.name));
        kinds.map(|kind| (kind, 1)).collect()
    }

    pub(super) fn faults_of(names: &[&str]) -> Vec<(&'static Fault, u32)> {
        let faults = FAULTS.iter().filter(|fault| names.contains(&fault.name));
        faults.map(|fault| (fault, between(1..=3))).collect()
    }

    /// The order is promised all the same, and who is gone is skipped at once.
    pub(super) fn quiet(self) -> Self {
        let faults = FAULTS.iter().filter(|fault| QUIET.contains(&fault.name));
        Self {
            faults: faults.map(|fault| (fault, 1)).collect(),
            calm: between(30..=600),
            ..self
        }
    }
}
