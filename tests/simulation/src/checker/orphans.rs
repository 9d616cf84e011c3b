//! Promise 4: no key stays for which nobody answers.

use std::collections::{BTreeMap, BTreeSet};

use super::super::testimony::{Content, ErrandId, Event, Kept, KeyId, ProcessId, ServerId, Token};
use super::{Facts, Limits, Rule};

/// What a round trip takes beside its parcels.
const GRAIN: u64 = 5;
/// So many round trips open a connection: it is accepted, and asked for what it needs.
const OPENING: u64 = 3;

#[derive(Default)]
pub(super) struct Orphans {
    /// The last errand so far.
    last: ErrandId,
    /// For whom a token may have been set: for none that was asked for later.
    set_for: BTreeMap<Token, SetFor>,
    /// Since when nobody answers for it.
    since: BTreeMap<(ServerId, KeyId, Token), u64>,
    /// What the servers of a quorum had in times of trouble, when a release may not have reached them.
    out_of_reach: BTreeSet<(ServerId, Token)>,
}

/// Whose a token is.
#[derive(Clone, Copy)]
enum SetFor {
    /// Some errand up to this one, which has not entered with it yet.
    UpTo(ErrandId),
    /// Those that have entered with it; there is no other that waits to be told.
    Entered,
}

impl Rule for Orphans {
    fn hear(&mut self, facts: &Facts, event: &Event) -> Result<(), String> {
        let process = match event {
            Event::Asked { errand, .. } => {
                self.last = *errand;
                return Ok(());
            }
            Event::Changed { after, .. } => {
                if let Some(token) = token_of(*after) {
                    let set_for = SetFor::UpTo(self.last);
                    self.set_for.entry(token).or_insert(set_for);
                }
                return Ok(());
            }
            Event::Entered { token, .. } => {
                self.set_for.insert(*token, SetFor::Entered);
                return Ok(());
            }
            Event::Settled { process } => process,
            _ => return Ok(()),
        };
        if is_out_of_reach(facts) {
            return Ok(());
        }
        let mut left = locks(facts).filter(|(_, _, _, owner)| owner == process);
        match left.find(|(server, _, token, _)| !self.may_stay(facts, *server, *token)) {
            Some((server, key, token, _)) => Err(format!(
                "process {process} has shut down, and server {server} has key {key} with {token:?}"
            )),
            None => Ok(()),
        }
    }

    fn look(&mut self, facts: &Facts) -> Result<(), (KeyId, String)> {
        if is_out_of_reach(facts) {
            self.since.clear();
            let there = locks(facts).map(|(server, _, token, _)| (server, token));
            self.out_of_reach.extend(there);
            return Ok(());
        }
        let mut since = BTreeMap::new();
        for (server, key, token, owner) in locks(facts) {
            if self.is_cared_for(facts, key, token, owner)
                || !facts.runs(owner)
                || self.may_stay(facts, server, token)
            {
                continue;
            }
            let orphan = (server, key, token);
            let begun = self.since.get(&orphan).copied().unwrap_or(facts.now);
            since.insert(orphan, begun);
            let (from, limit) = if facts.is_calm() {
                (begun, 8 * facts.limits.parcel + 100)
            } else {
                let trouble_ended = begun.max(facts.troubled_until);
                (trouble_ended, facts.aftermath())
            };
            if facts.now > from + limit {
                let wrong = format!(
                    "nobody answers for key {key} with {token:?} of process {owner} on server \
                     {server}, since {begun}"
                );
                return Err((key, wrong));
            }
        }
        self.since = since;
        Ok(())
    }
}

impl Orphans {
    /// Whether it may stay until its ttl is over. A server that is back from older data may have
    /// anything.
    fn may_stay(&self, facts: &Facts, server: ServerId, token: Token) -> bool {
        let it = (server, token);
        facts.revived.contains(&it) || self.out_of_reach.contains(&it)
    }

    /// Whether somebody has it, or may be about to.
    fn is_cared_for(&self, facts: &Facts, key: KeyId, token: Token, owner: ProcessId) -> bool {
        let mut errands = facts.errands.iter();
        errands.any(|(id, errand)| {
            errand.process == owner
                && errand.key == key
                && match (&errand.entered, self.set_for.get(&token)) {
                    (Some(entered), _) => entered.token == token,
                    (None, Some(SetFor::UpTo(last))) => id <= last,
                    (None, Some(SetFor::Entered) | None) => false,
                }
        })
    }
}

/// A server of a quorum that a release does not reach keeps the key until its ttl is over, which the
/// docs of `connect_quorum` say. One on a new connection comes before what is late on the one that was
/// given up; and one that cannot be opened in time, or is closed by a shutdown, carries none.
fn is_out_of_reach(facts: &Facts) -> bool {
    let Limits {
        parcel,
        operation,
        answer,
    } = facts.limits;
    let round_trip = 2 * parcel + GRAIN;
    let may_give_up = round_trip >= answer || OPENING * round_trip >= operation - answer;
    let is_closing = facts
        .closed
        .is_some_and(|closed| facts.now < closed + operation);
    facts.locks.len() > 1 && (may_give_up || is_closing || !facts.is_calm())
}

/// What the servers have that is not given back: server, key, token and owner.
fn locks(facts: &Facts) -> impl Iterator<Item = (ServerId, KeyId, Token, ProcessId)> {
    let servers = facts.locks.iter().enumerate();
    let keys = servers.flat_map(|(server, keys)| (0..keys.len()).map(move |key| (server, key)));
    keys.flat_map(|(server, key)| {
        let there = facts.at(server, key);
        there.filter_map(move |kept| match kept.content {
            Content::Lock {
                token,
                owner,
                kept: false,
                ..
            } => Some((server, key, token, owner)),
            _ => None,
        })
    })
}

fn token_of(kept: Option<Kept>) -> Option<Token> {
    match kept?.content {
        Content::Lock { token, .. } => Some(token),
        _ => None,
    }
}
