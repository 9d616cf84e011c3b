//! What is known of the world, for all rules.

mod owners;
mod servers;
mod troubles;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::super::clock::Clock;
use super::super::testimony::{
    ErrandId, Event, How, Kept, KeyId, Noted, ProcessId, ServerId, Terms, Token, Watch, Which,
};
pub(super) use owners::Held;
use owners::Owners;
pub(in super::super) use troubles::Limits;
pub(super) use troubles::SEAT;

#[derive(Debug)]
pub(in super::super) struct Facts {
    pub(super) now: u64,
    pub(super) limits: Limits,
    pub(super) server_clocks: Vec<Clock>,
    pub(super) watches: Vec<Watch>,
    pub(super) processes: Vec<Process>,
    /// Those that are not done.
    pub(super) errands: BTreeMap<ErrandId, Errand>,
    /// By server and key: what is there, and of a key that several may hold each place.
    pub(super) locks: Vec<Vec<Vec<Kept>>>,
    /// Whose these may be.
    owners: Owners,
    /// When a place was granted, by its token.
    pub(super) placed: BTreeMap<Token, u64>,
    /// The tokens that a server had, and lost by another than the one that wrote them.
    pub(super) taken: BTreeSet<(ServerId, Token)>,
    /// When others last took a lock of a process away.
    pub(super) lost: BTreeMap<(ProcessId, KeyId), u64>,
    /// The tokens that came back with older data.
    pub(super) revived: BTreeSet<(ServerId, Token)>,
    /// The last tokens that were given back, by server and key.
    released: Vec<Vec<VecDeque<Token>>>,
    /// From when to when things were not as usual.
    pub(super) troubles: Vec<(u64, u64)>,
    pub(super) troubled_until: u64,
    /// When a process died last.
    pub(super) died: Option<u64>,
    /// When what is not ours was last where a key's record is kept.
    pub(super) foreign_records: BTreeMap<KeyId, u64>,
    /// When a set was last at a key that is not ours, or that somebody else changed: nobody is told.
    pub(super) unheard_sets: BTreeMap<KeyId, u64>,
    /// When a process closed its connections last.
    pub(super) closed: Option<u64>,
    /// How many bodies, and guards, there were.
    pub(super) entered: u64,
}

#[derive(Debug)]
pub(super) struct Process {
    pub(super) is_alive: bool,
    pub(super) stopped_until: u64,
}

#[derive(Debug)]
pub(super) struct Errand {
    /// The first errand of those for several keys, if it is one of them: in the order in which they are had.
    pub(super) array: Option<ErrandId>,
    pub(super) process: ProcessId,
    pub(super) key: KeyId,
    pub(super) terms: Terms,
    pub(super) asked: u64,
    pub(super) asked_local: u64,
    /// What it was inside of, once it was.
    pub(super) entered: Option<Entered>,
}

#[derive(Debug, Clone)]
pub(super) struct Entered {
    pub(super) token: Token,
    pub(super) at: u64,
    /// Until when it is held, by its process's clock, as far as the holder has said.
    pub(super) until_local: u64,
    /// Still there.
    pub(super) is_inside: bool,
    pub(super) has_ended: bool,
}

impl Facts {
    pub(super) fn new(servers: Vec<Clock>, keys: usize, limits: Limits) -> Self {
        Self {
            now: 0,
            limits,
            locks: vec![vec![Vec::new(); keys]; servers.len()],
            released: vec![vec![VecDeque::new(); keys]; servers.len()],
            server_clocks: servers,
            watches: Vec::new(),
            processes: Vec::new(),
            errands: BTreeMap::new(),
            owners: Owners::default(),
            placed: BTreeMap::new(),
            taken: BTreeSet::new(),
            lost: BTreeMap::new(),
            revived: BTreeSet::new(),
            troubles: Vec::new(),
            troubled_until: 0,
            died: None,
            foreign_records: BTreeMap::new(),
            unheard_sets: BTreeMap::new(),
            closed: None,
            entered: 0,
        }
    }

    /// What a dead process did last is heard by nobody; what it has sent is.
    pub(super) fn is_from_the_dead(&self, event: &Event) -> bool {
        let is_dead = |process: ProcessId| {
            let process = self.processes.get(process);
            process.is_some_and(|process| !process.is_alive)
        };
        match event {
            Event::Asked { process, .. }
            | Event::Closed { process }
            | Event::Settled { process } => is_dead(*process),
            Event::Entered { errand, .. }
            | Event::Inside { errand, .. }
            | Event::Left { errand, .. }
            | Event::Got { errand, .. } => !self.errands.contains_key(errand),
            _ => false,
        }
    }

