//! What is said of a run: by the callers, by the servers' journals, and by the world itself.

mod stored;

use std::fmt;

use tokio::time::Instant;

use super::clock::Clock;
pub(super) use stored::{Content, Kept, LastRun, Noted, Record, Run};

/// A number for each thing that a caller does with a lock.
pub(super) type ErrandId = u64;
/// A process that died and came back is another one, on the same machine.
pub(super) type ProcessId = usize;
pub(super) type ServerId = usize;
/// A lock's key, by its number.
pub(super) type KeyId = usize;

/// The beginning of a token, which tells one from all others.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Token([u8; 8]);

impl Token {
    /// Nobody's.
    pub(super) const NONE: Self = Self([0; 8]);

    pub(super) fn of(text: &[u8]) -> Option<Self> {
        text.first_chunk().copied().map(Self)
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

/// What a caller asks for. Times are in milliseconds.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each may be asked for without the others"
)]
#[derive(Debug, Clone, Copy, Hash)]
pub(super) struct Terms {
    pub(super) kind: &'static str,
    pub(super) ttl: u64,
    pub(super) patience: Patience,
    pub(super) renew: bool,
    pub(super) max_hold: Option<u64>,
    pub(super) min_hold: Option<u64>,
    pub(super) fenced: bool,
    pub(super) room: Room,
    /// For a permit: how many may have one.
    pub(super) permits: usize,
    /// At most one success in so many milliseconds.
    pub(super) once_per: Option<u64>,
    /// Its runs are recorded.
    pub(super) record: bool,
    /// The body runs to its end when the lock is lost.
    pub(super) finish: bool,
}

/// How a key is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Room {
    Alone,
    /// One of some places.
    Permit,
    Shared,
}

impl Room {
    /// Whether one may hold the key so while another holds it as is said.
    pub(super) fn is_beside(self, other: Self) -> bool {
        self == other && self != Self::Alone
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Patience {
    Retries(u32),
    Wait(u64),
    Forever,
}

/// How a body, or a time with a guard, came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum How {
    Ended,
    /// It says itself that it has not succeeded.
    Failed,
    Panicked,
    /// The body was dropped before its end, or the guard was.
    Dropped,
    /// The holder saw that the lock is lost, and stopped.
    Stopped,
}

/// What a caller got in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Outcome {
    /// The body's result, which is its errand.
    Ran(ErrandId),
    /// It gave the lock back by hand.
    Released,
    Busy {
        attempts: u32,
    },
    LostByTime,
    LostByOthers,
    LostByLimit,
    Backend,
    NotHeld,
    /// There is nothing to be done in this period.
    AlreadyDone,
    /// As its body did.
    Panicked,
    /// The caller dropped it.
    Left,
    /// It was told of another of its keys.
    OfAnother,
}

/// Who changed a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum By {
    Process(ProcessId),
    Foreigner,
    Time,
    /// A restart or a failover.
    Loss,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Which {
    Lock,
    Counter,
    Record,
}

#[derive(Debug, Clone, Hash)]
pub(super) enum Event {
    Asked {
        errand: ErrandId,
        /// The first errand of those for several keys, had together in their order.
        array: Option<ErrandId>,
        process: ProcessId,
        key: KeyId,
        terms: Terms,
        local: u64,
    },
    Entered {
        errand: ErrandId,
        token: Token,
        local: u64,
        left: u64,
        number: Option<u64>,
    },
    /// It goes on inside of the body, or with the guard.
    Inside {
        errand: ErrandId,
        local: u64,
        left: u64,
    },
    Left {
        errand: ErrandId,
        how: How,
    },
    Got {
        errand: ErrandId,
        outcome: Outcome,
        local: u64,
    },
    Changed {
        server: ServerId,
        by: By,
        key: KeyId,
        which: Which,
        before: Option<Kept>,
        after: Option<Kept>,
    },
    Recorded {
        server: ServerId,
        by: By,
        key: KeyId,
        before: Option<Noted>,
        after: Option<Noted>,
    },
    /// One stands in a line of the server.
    LinedUp {
        token: Token,
    },
    Started {
        process: ProcessId,
        place: usize,
    },
    /// With its machine, nobody hears of it.
    Died {
        process: ProcessId,
        with_machine: bool,
    },
    /// It has the data that it had at some time before, or none.
    Restored {
        server: ServerId,
    },
    /// The process does not run until then.
    Stopped {
        process: ProcessId,
        until: u64,
    },
    /// Something is not as usual until then.
    Trouble {
        what: String,
        until: u64,
    },
    /// Its locker has closed its connections, and opens them again.
    Closed {
        process: ProcessId,
    },
    /// This process has nothing left to release, as it says.
    Settled {
        process: ProcessId,
    },
    /// What was under way for long has arrived.
    Late {
        place: usize,
        server: ServerId,
        is_to_server: bool,
        sent: u64,
    },
    /// What the runtime has logged.
    Logged {
        what: String,
    },
}

/// The clocks that the checker compares by.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    pub(super) clock: Clock,
    /// What it showed when its process began.
    pub(super) began: u64,
}

impl Watch {
    /// What the process's clock has counted since it began.
    pub(super) fn local(&self, now: u64) -> u64 {
        self.clock.millis(now).saturating_sub(self.began)
    }
}

/// The milliseconds of a process since it began, on its own clock.
pub(super) fn millis_since(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_millis()).expect("not that long")
}
