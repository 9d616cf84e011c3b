//! Promise 4: no key stays for which nobody answers.

use std::collections::{BTreeMap, BTreeSet};

use super::super::testimony::{Event, KeyId, ServerId, Token};
use super::facts::Held;
use super::{Facts, Limits, Rule};

/// What a round trip takes beside its parcels.
const GRAIN: u64 = 5;
/// So many round trips open a connection: it is accepted, and asked for what it needs.
const OPENING: u64 = 3;

#[derive(Default)]
pub(super) struct Orphans {
    /// Since when nobody answers for it.
    since: BTreeMap<(ServerId, KeyId, Token), u64>,
    /// What the servers of a quorum had in times of trouble, when a release may not have reached them.
    out_of_reach: BTreeSet<(ServerId, Token)>,
}

impl Rule for Orphans {
    fn hear(&mut self, facts: &Facts, event: &Event) -> Result<(), String> {
        let Event::Settled { process } = event else {
            return Ok(());
        };
        if is_out_of_reach(facts) {
            return Ok(());
        }
        let mut left = locks(facts).filter(|held| held.owner == *process);
        match left.find(|held| !self.may_stay(facts, held.server, held.token)) {
            Some(Held {
                server, key, token, ..
            }) => Err(format!(
                "process {process} has shut down, and server {server} has key {key} with {token:?}"
            )),
            None => Ok(()),
        }
    }

    fn look(&mut self, facts: &Facts) -> Result<(), (KeyId, String)> {
        if is_out_of_reach(facts) {
            self.since.clear();
            let there = locks(facts).map(|held| (held.server, held.token));
            self.out_of_reach.extend(there);
            return Ok(());
        }
        let mut since = BTreeMap::new();
        for held in locks(facts) {
            let Held {
                server,
                key,
                token,
                owner,
            } = held;
            if facts.may_have(held).next().is_some()
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

/// What the servers have that is not given back.
fn locks(facts: &Facts) -> impl Iterator<Item = Held> {
    let servers = facts.locks.iter().enumerate();
    let keys = servers.flat_map(|(server, keys)| (0..keys.len()).map(move |key| (server, key)));
    keys.flat_map(|(server, key)| facts.held(server, key))
}
