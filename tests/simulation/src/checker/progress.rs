//! Promise 13, and the waking of those who wait: a free key does not stay free while somebody waits
//! for it, nor a place of it for which there is room, whoever died with it.

use std::collections::BTreeMap;

use super::super::testimony::{Event, KeyId, Patience};
use super::facts::Errand;
use super::{Facts, Rule};

/// How long the first of a line trusts to be woken (`in_line.rs`).
const TRUST: u64 = 5_000;
/// The longest pause between attempts of one who waits and is not woken.
const PAUSE: u64 = 1_000;

#[derive(Default)]
pub(super) struct Progress {
    /// Since when it is wanted, and there is room for each who waits.
    since: BTreeMap<KeyId, u64>,
}

impl Rule for Progress {
    fn hear(&mut self, _: &Facts, _: &Event) -> Result<(), String> {
        Ok(())
    }

    fn look(&mut self, facts: &Facts) -> Result<(), (KeyId, String)> {
        let waiting = facts.errands.iter().filter(|(_, errand)| waits(errand));
        let waiting: Vec<_> = waiting.collect();
        let mut since = BTreeMap::new();
        for (id, errand) in &waiting {
            let key = errand.key;
            let mut others = waiting.iter().filter(|(_, other)| other.key == key);
            // Whichever of them is the first in line.
            if facts.runs(errand.process)
                && others.all(|(_, other)| has_room(facts, other))
                && facts.is_asking(**id, errand)
            {
                since.insert(key, self.since.get(&key).copied().unwrap_or(facts.now));
            }
        }
        self.since = since;
        let quorum = if facts.locks.len() > 1 { 4_000 } else { 0 };
        for (key, since) in &self.since {
            // If it became free before all was well again, the first may not hear of it.
            let set_went = facts.unheard_sets.get(key).copied();
            let may_be_unheard = set_went.is_some_and(|went| went + TRUST >= *since);
            let is_told = !may_be_unheard && !facts.may_be_in_line(*since);
            let (from, limit) = if facts.was_calm(*since) && is_told {
                (*since, 20 * facts.limits.parcel + 400)
            } else {
                let from = facts.troubled_until.max(*since);
                (from, TRUST + PAUSE + facts.aftermath())
            };
            let limit = limit + quorum;
            if facts.now > from + limit {
                let wrong = format!(
                    "key {key} has room since {since}, and those who wait for it don't get it"
                );
                return Err((*key, wrong));
            }
        }
        Ok(())
    }
}

fn waits(errand: &Errand) -> bool {
    let waits = matches!(errand.terms.patience, Patience::Wait(_) | Patience::Forever);
    waits && errand.entered.is_none()
}

/// Whether a majority could grant it what it wants.
fn has_room(facts: &Facts, errand: &Errand) -> bool {
    let servers = 0..facts.locks.len();
    let free = servers.filter(|server| facts.has_room(*server, errand));
    free.count() >= facts.majority()
}
