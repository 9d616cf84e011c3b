//! The scripts: each is one step, as in Redis.

use crate::config::{Break, Line};
use crate::judge::Promise;
use crate::state::{Bell, Key, Look, MOST, Phase, Process, Seat, State, Told, bit};

impl State {
    /// Whether the server has somebody who is subscribed to the client's bell.
    pub(crate) fn is_heard(&self, line: &Line, client: usize) -> bool {
        match self.processes[line.process(client)] {
            Process::Hears | Process::Vanished => true,
            Process::Deaf(_) => false,
            Process::Killed => line.breaks(Break::DeadAreRung),
        }
    }

    /// The entries in the order of the line. Equal scores stand in the worse order: in Redis, the
    /// random tokens decide.
    pub(crate) fn entries(&self) -> impl Iterator<Item = usize> + use<> {
        let seats = self.seats;
        let mut order: [usize; MOST] = std::array::from_fn(|at| at);
        order.sort_unstable_by_key(|&client| (seats[client].score, MOST - client));
        order
            .into_iter()
            .filter(move |&client| seats[client].score > 0)
    }

    fn counts(&self, line: &Line, client: usize) -> bool {
        let ended = self.seats[client].left == 0 && !line.breaks(Break::SeatsNeverEnd);
        !ended && self.is_heard(line, client)
    }

    /// The first who is there. Those before it are removed.
    fn first(&mut self, line: &Line) -> Option<usize> {
        for client in self.entries() {
            if self.counts(line, client) {
                return Some(client);
            }
            self.seats[client] = Seat::default();
        }
        None
    }

    /// Who registered the key hears of its change.
    pub(crate) fn set_key(&mut self, line: &Line, key: Key) {
        self.key = key;
        self.door = 0;
        self.judge.orphan = 0;
        if key != Key::Free {
            self.judge.free = 0;
        }
        self.push(line);
    }

    pub(crate) fn push(&mut self, line: &Line) {
        let registered = std::mem::take(&mut self.registered);
        for client in (0..line.count()).filter(|&client| registered & bit(client) != 0) {
            self.tell_to_watch(line, client);
        }
    }

    /// A message on the connection that hears pushes.
    fn tell_to_watch(&mut self, line: &Line, client: usize) {
        if self.waits(line, client) && !line.breaks(Break::FirstDoesNotWatch) {
            self.nets[client].watch.get_or_insert(0);
        }
    }

    fn tell_the_first(&mut self, line: &Line) {
        let first = if line.breaks(Break::TellsTheDead) {
            self.entries().next()
        } else {
            self.first(line)
        };
        if let Some(first) = first {
            self.tell_to_watch(line, first);
        }
    }

    /// Passes the key on to the first who is there, or leaves it free. `asking` hears it by the
    /// answer to its look instead of its bell.
    fn pass_on(&mut self, line: &Line, asking: Option<usize>) {
        let Some(first) = self.first(line) else {
            if self.key != Key::Free {
                self.set_key(line, Key::Free);
            }
            return;
        };
        let stamp = self.seats[first].stamp;
        self.seats[first] = Seat::default();
        self.judge_order(line, first);
        self.set_key(
            line,
            Key::Held {
                by: first,
                left: line.times.reservation,
            },
        );
        // One that vanished has no need of it, nor of its being under way for ever.
        if asking != Some(first) && self.hears(line, first) {
            let bell = Bell {
                stamp,
                age: 0,
                late: false,
            };
            match &mut self.nets[first].bells {
                [free @ None, _] | [_, free] => *free = Some(bell),
            }
        }
        self.tell_the_first(line);
    }

    /// A late look is one that its client has given up: it will not hear the answer.
    pub(crate) fn serve_look(
        &mut self,
        line: &Line,
        client: usize,
        look: Look,
        late: bool,
    ) -> Told {
        if self.settled & bit(client) != 0 {
            return Told::Settled;
        }
        let entries = self.entries().count();
        match self.key {
            Key::Free if look.enters && (entries == 0 || line.breaks(Break::LookBarges)) => {
                self.judge_order(line, client);
                self.seated_first(client);
                self.seats[client] = Seat::default();
                self.set_key(
                    line,
                    Key::Held {
                        by: client,
                        left: line.times.ttl,
                    },
                );
                return Told::Granted(line.times.ttl);
            }
            Key::Held { by, left } if by == client => {
                if left < line.times.ttl {
                    self.key = Key::Held {
                        by,
                        left: line.times.ttl,
                    };
                    self.lengthened(line, client);
                }
                return Told::Granted(line.times.ttl);
            }
            _ => {}
        }
        let told = self.take_seat(line, client, look);
        if matches!(told, Told::Busy { .. }) && !late {
            self.judge.there |= bit(client);
        }
        if told == Told::Coalesced {
            return told;
        }
        if self.key == Key::Free {
            if self.door > 0 {
                return match told {
                    Told::Busy { score, .. } => Told::Open {
                        left: self.door,
                        score,
                    },
                    other => other,
                };
            }
            self.pass_on(line, Some(client));
            if self.key_is(client) {
                return Told::Granted(line.times.reservation);
            }
        }
        match told {
            Told::Busy { score, .. } => Told::Busy {
                left: self.time_left(),
                rank: self
                    .entries()
                    .position(|entry| entry == client)
                    .unwrap_or(0),
                score,
            },
            other => other,
        }
    }

