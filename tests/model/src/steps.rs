//! What may happen next. Whatever may is tried.

use stateright::{Model, Property};

use crate::config::{Break, Line};
use crate::judge::{Promise, Seen};
use crate::state::{Answer, Bell, Key, Look, Net, Phase, Process, State, bit};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Step {
    Tick,
    Come(usize),
    ServeLook(usize),
    /// Its answer is lost: it is asked again, with the same stamp.
    ServeLookAnswerLost(usize),
    /// It is asked again, and arrives later all the same.
    GiveUpOnLook(usize),
    ServeLateLook(usize),
    DropLateLook(usize),
    HearAnswer(usize),
    HearBell(usize),
    BellIsLate(usize),
    LoseBell(usize),
    ServeWatch(usize),
    EndBody(usize),
    EndBodyAndKeep(usize),
    ServeRelease(usize),
    ServeReleaseAnswerLost(usize),
    ServeReleaseOpenDoor(usize),
    LoseLeave(usize),
    Extend(usize),
    ServeExtension(usize),
    GiveUpOnExtension(usize),
    ServeLateExtension(usize),
    DropLateExtension(usize),
    LeaveWaiting(usize),
    Cut(usize),
    Reopen(usize),
    Kill(usize),
    Vanish(usize),
    ForeignTakes,
    ForeignReleases,
    ForeignDeletesOurs,
    Flush,
}

impl State {
    fn client_steps(&self, line: &Line, client: usize, steps: &mut Vec<Step>) {
        let faults = &self.faults;
        let net = &self.nets[client];
        let alive = self.is_alive(line, client);
        let hears = self.hears(line, client);
        let mut offer = |step, may: bool| {
            if may {
                steps.push(step);
            }
        };
        let phase = self.phase(client);
        if phase == Phase::Absent {
            offer(Step::Come(client), alive && self.may_come(line, client));
            return;
        }
        if net.look.is_some() {
            offer(Step::ServeLook(client), true);
            offer(Step::ServeLookAnswerLost(client), faults.lost > 0);
            let may = faults.late > 0 && net.late_look.is_none();
            offer(Step::GiveUpOnLook(client), may);
        }
        offer(Step::ServeLateLook(client), net.late_look.is_some());
        offer(Step::DropLateLook(client), net.late_look.is_some());
        offer(Step::HearAnswer(client), net.answer.is_some());
        if let (Some(bell), true) = (net.bells[0], hears) {
            offer(Step::HearBell(client), true);
            offer(
                Step::BellIsLate(client),
                faults.bell_late > 0 && !bell.late && bell.age == 0,
            );
            offer(Step::LoseBell(client), faults.bell_lost > 0);
        }
        // Told while its look is under way, it watches when that is answered.
        let may = net.watch.is_some()
            && hears
            && (!self.asks(client) || line.breaks(Break::ToldWhileAskingIsForgotten));
        offer(Step::ServeWatch(client), may);
        if let Phase::Holding(_) = phase {
            offer(Step::EndBody(client), true);
            offer(Step::EndBodyAndKeep(client), faults.keep > 0);
            offer(Step::Extend(client), line.extend && net.extension.is_none());
        }
        if let Some((_, keep)) = net.release {
            offer(Step::ServeRelease(client), true);
            offer(Step::ServeReleaseAnswerLost(client), faults.lost > 0);
            let door = faults.door > 0 && !keep && self.key_is(client);
            offer(Step::ServeReleaseOpenDoor(client), door);
            let leave = phase == Phase::Releasing && !self.key_is(client);
            offer(Step::LoseLeave(client), faults.leave_lost > 0 && leave);
        }
        if net.extension.is_some() {
            offer(Step::ServeExtension(client), true);
            let may = faults.late > 0 && net.late_extension.is_none();
            offer(Step::GiveUpOnExtension(client), may);
        }
        offer(
            Step::ServeLateExtension(client),
            net.late_extension.is_some(),
        );
        offer(
            Step::DropLateExtension(client),
            net.late_extension.is_some(),
        );
        offer(
            Step::LeaveWaiting(client),
            faults.give_up > 0 && phase == Phase::Waiting && alive,
        );
    }

    /// Clients that do not differ come in one order only.
    fn may_come(&self, line: &Line, client: usize) -> bool {
        let alike = |other: usize| {
            let alone = line
                .clients
                .iter()
                .filter(|any| any.process == line.process(other))
                .count()
                == 1;
            alone.then_some(line.clients[other].coalesce)
        };
        client == 0
            || alike(client).is_none()
            || alike(client) != alike(client - 1)
            || self.phase(client - 1) != Phase::Absent
    }

