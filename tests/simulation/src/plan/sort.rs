//! The sorts of worlds.

use super::super::chance::{between, one_in};

/// What kind of a world it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    /// Nothing goes wrong, and many locks are taken and given back.
    Busy,
    /// Nothing goes wrong.
    Calm,
    Troubled,
    /// Many processes wait for few locks, and something may go wrong.
    Line,
    /// Few keys that several may hold, and something may go wrong.
    Places,
    /// Runs are recorded, and something may go wrong.
    Records,
    /// Commands come late, or twice, and what they leave behind is there at the end.
    Doubt,
    /// Several servers, nothing goes wrong, and callers leave.
    Quorum,
    /// Bodies run for longer than their ttl, and something short goes wrong.
    Renewed,
    /// Others take locks away, and whoever holds them looks.
    Taken,
    /// Many ask for several keys at once, and something may go wrong.
    Arrays,
    /// Fencing numbers are drawn again and again, while the server's clock is set back and counters are lost.
    Numbers,
}

impl Sort {
    pub(super) fn draw() -> Self {
        match between(0..=12) {
            // Those of all other worlds are what they were before there were these.
            5 if one_in(3) => Self::Numbers,
            5 => Self::Arrays,
            6 => Self::Line,
            7 => Self::Places,
            8 => Self::Records,
            9 => Self::Doubt,
            10 => Self::Quorum,
            11 => Self::Renewed,
            12 => Self::Taken,
            0 => Self::Busy,
            1 | 2 => Self::Calm,
            _ => Self::Troubled,
        }
    }
}
