//! One tick: whatever is left becomes less, whatever is old becomes older.

use crate::config::{Break, Line};
use crate::state::{Key, MOST, Net, Phase, Process, Seat, State, Tenure};

fn older(stamp: u8, line: &Line) -> u8 {
    // Nothing asks whether a stamp is older than any term.
    (stamp + 1).min(line.times.ttl.max(line.times.reservation))
}

fn less(left: u8) -> u8 {
    left.saturating_sub(1)
}

impl State {
    pub(crate) fn tick(&mut self, line: &Line) {
        for process in &mut self.processes {
            if let Process::Deaf(age) = process {
                *age += 1;
            }
        }
        for net in &mut self.nets {
            net.tick(line);
        }
        for seat in &mut self.seats {
            if seat.score > 0 {
                *seat = Seat {
                    left: less(seat.left),
                    stamp: older(seat.stamp, line),
                    ..*seat
                };
            }
        }
        for client in 0..line.count() {
            self.tick_client(line, client);
        }
        self.door = less(self.door);
        let tick = |left: &mut u8| {
            *left -= 1;
            *left == 0
        };
        let ended = match &mut self.key {
            Key::Free => false,
            Key::Held { left, .. } | Key::Kept { left } | Key::Foreign { left } => tick(left),
        };
        if ended {
            self.expire(line);
        }
        self.judge_time(line);
        if line.callers {
            self.count_waiting_time(line);
        }
    }

    fn tick_client(&mut self, line: &Line, client: usize) {
        self.tenures[client].tick(line);
        match self.phase(client) {
            Phase::Waiting if self.tenures[client].timer == 1 => {
                self.tenures[client].timer = 0;
                self.look(client);
            }
            Phase::Waiting => {
                let timer = &mut self.tenures[client].timer;
                *timer = less(*timer);
            }
            Phase::Holding(left) => {
                self.tenures[client].phase = Phase::Holding(less(left));
                if left <= 1 {
                    self.end(line, client, false);
                } else {
                    self.mates_look(line, client);
                }
            }
            Phase::Doubtful => {
                self.nets[client].release.get_or_insert((0, false));
            }
            _ => {}
        }
    }

    fn count_waiting_time(&mut self, line: &Line) {
        for client in 0..line.count() {
            let first_of_its_process = match self.phase(client) {
                Phase::Waiting => true,
                Phase::Queued => !(0..line.count()).any(|mate| {
                    mate != client
                        && line.process(mate) == line.process(client)
                        && self.phase(mate) == Phase::Waiting
                }),
                _ => false,
            };
            let waited = &mut self.judge.waited[client];
            if first_of_its_process {
                *waited = (*waited + 1).min(9);
            }
        }
    }
}

impl Tenure {
    fn tick(&mut self, line: &Line) {
        if let Phase::Holding(_) = self.phase {
            self.began = (self.began + 1).min(line.times.passing);
        }
        self.doubt = less(self.doubt);
        if line.breaks(Break::DeadlineFromTheLastAnswer) {
            self.answered = older(self.answered, line);
        }
    }
}

impl Net {
    fn tick(&mut self, line: &Line) {
        for look in [&mut self.look, &mut self.late_look].into_iter().flatten() {
            look.stamp = older(look.stamp, line);
            look.age += 1;
        }
        if let Some(answer) = &mut self.answer {
            answer.stamp = older(answer.stamp, line);
            answer.age += 1;
        }
        for bell in self.bells.iter_mut().flatten() {
            bell.stamp = older(bell.stamp, line);
            bell.age += 1;
        }
        if let Some(age) = &mut self.watch {
            *age += 1;
        }
        if let Some((age, _)) = &mut self.release {
            *age += 1;
        }
        if let Some(extension) = &mut self.extension {
            extension.since = older(extension.since, line);
            extension.age += 1;
        }
        if let Some(age) = &mut self.late_extension {
            *age += 1;
        }
    }
}

const _: () = assert!(MOST < 8, "a byte has a bit for each client");
