//! What a client does when it hears something. Each client is one tenure.

use crate::config::{Break, Line};
use crate::judge::{Promise, Seen};
use crate::state::{Answer, Bell, Extension, Look, Phase, Process, State, Told, bit};

impl State {
    /// A caller comes.
    pub(crate) fn come(&mut self, line: &Line, client: usize) {
        self.judge.past[client] = (0..line.count())
            .filter(|&other| {
                !matches!(
                    self.phase(other),
                    Phase::Absent | Phase::Queued | Phase::Waiting
                )
            })
            .fold(0, |all, other| all | bit(other));
        self.tenures[client].phase = Phase::Queued;
        self.leave_the_queue(line, client);
    }

    /// Who waits behind another of its process looks when that one is in its way no more.
    fn leave_the_queue(&mut self, line: &Line, client: usize) {
        let coalesce = line.clients[client].coalesce;
        let mut in_the_way = false;
        for mate in line.mates(client) {
            let mate_asks = line.clients[mate].coalesce && !self.tenures[mate].seated;
            match self.phase(mate) {
                // Who is itself only asking does not count as waiting.
                Phase::Waiting
                    if coalesce && (!mate_asks || line.breaks(Break::AskingCountsAsWaiting)) =>
                {
                    self.judge.counted[client] = bit(mate);
                    self.judge.owed[client] = bit(mate);
                    self.tenures[client].phase = Phase::Done;
                    return;
                }
                Phase::Waiting => in_the_way = true,
                // One that coalesces looks at once.
                Phase::Holding(_) if !coalesce => {
                    in_the_way |= self.tenures[mate].began < line.times.passing
                        || line.breaks(Break::NoSeatBehindAnOwnHolder);
                }
                _ => {}
            }
        }
        if !in_the_way {
            self.tenures[client].phase = Phase::Waiting;
            self.look(client);
        }
    }

    /// Something of this client has changed for the others of its process.
    pub(crate) fn mates_look(&mut self, line: &Line, client: usize) {
        for mate in line.mates(client) {
            if self.phase(mate) == Phase::Queued {
                self.leave_the_queue(line, mate);
            }
        }
    }

    /// Sends a look; where one is under way, when that is answered. One that has a seat only
    /// refreshes it.
    pub(crate) fn look(&mut self, client: usize) {
        let asks = self.asks(client);
        let tenure = &mut self.tenures[client];
        tenure.again = asks;
        if asks {
            return;
        }
        let enters = !tenure.seated;
        let score = tenure.score;
        tenure.returned |= enters && score > 0;
        self.nets[client].look = Some(Look {
            enters,
            stamp: 0,
            score,
            age: 0,
        });
    }

    /// Looks anew, as one who has no seat.
    fn enter_again(&mut self, line: &Line, client: usize) {
        let tenure = &mut self.tenures[client];
        tenure.seated = false;
        if tenure.returned {
            tenure.score = 0;
            self.judge.rank[client] = 0;
        } else if line.breaks(Break::ScoreForgotten) {
            tenure.score = 0;
        }
        self.look(client);
    }

    pub(crate) fn hear_answer(&mut self, line: &Line, client: usize) {
        let Some(Answer { told, stamp, .. }) = self.nets[client].answer.take() else {
            return;
        };
        match self.phase(client) {
            Phase::Waiting => {}
            Phase::Doubtful => {
                // It may have taken the key or a seat for nobody.
                self.nets[client].release.get_or_insert((0, false));
                return;
            }
            _ => return,
        }
        let again = std::mem::take(&mut self.tenures[client].again);
        let refresh = line.times.refresh;
        if line.breaks(Break::DeadlineFromTheLastAnswer) {
            self.tenures[client].answered = stamp;
        }
        match told {
            Told::Granted(term) => match term.saturating_sub(stamp) {
                0 => self.leave(line, client),
                left => {
                    line.see(if term == line.times.ttl {
                        Seen::HeldByLook
                    } else {
                        Seen::HeldByPassingOnToItself
                    });
                    self.begin(line, client, left);
                }
            },
            Told::Busy { left, rank, score } => {
                let tenure = &mut self.tenures[client];
                tenure.seated = true;
                tenure.score = score;
                tenure.timer = refresh.min(match rank {
                    0 => left.max(1),
                    1 if !line.breaks(Break::NobodyStandsIn) => left + 1,
                    _ => refresh,
                });
                if rank == 0 && !line.breaks(Break::FirstDoesNotWatch) {
                    self.nets[client].watch.get_or_insert(0);
                }
                self.mates_look(line, client);
            }
            Told::Open { left, score } => {
                let tenure = &mut self.tenures[client];
                tenure.seated = true;
                tenure.score = score;
                tenure.timer = if line.breaks(Break::NobodyLooksAfterTheDoor) {
                    refresh
                } else {
                    left
                };
                self.mates_look(line, client);
            }
            Told::NoSeat => self.enter_again(line, client),
            Told::Settled => {}
            Told::Deaf => {
                let tenure = &mut self.tenures[client];
                tenure.seated = false;
                tenure.timer = refresh;
                if self.hears(line, client) {
                    // It has opened again meanwhile.
                    self.look(client);
                }
            }
            Told::Coalesced => {
                line.see(Seen::Coalesced);
                self.judge_coalesced(line, client);
                if self.is_doubtful(client) {
                    self.give_back(line, client, false);
                } else {
                    self.finish(line, client);
                }
            }
        }
        if again && self.phase(client) == Phase::Waiting && !self.asks(client) {
            self.look(client);
        }
    }

