//! What each step does.

use crate::config::Line;
use crate::state::{Answer, Key, Look, Net, Phase, Process, State, bit};
use crate::steps::Step;

impl State {
    pub(crate) fn take(&mut self, line: &Line, step: Step) {
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
            _ => self.take_of_a_holder(line, step),
        }
    }

    fn take_of_a_holder(&mut self, line: &Line, step: Step) {
        match step {
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
            _ => self.take_of_the_world(line, step),
        }
    }

    fn take_of_the_world(&mut self, line: &Line, step: Step) {
        match step {
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
                    self.judge.robbed |= bit(by);
                    self.judge.there &= !bit(by);
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
            _ => unreachable!("{step:?} is done elsewhere"),
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

    pub(crate) fn die(&mut self, line: &Line, process: usize, how: Process) {
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
}
