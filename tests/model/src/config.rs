//! What is tried: who comes, which times hold, what may go wrong and how often, and which rule is
//! broken on purpose.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};

use crate::judge::Seen;
use crate::state::{MOST, Process};

/// One who wants the key: one tenure, so one token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Client {
    /// The process it belongs to. It hears with one bell connection.
    pub(crate) process: usize,
    /// Whether it is told "busy" at once when somebody waits.
    pub(crate) coalesce: bool,
}

/// Times in ticks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// How long a message may be under way when nothing is wrong.
    pub(crate) delay: u8,
    /// How long one may be that is late.
    pub(crate) late: u8,
    pub(crate) ttl: u8,
    pub(crate) reservation: u8,
    /// How long a seat is valid after a look.
    pub(crate) seat: u8,
    /// How long after a look the next one is due at the latest.
    pub(crate) refresh: u8,
    /// For how long a tenure is passed on in memory.
    pub(crate) passing: u8,
}

/// How often each thing may still go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Faults {
    /// A look never arrives, or its answer does not.
    pub(crate) lost: u8,
    /// A look or an extension is given up and asked again, and arrives later all the same.
    pub(crate) late: u8,
    /// A bell lies in a socket.
    pub(crate) bell_late: u8,
    /// A bell is lost, and the server does not notice.
    pub(crate) bell_lost: u8,
    /// A bell connection breaks; both ends notice.
    pub(crate) cut: u8,
    /// A process dies; its connections are closed.
    pub(crate) kill: u8,
    /// A machine vanishes; the server takes its connections for open.
    pub(crate) vanish: u8,
    /// A foreign client takes the free key.
    pub(crate) foreign: u8,
    /// A foreign client deletes a held key.
    pub(crate) rob: u8,
    /// The side keys are deleted.
    pub(crate) flush: u8,
    /// A waiting caller gives up.
    pub(crate) give_up: u8,
    /// A leave is lost, and nobody sends it again.
    pub(crate) leave_lost: u8,
    /// A release keeps the key for the rest of `min_hold`.
    pub(crate) keep: u8,
    /// A release opens the door for foreign clients instead of passing the key on.
    pub(crate) door: u8,
}

impl Faults {
    pub(crate) const NONE: Self = Self {
        lost: 0,
        late: 0,
        bell_late: 0,
        bell_lost: 0,
        cut: 0,
        kill: 0,
        vanish: 0,
        foreign: 0,
        rob: 0,
        flush: 0,
        give_up: 0,
        leave_lost: 0,
        keep: 0,
        door: 0,
    };
}

/// Bounds in ticks. The tests say why each is what it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// How long the key may be free while somebody is there.
    pub(crate) free: u8,
    /// How long somebody who is there may be held up by the dead, the free key included.
    pub(crate) held_up: u8,
}

/// A rule of the protocol that is broken on purpose. The numbers are those of the list "Learned by
/// building it" in LINE.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    /// 1: the deadline counts from the last look that was answered, not from the bell's stamp.
    DeadlineFromTheLastAnswer,
    /// The deadline counts from when the bell is heard.
    DeadlineFromTheBell,
    /// 2: a release that keeps the key leaves our value in it.
    KeptUnderOurValue,
    /// 4: a bell for a tenure that has ended is not answered.
    StrayBellIgnored,
    /// 4: a bell for a tenure that holds already is taken for a stray one.
    BellWhileHoldingIsStray,
    /// 6: who left or released forgets the looks that are still under way.
    DoubtForgotten,
    /// 8: who waits behind a holder of its own process takes no seat.
    NoSeatBehindAnOwnHolder,
    /// 9: who gives up leaves the line, although the next of its process could have its seat.
    SeatNotHandedOn,
    /// 10: a leave does not tell the new first.
    LeaveTellsNobody,
    /// 10: the first is told although nobody hears its bell.
    TellsTheDead,
    /// 11a: the dead count as hearing their bell.
    DeadAreRung,
    /// The seat's end is not looked at.
    SeatsNeverEnd,
    /// The first does not register the key.
    FirstDoesNotWatch,
    /// 13: only the first looks when the holder's time is over.
    NobodyStandsIn,
    /// Who hears its bell connection open again waits for its timer.
    NoLookAfterReopening,
    /// It does not look after reopening if a look from before is still under way.
    LookUnderWayWillDo,
    /// Who is told to watch while its look is under way does it then, and looks no more.
    ToldWhileAskingIsForgotten,
    /// A look that finds the key free takes it, although others are in the line.
    LookBarges,
    /// 19: nobody looks when the door closes.
    NobodyLooksAfterTheDoor,
    /// 26a: the dead count as waiting.
    DeadCountAsWaiting,
    /// 26c: a caller that is itself only asking counts as waiting.
    AskingCountsAsWaiting,
    /// 29: who missed its reservation while it was there goes to the end.
    ScoreForgotten,
    /// Scores begin anew when the line has been empty.
    ScoresRestart,
    /// A look that comes back says its score only when it enters.
    ScoreOnlyWhenEntering,
    /// A release does not settle its looks: it is sent again until none can be under way.
    DoubtIsReleasedAgain,
}

/// One configuration of the model.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) clients: Vec<Client>,
    pub(crate) times: Times,
    pub(crate) faults: Faults,
    pub(crate) bounds: Bounds,
    /// How many are there at the beginning: the first holds the key, the others are seated.
    pub(crate) there: usize,
    /// Who of them is dead already, and how.
    pub(crate) dead: Vec<(usize, Process)>,
    /// Whether holders extend.
    pub(crate) extend: bool,
    /// Whether order is judged by when callers came, not by when they were seated.
    pub(crate) callers: bool,
    pub(crate) broken: Option<Break>,
    /// The longest that the key was free, and that somebody was held up.
    pub(crate) worst: Arc<[AtomicU8; 2]>,
    /// What has been seen, one bit each.
    pub(crate) seen: Arc<AtomicU32>,
}

impl Line {
    /// `count` clients, each in a process of its own, that nothing disturbs.
    pub(crate) fn of(count: usize) -> Self {
        assert!(count <= MOST);
        let client = |process| Client {
            process,
            coalesce: false,
        };
        Self {
            clients: (0..count).map(client).collect(),
            times: Times {
                delay: 0,
                late: 2,
                ttl: 3,
                reservation: 2,
                seat: 6,
                refresh: 4,
                passing: 1,
            },
            faults: Faults::NONE,
            bounds: Bounds {
                free: 1,
                held_up: 1,
            },
            there: 0,
            dead: Vec::new(),
            extend: false,
            callers: false,
            broken: None,
            worst: Arc::default(),
            seen: Arc::default(),
        }
    }

    pub(crate) fn breaks(&self, which: Break) -> bool {
        self.broken == Some(which)
    }

    pub(crate) fn see(&self, seen: Seen) {
        self.seen.fetch_or(1 << seen as u8, Ordering::Relaxed);
    }

    pub(crate) fn count(&self) -> usize {
        self.clients.len()
    }

    /// The other clients of its process.
    pub(crate) fn mates(&self, client: usize) -> impl Iterator<Item = usize> {
        let mate =
            move |&mate: &usize| mate != client && self.process(mate) == self.process(client);
        (0..self.count()).filter(mate)
    }

    pub(crate) fn process(&self, client: usize) -> usize {
        self.clients[client].process
    }
}