    pub(crate) fn hear_bell(&mut self, line: &Line, client: usize) {
        let [Some(Bell { stamp, .. }), next] = self.nets[client].bells else {
            return;
        };
        self.nets[client].bells = [next, None];
        match self.phase(client) {
            Phase::Waiting => {
                let reservation = line.times.reservation;
                let left = if line.breaks(Break::DeadlineFromTheLastAnswer) {
                    reservation.saturating_sub(self.tenures[client].answered)
                } else if line.breaks(Break::DeadlineFromTheBell) {
                    reservation
                } else {
                    reservation.saturating_sub(stamp)
                };
                if left > 0 {
                    line.see(Seen::HeldByBell);
                    self.begin(line, client, left);
                } else {
                    // The look finds out what is left of its place. A miss may be noticed twice, so
                    // nothing is given up here.
                    line.see(Seen::StaleBell);
                    self.look(client);
                }
            }
            Phase::Holding(_) if line.breaks(Break::BellWhileHoldingIsStray) => {
                self.nets[client].release.get_or_insert((0, false));
            }
            Phase::Done if !line.breaks(Break::StrayBellIgnored) => {
                line.see(Seen::StrayBell);
                self.nets[client].release.get_or_insert((0, false));
            }
            _ => {}
        }
    }

    fn begin(&mut self, line: &Line, client: usize, left: u8) {
        let tenure = &mut self.tenures[client];
        tenure.phase = Phase::Holding(left);
        tenure.began = 0;
        tenure.timer = 0;
        self.nets[client].watch = None;
        self.judge_begin(line, client);
        self.judge.there &= !bit(client);
        self.judge.waited[client] = 0;
        self.mates_look(line, client);
    }

    /// The body ends, or is cut off, or its caller leaves: the key is given back.
    pub(crate) fn end(&mut self, line: &Line, client: usize, keep: bool) {
        let passes_on = matches!(self.phase(client), Phase::Holding(left) if left > 0)
            && self.tenures[client].began < line.times.passing
            && !keep;
        let next = line
            .mates(client)
            .find(|&mate| self.phase(mate) == Phase::Queued);
        if let (true, Some(next)) = (passes_on, next) {
            // The tenure goes on with the next caller; that one's is never wanted.
            self.tenures[next].phase = Phase::Done;
            line.see(Seen::PassedOnInMemory);
            return;
        }
        self.give_back(line, client, keep);
    }

    fn give_back(&mut self, line: &Line, client: usize, keep: bool) {
        let tenure = &mut self.tenures[client];
        tenure.phase = Phase::Releasing;
        tenure.timer = 0;
        self.nets[client].watch = None;
        self.nets[client].release = Some((0, keep));
        self.judge.there &= !bit(client);
        self.mates_look(line, client);
    }

    /// A waiting caller gives up.
    pub(crate) fn give_up(&mut self, line: &Line, client: usize) {
        let next = line
            .mates(client)
            .find(|&mate| self.phase(mate) == Phase::Queued);
        if let Some(next) = next {
            self.judge.waited[next] = self.judge.waited[client];
            if !line.breaks(Break::SeatNotHandedOn) {
                // The entry belongs to the process: the next caller has the seat now.
                self.tenures[next].phase = Phase::Done;
                line.see(Seen::SeatHandedOn);
                return;
            }
        }
        self.leave(line, client);
    }

    fn leave(&mut self, line: &Line, client: usize) {
        self.judge_left(line, client);
        self.judge.waited[client] = 0;
        self.give_back(line, client, false);
    }

    /// A release was answered.
    pub(crate) fn released(&mut self, line: &Line, client: usize) {
        if matches!(self.phase(client), Phase::Releasing | Phase::Doubtful) {
            self.finish(line, client);
        }
    }

    /// Nothing is wanted any more. What was sent and not answered may still arrive.
    fn finish(&mut self, line: &Line, client: usize) {
        let doubtful = self.is_doubtful(client) && self.settled & bit(client) == 0;
        let tenure = &mut self.tenures[client];
        tenure.timer = 0;
        tenure.phase = if doubtful && !line.breaks(Break::DoubtForgotten) {
            Phase::Doubtful
        } else {
            Phase::Done
        };
        if tenure.phase == Phase::Done {
            tenure.score = 0;
            tenure.seated = false;
            tenure.returned = false;
            tenure.began = 0;
            tenure.doubt = 0;
            tenure.answered = 0;
        }
        self.judge.there &= !bit(client);
        self.mates_look(line, client);
    }

    pub(crate) fn extend(&mut self, client: usize) {
        self.nets[client].extension = Some(Extension { since: 0, age: 0 });
    }

    pub(crate) fn extended(&mut self, line: &Line, client: usize, ours: bool, since: u8) {
        if let Phase::Holding(left) = self.phase(client) {
            if ours {
                let left = left.max(line.times.ttl.saturating_sub(since));
                self.tenures[client].phase = Phase::Holding(left);
            } else if self.judge.robbed & bit(client) == 0 {
                // Lost, though nobody took it.
                self.judge.break_promise(Promise::OneHolder);
            }
        }
    }

    /// Its bell connection is open again.
    pub(crate) fn reopen(&mut self, line: &Line, process: usize) {
        self.processes[process] = Process::Hears;
        for client in 0..line.count() {
            if line.process(client) == process
                && self.phase(client) == Phase::Waiting
                && !line.breaks(Break::NoLookAfterReopening)
                && !(self.asks(client) && line.breaks(Break::LookUnderWayWillDo))
            {
                self.look(client);
            }
        }
    }
}
