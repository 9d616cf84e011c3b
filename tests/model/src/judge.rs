//! What was promised, and whether it is kept.

use std::sync::atomic::Ordering;

use crate::config::{Break, Line};
use crate::state::{Judge, Key, Phase, State, bit};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Promise {
    /// Never two inside their deadlines, and nobody inside it without the key.
    OneHolder,
    /// The line does not stand still while the key is free and somebody is there.
    NoStandstill,
    /// The dead hold up nobody for longer than is said.
    TheDeadHoldUpNobody,
    /// Nobody is passed over who was there.
    Order,
    /// No key without somebody who answers for it: a tick where its process lives, its ttl else.
    NoOrphan,
    /// What `min_hold` has left is not lengthened.
    NotKeptLonger,
    /// A run that is owed is not lost.
    NoOwedRunIsLost,
}

impl Promise {
    pub(crate) const ALL: [Self; 7] = [
        Self::OneHolder,
        Self::NoStandstill,
        Self::TheDeadHoldUpNobody,
        Self::Order,
        Self::NoOrphan,
        Self::NotKeptLonger,
        Self::NoOwedRunIsLost,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::OneHolder => "never two holders",
            Self::NoStandstill => "the line does not stand still",
            Self::TheDeadHoldUpNobody => "the dead hold up nobody",
            Self::Order => "nobody is passed over",
            Self::NoOrphan => "no key without an answerer",
            Self::NotKeptLonger => "min_hold is not lengthened",
            Self::NoOwedRunIsLost => "no owed run is lost",
        }
    }
}

/// What a configuration should show, or else it shows nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    HeldByLook,
    HeldByPassingOnToItself,
    HeldByBell,
    StaleBell,
    StrayBell,
    PassedOnInMemory,
    SeatHandedOn,
    Coalesced,
    /// Time does not go on: a fault of the model.
    Stuck,
}

impl Judge {
    pub(crate) fn break_promise(&mut self, promise: Promise) {
        self.broken |= 1 << promise as u8;
    }

    pub(crate) fn keeps(&self, promise: Promise) -> bool {
        self.broken & (1 << promise as u8) == 0
    }
}

impl State {
    /// Who is in the line for the first time stands behind all who were seated before.
    pub(crate) fn seated_first(&mut self, client: usize) {
        if self.judge.rank[client] == 0 {
            self.judge.rank[client] = self.judge.rank.iter().max().map_or(0, |last| last + 1);
        }
    }

    /// The server gives the key to this client.
    pub(crate) fn judge_order(&mut self, line: &Line, client: usize) {
        if self.phase(client) != Phase::Waiting {
            // It gives the key back.
            return;
        }
        let judge = &self.judge;
        let passed_over = |other: usize| {
            if other == client || !self.waits(line, other) {
                return false;
            }
            if line.callers {
                return judge.waited[other] >= judge.waited[client] + 3 + line.times.delay;
            }
            let ours = judge.rank[client];
            judge.there & bit(other) != 0
                && (judge.lawless & (bit(other) | bit(client))) == 0
                && (ours == 0 || judge.rank[other] < ours)
        };
        if (0..line.count()).any(passed_over) {
            self.judge.break_promise(Promise::Order);
        }
    }

    pub(crate) fn judge_holders(&mut self, line: &Line) {
        let holds = |client: &usize| {
            matches!(self.phase(*client), Phase::Holding(left) if left > 0)
                && self.judge.robbed & bit(*client) == 0
        };
        let foreign = usize::from(matches!(self.key, Key::Foreign { .. }));
        if (0..line.count()).filter(holds).count() + foreign > 1 {
            self.judge.break_promise(Promise::OneHolder);
        }
    }

