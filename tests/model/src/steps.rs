//! What may happen next. Whatever may is tried.

use crate::config::{Break, Line};
use crate::state::{Bell, Key, Phase, Process, State};

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
    pub(crate) fn client_steps(&self, line: &Line, client: usize, steps: &mut Vec<Step>) {
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

    pub(crate) fn process_steps(&self, line: &Line, process: usize, steps: &mut Vec<Step>) {
        let faults = &self.faults;
        let lives = (0..line.count()).any(|client| {
            line.process(client) == process
                && !matches!(self.phase(client), Phase::Absent | Phase::Done)
        });
        match self.processes[process] {
            Process::Hears if lives => {
                for (fault, step) in [
                    (faults.cut, Step::Cut(process)),
                    (faults.kill, Step::Kill(process)),
                    (faults.vanish, Step::Vanish(process)),
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

    pub(crate) fn world_steps(&self, steps: &mut Vec<Step>) {
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

    /// Whether nothing has to happen first.
    pub(crate) fn may_tick(&self, line: &Line) -> bool {
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