    /// Takes a seat or refreshes it. Whoever is told that it is busy may have a better answer yet.
    fn take_seat(&mut self, line: &Line, client: usize, look: Look) -> Told {
        if !self.is_heard(line, client) {
            return Told::Deaf;
        }
        let has_entry = self.seats[client].score > 0;
        if !has_entry && line.clients[client].coalesce && look.enters {
            let counted = self.count_waiting(line, client);
            if counted != 0 {
                self.judge.counted[client] = counted;
                self.judge_debt(line, client, counted);
                return Told::Coalesced;
            }
        }
        if !has_entry && !look.enters {
            return Told::NoSeat;
        }
        let score = match self.seats[client].score {
            0 if look.score > 0 => look.score,
            0 => self.next_score(line),
            score if look.score > 0 && !line.breaks(Break::ScoreOnlyWhenEntering) => {
                score.min(look.score)
            }
            score => score,
        };
        if !has_entry {
            self.seated_first(client);
            for entry in self.entries().take(2) {
                if !self.counts(line, entry) {
                    self.seats[entry] = Seat::default();
                }
            }
        }
        self.seats[client] = Seat {
            score,
            left: line.times.seat,
            stamp: look.stamp,
        };
        Told::Busy {
            left: 0,
            rank: 0,
            score,
        }
    }

    /// Those who count as waiting for one who asks to coalesce.
    fn count_waiting(&self, line: &Line, asking: usize) -> u8 {
        self.entries()
            .filter(|&entry| entry != asking)
            .filter(|&entry| self.counts(line, entry) || line.breaks(Break::DeadCountAsWaiting))
            .fold(0, |all, entry| all | bit(entry))
    }

    fn next_score(&mut self, line: &Line) -> u8 {
        let last = self.entries().last();
        let last = last.map_or(0, |last| self.seats[last].score);
        if line.breaks(Break::ScoresRestart) {
            return last + 1;
        }
        self.last_score = self.last_score.max(last) + 1;
        self.last_score
    }

    fn time_left(&self) -> u8 {
        match self.key {
            Key::Free => 0,
            Key::Held { left, .. } | Key::Kept { left } | Key::Foreign { left } => left,
        }
    }

    /// A release, or a leave where the key is not the client's.
    pub(crate) fn serve_release(&mut self, line: &Line, client: usize, keep: bool, door: bool) {
        let ended = matches!(
            self.phase(client),
            Phase::Releasing | Phase::Done | Phase::Dead
        );
        let repeats =
            line.breaks(Break::DoubtIsReleasedAgain) || line.breaks(Break::DoubtForgotten);
        if ended && self.is_doubtful(client) && !repeats {
            // No look of this token does anything from now on.
            self.settled |= bit(client);
        }
        if !self.key_is(client) {
            let was_first = self.entries().next() == Some(client);
            self.seats[client] = Seat::default();
            if was_first && !line.breaks(Break::LeaveTellsNobody) {
                self.tell_the_first(line);
            }
            return;
        }
        if keep {
            let left = self.time_left().min(1);
            self.judge.kept = Some((client, left));
            let key = if line.breaks(Break::KeptUnderOurValue) {
                Key::Held { by: client, left }
            } else {
                Key::Kept { left }
            };
            self.set_key(line, key);
        } else if door && self.first(line).is_some() {
            self.set_key(line, Key::Free);
            self.door = 1;
            if !line.breaks(Break::NobodyLooksAfterTheDoor) {
                self.tell_the_first(line);
            }
        } else {
            self.pass_on(line, None);
        }
    }

    /// Says whether the key was the client's.
    pub(crate) fn serve_extension(&mut self, line: &Line, client: usize) -> bool {
        if !self.key_is(client) {
            return false;
        }
        let left = self.time_left().max(line.times.ttl);
        self.key = Key::Held { by: client, left };
        self.lengthened(line, client);
        true
    }

    fn lengthened(&mut self, line: &Line, client: usize) {
        if !self.is_alive(line, client) {
            // The ttl of what dies counts from its last command that arrives.
            self.judge.orphan = 0;
        }
        self.push(line);
    }

    /// The first registers the key, and hears its time left.
    pub(crate) fn serve_watch(&mut self, line: &Line, client: usize) {
        self.nets[client].watch = None;
        if !self.waits(line, client) {
            return;
        }
        self.registered |= bit(client);
        let until = match self.key {
            Key::Free if self.door > 0 && line.breaks(Break::NobodyLooksAfterTheDoor) => return,
            Key::Free => self.door,
            _ => self.time_left(),
        };
        let forgets = line.breaks(Break::ToldWhileAskingIsForgotten) && self.asks(client);
        match until {
            0 if forgets => {}
            0 => self.look(client),
            _ => self.tenures[client].timer = self.tenures[client].timer.min(until),
        }
    }

    /// The key's time is over.
    pub(crate) fn expire(&mut self, line: &Line) {
        if let Key::Held { by, .. } = self.key {
            if self.phase(by) == Phase::Waiting {
                // It missed its reservation. Until it comes back, nobody passes it over.
                self.judge.there &= !bit(by);
                if self.tenures[by].score == 0 {
                    // It never heard its score, so it can't come back to its place.
                    self.judge.rank[by] = 0;
                }
            }
            if matches!(self.phase(by), Phase::Holding(_)) && self.judge.robbed & bit(by) == 0 {
                self.judge.break_promise(Promise::OneHolder);
            }
        }
        self.set_key(line, Key::Free);
    }
}
