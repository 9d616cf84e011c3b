//! All that the model remembers: the server, the clients, what is under way between them, and what
//! the judge needs.
//!
//! Times are what is left, stamps are ages: so a state does not grow with the time.

use crate::config::{Faults, Line};

/// As many clients as a configuration may have.
pub(crate) const MOST: usize = 5;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    Free,
    /// The client's value.
    Held {
        by: usize,
        left: u8,
    },
    /// What a release with `min_hold` leaves: another value.
    Kept {
        left: u8,
    },
    Foreign {
        left: u8,
    },
}

/// An entry of the line and its seat.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Seat {
    /// The place in the line; 0 where there is no entry.
    pub(crate) score: u8,
    /// For how long it counts as there.
    pub(crate) left: u8,
    /// How long ago the last look that refreshed it was first sent.
    pub(crate) stamp: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Process {
    /// Its bell connection is open.
    Hears,
    /// Its bell connection is just opening again, for so long.
    Deaf(u8),
    /// Its connections are closed.
    Killed,
    /// The server takes its bell connection for open.
    Vanished,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// Not there yet.
    Absent,
    /// Waits in memory behind another of its process.
    Queued,
    /// A look is under way, or it has a seat.
    Waiting,
    /// The body runs for as long as this.
    Holding(u8),
    /// A release or leave is under way.
    Releasing,
    /// Released, but something that was sent may still arrive.
    Doubtful,
    Done,
    Dead,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Tenure {
    pub(crate) phase: Phase,
    /// How long ago it was granted.
    pub(crate) began: u8,
    /// Until the next look.
    pub(crate) timer: u8,
    /// Whether a look was answered with a seat: the next one only refreshes it.
    pub(crate) seated: bool,
    /// Whether it looks once more when its look is answered.
    pub(crate) again: bool,
    /// The place it had.
    pub(crate) score: u8,
    /// Whether it has come back to its place once.
    pub(crate) returned: bool,
    /// For how long a command that can set the key may still be under way.
    pub(crate) doubt: u8,
    /// How long ago the last look was sent that was answered; kept only where a break counts by it.
    pub(crate) answered: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Look {
    /// May take the key or a new seat. The others only refresh or claim.
    pub(crate) enters: bool,
    /// How long ago it was first sent.
    pub(crate) stamp: u8,
    /// The place it wants again, or 0.
    pub(crate) score: u8,
    /// How long it has been under way.
    pub(crate) age: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Told {
    /// The key is ours, for so long from the processing.
    Granted(u8),
    /// The key's time left, the rank and the score.
    Busy {
        left: u8,
        rank: usize,
        score: u8,
    },
    /// The door is open for so long.
    Open {
        left: u8,
        score: u8,
    },
    NoSeat,
    Deaf,
    /// Its token was released, and nothing is done for it any more.
    Settled,
    /// Somebody waits.
    Coalesced,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Answer {
    pub(crate) told: Told,
    /// How long ago the look was first sent.
    pub(crate) stamp: u8,
    pub(crate) age: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Bell {
    pub(crate) stamp: u8,
    pub(crate) age: u8,
    pub(crate) late: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Extension {
    /// How long ago it was first sent.
    pub(crate) since: u8,
    pub(crate) age: u8,
}

/// What is under way from and to one client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Net {
    pub(crate) look: Option<Look>,
    pub(crate) late_look: Option<Look>,
    pub(crate) answer: Option<Answer>,
    /// Bells come in the order in which they were rung.
    pub(crate) bells: [Option<Bell>; 2],
    /// It was told to watch the key: it became first, or the key that it watches was changed.
    pub(crate) watch: Option<u8>,
    /// For how long a release has been under way, and whether it keeps the key.
    pub(crate) release: Option<(u8, bool)>,
    pub(crate) extension: Option<Extension>,
    pub(crate) late_extension: Option<u8>,
}

/// What only the judge knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Judge {
    /// The order in which the clients were seated first; 0 before.
    pub(crate) rank: [u8; MOST],
    /// Who is there, as the server can know.
    pub(crate) there: u8,
    /// Whose order was lost with the side keys.
    pub(crate) lawless: u8,
    /// Whose key a foreign client deleted.
    pub(crate) robbed: u8,
    /// For how long each has waited as the first of its process.
    pub(crate) waited: [u8; MOST],
    /// Who had begun already when a coalescing caller came.
    pub(crate) past: [u8; MOST],
    /// Who was counted as waiting when it was told so.
    pub(crate) counted: [u8; MOST],
    /// Those of them whose run it may count on.
    pub(crate) owed: [u8; MOST],
    /// Who has begun, where somebody coalesces.
    pub(crate) ran: u8,
    /// Who was told that somebody waits, and is owed nothing more.
    pub(crate) paid: u8,
    /// For how long the key has been free while somebody was there.
    pub(crate) free: u8,
    /// For how long nobody alive had the key while somebody was there.
    pub(crate) held_up: u8,
    /// For how long nobody has answered for the key.
    pub(crate) orphan: u8,
    /// What is left of the `min_hold` of a released key, and who released it.
    pub(crate) kept: Option<(usize, u8)>,
    /// The promises that were broken, one bit each.
    pub(crate) broken: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) key: Key,
    pub(crate) seats: [Seat; MOST],
    /// Whose looks do nothing any more.
    pub(crate) settled: u8,
    /// The last score that was given.
    pub(crate) last_score: u8,
    /// For how long the door is still open.
    pub(crate) door: u8,
    /// Who has registered the key.
    pub(crate) registered: u8,
    pub(crate) processes: [Process; MOST],
    pub(crate) tenures: [Tenure; MOST],
    pub(crate) nets: [Net; MOST],
    pub(crate) faults: Faults,
    pub(crate) judge: Judge,
}

impl State {
    pub(crate) fn new(line: &Line) -> Self {
        let tenure = Tenure {
            phase: Phase::Absent,
            began: 0,
            timer: 0,
            seated: false,
            again: false,
            score: 0,
            returned: false,
            doubt: 0,
            answered: 0,
        };
        Self {
            key: Key::Free,
            seats: [Seat::default(); MOST],
            settled: 0,
            last_score: 0,
            door: 0,
            registered: 0,
            processes: [Process::Hears; MOST],
            tenures: [tenure; MOST],
            nets: [Net::default(); MOST],
            faults: line.faults,
            judge: Judge::default(),
        }
    }

    pub(crate) fn phase(&self, client: usize) -> Phase {
        self.tenures[client].phase
    }

    pub(crate) fn is_alive(&self, line: &Line, client: usize) -> bool {
        matches!(
            self.processes[line.process(client)],
            Process::Hears | Process::Deaf(_)
        )
    }

    /// Whether its bell connection is open at its own end.
    pub(crate) fn hears(&self, line: &Line, client: usize) -> bool {
        self.processes[line.process(client)] == Process::Hears
    }

    /// Whether it waits, alive, with its bell connection open.
    pub(crate) fn waits(&self, line: &Line, client: usize) -> bool {
        self.phase(client) == Phase::Waiting && self.hears(line, client)
    }

    pub(crate) fn key_is(&self, client: usize) -> bool {
        matches!(self.key, Key::Held { by, .. } if by == client)
    }

    /// Whether something may still be under way that can set the key or take a seat.
    pub(crate) fn is_doubtful(&self, client: usize) -> bool {
        self.tenures[client].doubt > 0 || self.asks(client)
    }

    /// Whether a look was sent whose answer has not come.
    pub(crate) fn asks(&self, client: usize) -> bool {
        self.nets[client].look.is_some() || self.nets[client].answer.is_some()
    }
}

/// The bit that stands for a client.
pub(crate) fn bit(client: usize) -> u8 {
    1 << client
}
