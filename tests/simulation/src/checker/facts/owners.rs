//! Whose a lock may be that a server has: who has it says so when its body begins, and no sooner.

use std::collections::BTreeMap;

use super::super::super::testimony::{
    Content, ErrandId, Event, Kept, KeyId, ProcessId, ServerId, Token,
};
use super::{Errand, Facts};

#[derive(Debug, Default)]
pub(super) struct Owners {
    /// The last errand so far.
    last: ErrandId,
    /// For whom a token may have been set: for none that was asked for later.
    set_for: BTreeMap<Token, SetFor>,
}

/// Whose a token is.
#[derive(Debug, Clone, Copy)]
enum SetFor {
    /// Some errand up to this one, which has not entered with it yet.
    UpTo(ErrandId),
    /// Those that have entered with it; there is no other that waits to be told.
    Entered,
}

impl Owners {
    pub(super) fn hear(&mut self, event: &Event) {
        match event {
            Event::Asked { errand, .. } => self.last = *errand,
            Event::Changed { after, .. } => {
                if let Some(token) = token_of(*after) {
                    let set_for = SetFor::UpTo(self.last);
                    self.set_for.entry(token).or_insert(set_for);
                }
            }
            Event::Entered { token, .. } => {
                self.set_for.insert(*token, SetFor::Entered);
            }
            _ => {}
        }
    }

    /// One for several keys may have been passed any, and tells of none before it has all.
    fn may_be_of(&self, token: Token, id: ErrandId, errand: &Errand) -> bool {
        match (&errand.entered, self.set_for.get(&token)) {
            (Some(entered), _) => entered.token == token,
            (None, _) if errand.array.is_some() => true,
            (None, Some(SetFor::UpTo(last))) => id <= *last,
            (None, Some(SetFor::Entered) | None) => false,
        }
    }
}

/// A lock that is not given back.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Held {
    pub(in super::super) server: ServerId,
    pub(in super::super) key: KeyId,
    pub(in super::super) token: Token,
    pub(in super::super) owner: ProcessId,
}

impl Facts {
    /// What a server has of a key that is not given back.
    pub(in super::super) fn held(
        &self,
        server: ServerId,
        key: KeyId,
    ) -> impl Iterator<Item = Held> {
        self.at(server, key)
            .filter_map(move |kept| match kept.content {
                Content::Lock {
                    token,
                    owner,
                    kept: false,
                    ..
                } => Some(Held {
                    server,
                    key,
                    token,
                    owner,
                }),
                _ => None,
            })
    }

    /// The errands that have it, or may be about to.
    pub(in super::super) fn may_have(&self, held: Held) -> impl Iterator<Item = ErrandId> {
        self.errands.iter().filter_map(move |(id, errand)| {
            let may_have = errand.process == held.owner
                && errand.key == held.key
                && self.owners.may_be_of(held.token, *id, errand);
            may_have.then_some(*id)
        })
    }

    /// Whether this errand has it, since there is no other that could.
    pub(in super::super) fn surely_has(&self, id: ErrandId, held: Held) -> bool {
        let mut errands = self.may_have(held);
        errands.next() == Some(id) && errands.next().is_none()
    }

    /// Whether an errand asks for its key at this moment: of several keys, one is asked for when those before
    /// are had. One that may be had, or may have been, is not asked for.
    pub(in super::super) fn is_asking(&self, id: ErrandId, errand: &Errand) -> bool {
        let Some(first) = errand.array else {
            return true;
        };
        let (process, key) = (errand.process, errand.key);
        let lost = self.lost.get(&(process, key));
        let is_had = lost.is_some_and(|lost| *lost >= errand.asked)
            || (0..self.locks.len())
                .any(|server| self.held(server, key).any(|held| held.owner == process));
        !is_had && (first..id).all(|before| self.surely_has_key(before))
    }

    fn surely_has_key(&self, id: ErrandId) -> bool {
        let key = self.errands[&id].key;
        let has = |server: &ServerId| {
            let mut held = self.held(*server, key);
            held.any(|held| self.surely_has(id, held))
        };
        (0..self.locks.len()).filter(has).count() >= self.majority()
    }
}

fn token_of(kept: Option<Kept>) -> Option<Token> {
    match kept?.content {
        Content::Lock { token, .. } => Some(token),
        _ => None,
    }
}