    /// Who coalesces is told that somebody waits: those of them that may still begin owe it a run.
    pub(crate) fn judge_debt(&mut self, line: &Line, client: usize, counted: u8) {
        self.judge.owed[client] = (0..line.count())
            .filter(|&other| {
                counted & bit(other) != 0
                    && self.judge.past[client] & bit(other) == 0
                    && matches!(self.phase(other), Phase::Waiting | Phase::Queued)
                    && (self.is_alive(line, other) || !line.breaks(Break::DeadCountAsWaiting))
            })
            .fold(0, |all, other| all | bit(other));
        self.judge.paid &= !bit(client);
        // The decided case, a moment earlier: it counts on one that is giving up.
        let gives_up = |other: usize| {
            counted & bit(other) != 0
                && self.judge.ran & bit(other) == 0
                && matches!(
                    self.phase(other),
                    Phase::Releasing | Phase::Doubtful | Phase::Done
                )
        };
        if self.judge.owed[client] == 0 && (0..line.count()).any(gives_up) {
            self.judge.paid |= bit(client);
        }
    }

    /// The client hears that somebody waits, and leaves. Those that counted on it count on whom it
    /// counts on.
    pub(crate) fn judge_coalesced(&mut self, line: &Line, client: usize) {
        if self.judge.owed[client] == 0 && self.judge.paid & bit(client) == 0 {
            self.judge.break_promise(Promise::NoOwedRunIsLost);
        }
        for other in 0..line.count() {
            if self.judge.owed[other] & bit(client) != 0 {
                let owed = self.judge.counted[client] & !self.judge.past[other];
                self.judge.owed[other] = owed;
                if owed == 0 {
                    self.judge.break_promise(Promise::NoOwedRunIsLost);
                }
            }
        }
    }

    pub(crate) fn judge_begin(&mut self, line: &Line, client: usize) {
        self.judge.held_up = 0;
        if line.clients.iter().any(|client| client.coalesce) {
            self.judge.ran |= bit(client);
        }
        self.pay(line, client);
    }

    /// The decided case: what is owed by one that gives up or dies is lost.
    pub(crate) fn judge_left(&mut self, line: &Line, client: usize) {
        self.pay(line, client);
    }

    fn pay(&mut self, line: &Line, client: usize) {
        for other in 0..line.count() {
            if self.judge.owed[other] & bit(client) != 0 {
                self.judge.owed[other] = 0;
                self.judge.paid |= bit(other);
            }
        }
    }

    /// After each tick.
    pub(crate) fn judge_time(&mut self, line: &Line) {
        let somebody = (0..line.count()).any(|client| self.waits(line, client));
        let (used, orphan) = match self.key {
            Key::Free => (false, None),
            Key::Held { by, .. } => match self.phase(by) {
                Phase::Done | Phase::Dead => (false, Some(by)),
                _ => (true, None),
            },
            Key::Kept { .. } | Key::Foreign { .. } => (true, None),
        };
        let free = self.key == Key::Free && somebody;
        self.judge.free = if free { self.judge.free + 1 } else { 0 };
        line.worst[0].fetch_max(self.judge.free, Ordering::Relaxed);
        if self.judge.free > line.bounds.free {
            self.judge.break_promise(Promise::NoStandstill);
        }
        self.judge.held_up = if somebody && !used {
            self.judge.held_up + 1
        } else {
            0
        };
        line.worst[1].fetch_max(self.judge.held_up, Ordering::Relaxed);
        if self.judge.held_up > line.bounds.held_up {
            self.judge.break_promise(Promise::TheDeadHoldUpNobody);
        }
        if let Some(by) = orphan {
            self.judge.orphan += 1;
            let most = if self.is_alive(line, by) {
                1 + line.times.delay
            } else {
                line.times.ttl
            };
            if self.judge.orphan > most {
                self.judge.break_promise(Promise::NoOrphan);
            }
        } else {
            self.judge.orphan = 0;
        }
        if let Some((by, left)) = self.judge.kept {
            self.judge.kept = (left > 1).then_some((by, left - 1));
            if left <= 1 && self.key_is(by) {
                self.judge.break_promise(Promise::NotKeptLonger);
            }
        }
    }
}