    pub(super) fn hear(&mut self, event: &Event) {
        self.owners.hear(event);
        match event {
            Event::Asked {
                errand,
                array,
                process,
                key,
                terms,
                local,
            } => {
                let new = Errand {
                    array: *array,
                    process: *process,
                    key: *key,
                    terms: *terms,
                    asked: self.now,
                    asked_local: *local,
                    entered: None,
                };
                self.errands.insert(*errand, new);
            }
            Event::Entered {
                errand,
                token,
                local,
                left,
                ..
            } => {
                self.entered += 1;
                let entered = Entered {
                    token: *token,
                    at: self.now,
                    until_local: local + left,
                    is_inside: true,
                    has_ended: false,
                };
                self.errand(*errand).entered = Some(entered);
            }
            Event::Inside {
                errand,
                local,
                left,
            } => {
                if let Some(entered) = &mut self.errand(*errand).entered
                    && *left > 0
                {
                    entered.until_local = local + left;
                }
            }
            Event::Left { errand, how } => {
                if let Some(entered) = &mut self.errand(*errand).entered {
                    entered.is_inside = false;
                    entered.has_ended = matches!(how, How::Ended | How::Failed);
                }
            }
            Event::Changed {
                server,
                by,
                key,
                which: Which::Lock,
                before,
                after,
            } => self.changed(*server, *by, *key, *before, *after),
            Event::Started { .. } => self.processes.push(Process {
                is_alive: true,
                stopped_until: 0,
            }),
            Event::Died { process, .. } => {
                self.died = Some(self.now);
                self.processes[*process].is_alive = false;
                self.errands.retain(|_, errand| errand.process != *process);
            }
            Event::Stopped { process, until } => {
                let stopped_until = &mut self.processes[*process].stopped_until;
                *stopped_until = (*stopped_until).max(*until);
                self.trouble(*until);
            }
            Event::Trouble { until, .. } => self.trouble(*until),
            Event::Closed { .. } => self.closed = Some(self.now),
            Event::Recorded {
                key, before, after, ..
            } => {
                if *after == Some(Noted::Foreign) {
                    self.foreign_records.insert(*key, u64::MAX);
                } else if *before == Some(Noted::Foreign) {
                    self.foreign_records.insert(*key, self.now);
                }
            }
            Event::Changed { .. }
            | Event::Got { .. }
            | Event::Settled { .. }
            | Event::LinedUp { .. }
            | Event::Restored { .. }
            | Event::Late { .. }
            | Event::Logged { .. } => {}
        }
    }

    /// The key that something is about.
    pub(super) fn key_of(&self, event: &Event) -> Option<KeyId> {
        match event {
            Event::Asked { key, .. } | Event::Changed { key, .. } | Event::Recorded { key, .. } => {
                Some(*key)
            }
            Event::Entered { errand, .. }
            | Event::Inside { errand, .. }
            | Event::Left { errand, .. }
            | Event::Got { errand, .. } => self.errands.get(errand).map(|errand| errand.key),
            _ => None,
        }
    }

    /// Forgets what the rules have seen the end of.
    pub(super) fn settle(&mut self, event: &Event) {
        if let Event::Got { errand, .. } = event {
            self.errands.remove(errand);
        }
    }

    fn errand(&mut self, id: ErrandId) -> &mut Errand {
        self.errands.get_mut(&id).expect("it was asked for")
    }

    // What the rules ask.

    pub(super) fn majority(&self) -> usize {
        self.locks.len() / 2 + 1
    }

    pub(super) fn local(&self, process: ProcessId) -> u64 {
        self.watches[process].local(self.now)
    }

    pub(super) fn runs(&self, process: ProcessId) -> bool {
        let process = &self.processes[process];
        process.is_alive && process.stopped_until < self.now
    }

    /// The errand that is in the body or has the guard with this token.
    pub(super) fn inside(&self, token: Token) -> Option<ErrandId> {
        let mut errands = self.errands.iter();
        errands.find_map(|(id, errand)| {
            let entered = errand.entered.as_ref()?;
            (entered.is_inside && entered.token == token).then_some(*id)
        })
    }

    /// Whether its record may have been found to be what is not ours.
    pub(super) fn may_not_be_recorded(&self, errand: &Errand) -> bool {
        let foreign = self.foreign_records.get(&errand.key);
        errand.terms.once_per.is_some() && foreign.is_some_and(|until| *until >= errand.asked)
    }
}
