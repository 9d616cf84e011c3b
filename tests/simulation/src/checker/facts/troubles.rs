//! When things were not as usual, and for how long that may be felt.

use super::Facts;

/// How long a seat lasts whose process's connections are not closed, as when its machine vanishes, and
/// then the lock that is passed on to it.
pub(in super::super) const SEAT: u64 = 8_000 + 2_000;

/// How long things take at most, in milliseconds.
#[derive(Debug, Clone)]
pub(in super::super::super) struct Limits {
    /// A parcel, where nothing stands still.
    pub(in super::super::super) parcel: u64,
    /// To connect, and to be answered.
    pub(in super::super::super) operation: u64,
    /// To be answered: then the connection is given up.
    pub(in super::super::super) answer: u64,
}

impl Facts {
    pub(super) fn trouble(&mut self, until: u64) {
        self.troubles.push((self.now, until));
        self.troubled_until = self.troubled_until.max(until);
    }

    /// Whether the last trouble is so long over that nothing follows from it any more.
    pub(in super::super) fn is_calm(&self) -> bool {
        self.was_calm(self.now)
    }

    /// The same at a time that is over.
    pub(in super::super) fn was_calm(&self, then: u64) -> bool {
        self.troubles.is_empty() || then > self.troubled_until + self.aftermath()
    }

    /// Whether one who has died may still have a place in a line, or a lock that was passed on to it.
    pub(in super::super) fn may_be_in_line(&self, then: u64) -> bool {
        self.died.is_some_and(|died| then < died + SEAT)
    }

    /// How long a trouble may have consequences: what was under way is given up, a release pauses, and
    /// the connection is opened anew.
    pub(in super::super) fn aftermath(&self) -> u64 {
        3 * self.limits.operation + 3_000
    }

    /// For how long there was trouble between these times, when each has so much of a sequel.
    pub(in super::super) fn troubled(&self, from: u64, to: u64, sequel: u64) -> u64 {
        let mut parts: Vec<_> = self
            .troubles
            .iter()
            .map(|(begun, ended)| ((*begun).max(from), (*ended + sequel).min(to)))
            .filter(|(begun, ended)| begun < ended)
            .collect();
        parts.sort_unstable();
        let (mut sum, mut until) = (0, from);
        for (begun, ended) in parts {
            sum += ended.saturating_sub(begun.max(until));
            until = until.max(ended);
        }
        sum
    }
}