    fn process_steps(&self, line: &Line, process: usize, steps: &mut Vec<Step>) {
        let faults = &self.faults;
        let lives = (0..line.count()).any(|client| {
            line.process(client) == process
                && !matches!(self.phase(client), Phase::Absent | Phase::Done)
        });
        match self.processes[process] {
            Process::Hears if lives => {
                let spared = line.holders_live
                    && (0..line.count()).any(|client| {
                        line.process(client) == process
                            && (self.phase(client) != Phase::Waiting || self.key_is(client))
                    });
                for (fault, step) in [
                    (faults.cut, Step::Cut(process)),
                    (if spared { 0 } else { faults.kill }, Step::Kill(process)),
                    (
                        if spared { 0 } else { faults.vanish },
                        Step::Vanish(process),
                    ),
                ] {
                    if fault > 0 {
                        steps.push(step);
                    }
                }
            }
            Process::Deaf(_) => steps.push(Step::Reopen(process)),
            _ => {}
        }
    }

    fn world_steps(&self, steps: &mut Vec<Step>) {
        let faults = &self.faults;
        match self.key {
            Key::Free if faults.foreign > 0 => steps.push(Step::ForeignTakes),
            Key::Foreign { .. } => steps.push(Step::ForeignReleases),
            Key::Held { .. } if faults.rob > 0 => steps.push(Step::ForeignDeletesOurs),
            _ => {}
        }
        if faults.flush > 0 && self.entries().next().is_some() {
            steps.push(Step::Flush);
        }
    }

    fn take(&mut self, line: &Line, step: Step) {
        match step {
            Step::Tick => self.tick(line),
            Step::Come(client) => self.come(line, client),
            Step::ServeLook(client) => {
                if let Some(look) = self.nets[client].look.take() {
                    let told = self.serve_look(line, client, look, false);
                    if self.is_alive(line, client) {
                        self.nets[client].answer = Some(Answer {
                            told,
                            stamp: look.stamp,
                            age: 0,
                        });
                    }
                }
            }
            Step::ServeLookAnswerLost(client) => {
                self.faults.lost -= 1;
                if let Some(look) = self.nets[client].look {
                    self.serve_look(line, client, look, false);
                    self.nets[client].look = Some(Look { age: 0, ..look });
                    self.tenures[client].doubt = line.times.late + 1;
                }
            }
            Step::GiveUpOnLook(client) => {
                self.faults.late -= 1;
                let net = &mut self.nets[client];
                let again = net.look.map(|look| Look { age: 0, ..look });
                net.look = again;
                net.late_look = again;
                self.tenures[client].doubt = line.times.late + 1;
            }
            Step::ServeLateLook(client) => {
                if let Some(look) = self.nets[client].late_look.take() {
                    self.serve_look(line, client, look, true);
                }
            }
            Step::DropLateLook(client) => self.nets[client].late_look = None,
            Step::HearAnswer(client) => self.hear_answer(line, client),
            Step::HearBell(client) => self.hear_bell(line, client),
            Step::BellIsLate(client) => {
                self.faults.bell_late -= 1;
                if let Some(bell) = &mut self.nets[client].bells[0] {
                    bell.late = true;
                }
            }
            Step::LoseBell(client) => {
                self.faults.bell_lost -= 1;
                let [_, next] = self.nets[client].bells;
                self.nets[client].bells = [next, None];
            }
            Step::ServeWatch(client) => self.serve_watch(line, client),
            Step::EndBody(client) => self.end(line, client, false),
            Step::EndBodyAndKeep(client) => {
                self.faults.keep -= 1;
                self.end(line, client, true);
            }
            Step::ServeRelease(client) => self.release(line, client, false),
            Step::ServeReleaseAnswerLost(client) => {
                self.faults.lost -= 1;
                if let Some((_, keep)) = self.nets[client].release {
                    self.serve_release(line, client, keep, false);
                    self.nets[client].release = Some((0, keep));
                }
            }
            Step::ServeReleaseOpenDoor(client) => {
                self.faults.door -= 1;
                self.release(line, client, true);
            }
            Step::LoseLeave(client) => {
                self.faults.leave_lost -= 1;
                self.nets[client].release = None;
                self.tenures[client].phase = Phase::Done;
                self.mates_look(line, client);
            }
            Step::Extend(client) => self.extend(client),
            Step::ServeExtension(client) => {
                if let Some(extension) = self.nets[client].extension.take() {
                    let ours = self.serve_extension(line, client);
                    self.extended(line, client, ours, extension.since);
                }
            }
            Step::GiveUpOnExtension(client) => {
                self.faults.late -= 1;
                if let Some(extension) = &mut self.nets[client].extension {
                    extension.age = 0;
                    self.nets[client].late_extension = Some(0);
                }
            }
            Step::ServeLateExtension(client) => {
                self.nets[client].late_extension = None;
                self.serve_extension(line, client);
            }
            Step::DropLateExtension(client) => self.nets[client].late_extension = None,
            Step::LeaveWaiting(client) => {
                self.faults.give_up -= 1;
                self.give_up(line, client);
            }
            Step::Cut(process) => {
                self.faults.cut -= 1;
                self.processes[process] = Process::Deaf(0);
                self.silence(line, process);
            }
            Step::Reopen(process) => self.reopen(line, process),
            Step::Kill(process) => {
                self.faults.kill -= 1;
                self.die(line, process, Process::Killed);
            }
            Step::Vanish(process) => {
                self.faults.vanish -= 1;
                self.die(line, process, Process::Vanished);
            }
            Step::ForeignTakes => {
                self.faults.foreign -= 1;
                let left = line.times.ttl;
                self.set_key(line, Key::Foreign { left });
            }
            Step::ForeignReleases => self.set_key(line, Key::Free),
            Step::ForeignDeletesOurs => {
                self.faults.rob -= 1;
                if let Key::Held { by, .. } = self.key {
                    self.judge.robbed |= bit(usize::from(by));
                    self.judge.there &= !bit(usize::from(by));
                }
                self.set_key(line, Key::Free);
            }
            Step::Flush => {
                self.faults.flush -= 1;
                for client in 0..line.count() {
                    if self.phase(client) != Phase::Absent {
                        self.judge.lawless |= bit(client);
                    }
                }
                self.seats = Default::default();
            }
        }
    }

