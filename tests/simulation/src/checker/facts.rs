//! What is known of the world, for all rules.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::super::clock::Clock;
use super::super::testimony::{
    By, Content, ErrandId, Event, How, Kept, KeyId, Noted, ProcessId, Room, ServerId, Terms, Token,
    Watch, Which,
};
use super::owners::Owners;

/// Of each key, so many releases are remembered.
const RELEASES: usize = 8;

/// How long a seat lasts whose process's connections are not closed, as when its machine vanishes, and
/// then the lock that is passed on to it.
pub(super) const SEAT: u64 = 8_000 + 2_000;

/// How long things take at most, in milliseconds.
#[derive(Debug, Clone)]
pub(in super::super) struct Limits {
    /// A parcel, where nothing stands still.
    pub(in super::super) parcel: u64,
    /// To connect, and to be answered.
    pub(in super::super) operation: u64,
    /// To be answered: then the connection is given up.
    pub(in super::super) answer: u64,
}

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
    pub(super) owners: Owners,
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
    /// When a set that is not ours was last at a key: nobody is told when it goes.
    pub(super) foreign_sets: BTreeMap<KeyId, u64>,
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
            foreign_sets: BTreeMap::new(),
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
                self.processes[*process].stopped_until = *until;
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

    fn trouble(&mut self, until: u64) {
        self.troubles.push((self.now, until));
        self.troubled_until = self.troubled_until.max(until);
    }

    fn changed(
        &mut self,
        server: ServerId,
        by: By,
        key: KeyId,
        before: Option<Kept>,
        after: Option<Kept>,
    ) {
        if before.is_some_and(|kept| kept.content == Content::ForeignSet) {
            self.foreign_sets.insert(key, self.now);
        }
        let there = &mut self.locks[server][key];
        there.retain(|kept| Some(*kept) != before);
        there.extend(after);
        let token = |kept: Option<Kept>| match kept?.content {
            Content::Lock {
                token, owner, kept, ..
            } => Some((token, owner, kept)),
            _ => None,
        };
        if let Some(Content::Lock {
            token: is,
            room: Room::Permit,
            ..
        }) = after.map(|kept| kept.content)
            && token(before).is_none_or(|(was, _, _)| was != is)
        {
            self.placed.insert(is, self.now);
        }
        let has_ended = before.is_some_and(|kept| self.may_have_ended(server, &kept));
        match (by, token(before), token(after)) {
            (By::Process(process), Some((was, owner, false)), now)
                if !has_ended
                    && owner == process
                    && now.is_none_or(|(now, _, kept)| now != was || kept) =>
            {
                let released = &mut self.released[server][key];
                released.push_back(was);
                if released.len() > RELEASES {
                    released.pop_front();
                }
            }
            (By::Foreigner | By::Loss, was, now) => {
                let lives_on = was.zip(now).is_some_and(|(was, now)| was == now);
                // Also what was extended, and is not any more.
                let is_shorter = before.and_then(|it| it.expires) > after.and_then(|it| it.expires);
                if let Some((was, owner, _)) = was
                    && (!lives_on || is_shorter)
                {
                    self.taken.insert((server, was));
                    self.lost.insert((owner, key), self.now);
                }
                if let Some((now, _, _)) = now
                    && !lives_on
                {
                    self.revived.insert((server, now));
                }
            }
            _ => {}
        }
    }

    // What the rules ask.

    pub(super) fn majority(&self) -> usize {
        self.locks.len() / 2 + 1
    }

    /// Whether the time of what a server has is not over.
    pub(super) fn lasts(&self, server: ServerId, kept: &Kept) -> bool {
        let now = self.server_clocks[server].millis(self.now);
        kept.expires.is_none_or(|expires| now <= expires)
    }

    /// What has ended is taken away by whoever comes. A place ends within a millisecond.
    pub(super) fn may_have_ended(&self, server: ServerId, kept: &Kept) -> bool {
        let now = self.server_clocks[server].millis(self.now);
        kept.expires.is_some_and(|expires| expires <= now)
    }

    /// What a server holds at this moment.
    pub(super) fn at(&self, server: ServerId, key: KeyId) -> impl Iterator<Item = Kept> {
        let there = self.locks[server][key].iter().copied();
        there.filter(move |kept| self.lasts(server, kept))
    }

    pub(super) fn has(&self, server: ServerId, key: KeyId, wanted: Token) -> bool {
        self.at(server, key).any(|kept| is_token(&kept, wanted))
    }

    /// Whether a majority has the token for so many milliseconds, counting those that had it taken away from
    /// them.
    pub(super) fn is_locked(&self, key: KeyId, token: Token, millis: u64) -> bool {
        let counts = |server: &ServerId| {
            let now = self.server_clocks[*server].millis(self.now);
            let is_there = |kept: &Kept| kept.expires.is_none_or(|expires| now + millis <= expires);
            let mut has = self.at(*server, key).filter(|kept| is_token(kept, token));
            has.any(|kept| is_there(&kept)) || self.was_taken(*server, token)
        };
        (0..self.locks.len()).filter(counts).count() >= self.majority()
    }

    pub(super) fn was_taken(&self, server: ServerId, token: Token) -> bool {
        self.taken.contains(&(server, token))
    }

    /// Whether it was taken away from any server.
    pub(super) fn was_taken_somewhere(&self, token: Token) -> bool {
        (0..self.locks.len()).any(|server| self.was_taken(server, token))
    }

    /// Whether a majority of servers carried out a release of this token.
    pub(super) fn was_released(&self, key: KeyId, token: Token) -> bool {
        let released = self.released.iter();
        let released = released.filter(|keys| keys[key].contains(&token));
        released.count() >= self.majority()
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

    /// Whether there is room for this one beside all that a server has.
    pub(super) fn has_room(&self, server: ServerId, errand: &Errand) -> bool {
        let rooms = self.at(server, errand.key).map(|kept| match kept.content {
            Content::Lock { room, .. } => room,
            Content::Number(_) | Content::Foreign | Content::ForeignSet => Room::Alone,
        });
        let rooms: Vec<_> = rooms.collect();
        let terms = errand.terms;
        rooms.iter().all(|room| room.is_beside(terms.room))
            && (terms.room != Room::Permit || rooms.len() < terms.permits)
    }

    /// Whether its record may have been found to be what is not ours.
    pub(super) fn may_not_be_recorded(&self, errand: &Errand) -> bool {
        let foreign = self.foreign_records.get(&errand.key);
        errand.terms.once_per.is_some() && foreign.is_some_and(|until| *until >= errand.asked)
    }

    /// Whether the last trouble is so long over that nothing follows from it any more.
    pub(super) fn is_calm(&self) -> bool {
        self.was_calm(self.now)
    }

    /// The same at a time that is over.
    pub(super) fn was_calm(&self, then: u64) -> bool {
        self.troubles.is_empty() || then > self.troubled_until + self.aftermath()
    }

    /// Whether one who has died may still have a place in a line, or a lock that was passed on to it.
    pub(super) fn may_be_in_line(&self, then: u64) -> bool {
        self.died.is_some_and(|died| then < died + SEAT)
    }

    /// How long a trouble may have consequences: what was under way is given up, a release pauses, and
    /// the connection is opened anew.
    pub(super) fn aftermath(&self) -> u64 {
        3 * self.limits.operation + 3_000
    }

    /// For how long there was trouble between these times, when each has so much of a sequel.
    pub(super) fn troubled(&self, from: u64, to: u64, sequel: u64) -> u64 {
        let mut parts: Vec<_> = self
            .troubles
            .iter()
            .map(|(begun, ended)| ((*begun).max(from), (*ended + sequel).min(to)))
            .filter(|(begun, ended)| begun < ended)
            .collect();
        parts.sort_unstable();
        let (mut sum, mut until) = (0, from);
        for (begun, ended) in parts {
            sum += ended.saturating_sub(begun.max(until));
            until = until.max(ended);
        }
        sum
    }
}

/// Whether this is a lock with the token that is not given back.
fn is_token(kept: &Kept, wanted: Token) -> bool {
    matches!(kept.content, Content::Lock { token, kept: false, .. } if token == wanted)
}