    fn release(&mut self, line: &Line, client: usize, door: bool) {
        if let Some((_, keep)) = self.nets[client].release.take() {
            self.serve_release(line, client, keep, door);
            self.released(line, client);
        }
    }

    /// What is under way on the bell connection is lost.
    fn silence(&mut self, line: &Line, process: usize) {
        for client in (0..line.count()).filter(|&client| line.process(client) == process) {
            self.registered &= !bit(client);
            self.nets[client].bells = [None; 2];
            self.nets[client].watch = None;
            self.judge.there &= !bit(client);
        }
    }

    fn die(&mut self, line: &Line, process: usize, how: Process) {
        self.processes[process] = how;
        self.silence(line, process);
        for client in (0..line.count()).filter(|&client| line.process(client) == process) {
            if matches!(self.phase(client), Phase::Absent | Phase::Done) {
                continue;
            }
            self.judge_left(line, client);
            self.judge.waited[client] = 0;
            let net = self.nets[client];
            // A look may be on its way.
            self.nets[client] = Net {
                late_look: net
                    .late_look
                    .or(net.look)
                    .map(|look| Look { age: 0, ..look }),
                late_extension: net.late_extension,
                ..Net::default()
            };
            self.tenures[client] = State::new(line).tenures[client];
            self.tenures[client].phase = Phase::Dead;
        }
    }

    /// Whether nothing has to happen first.
    fn may_tick(&self, line: &Line) -> bool {
        let delay = line.times.delay;
        let late = line.times.late;
        let clients = (0..line.count()).all(|client| {
            let net = &self.nets[client];
            let bells_wait = match net.bells[0] {
                Some(Bell {
                    age, late: false, ..
                }) => age < delay,
                Some(Bell { age, .. }) => age < late,
                None => true,
            };
            let waits = |age: Option<u8>| age.is_none_or(|age| age < delay);
            waits(net.look.map(|look| look.age))
                && waits(net.answer.map(|answer| answer.age))
                && waits(net.watch)
                && waits(net.release.map(|(age, _)| age))
                && waits(net.extension.map(|extension| extension.age))
                && net.late_look.is_none_or(|look| look.age < late)
                && net.late_extension.is_none_or(|age| age < late)
                && bells_wait
        });
        clients
            && self
                .processes
                .iter()
                .all(|process| *process != Process::Deaf(1))
    }
}

impl Model for Line {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let mut state = State::new(self);
        for client in 0..self.there {
            state.take(self, Step::Come(client));
            state.take(self, Step::ServeLook(client));
            state.take(self, Step::HearAnswer(client));
            if state.nets[client].watch.is_some() {
                state.take(self, Step::ServeWatch(client));
            }
        }
        for &(dead, how) in &self.dead {
            state.die(self, self.process(dead), how);
            state.nets[dead] = Net::default();
        }
        vec![state]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        if state.judge.broken != 0 {
            return;
        }
        for client in 0..self.count() {
            state.client_steps(self, client, steps);
        }
        for process in 0..self.count() {
            state.process_steps(self, process, steps);
        }
        state.world_steps(steps);
        if state.may_tick(self) {
            steps.push(Step::Tick);
        }
        if steps.is_empty() {
            self.see(Seen::Stuck);
        }
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        let mut next = *state;
        next.take(self, step);
        next.judge_holders(self);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn keeps<const AT: usize>(_: &Line, state: &State) -> bool {
            state.judge.keeps(Promise::ALL[AT])
        }
        let always = [
            keeps::<0>, keeps::<1>, keeps::<2>, keeps::<3>, keeps::<4>, keeps::<5>, keeps::<6>,
        ];
        Promise::ALL
            .iter()
            .zip(always)
            .map(|(promise, keeps)| Property::always(promise.name(), keeps))
            .collect()
    }
}
