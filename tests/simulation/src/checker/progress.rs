//! Promise 13, and the waking of those who wait: a free key does not stay free while somebody waits
//! for it, whoever died with it.

use std::collections::BTreeMap;

use super::super::testimony::{Event, KeyId, Patience};
use super::{Facts, Rule};

/// How long the first of a line trusts to be woken (`in_line.rs`).
const TRUST: u64 = 5_000;
/// The longest pause between attempts of one who waits and is not woken.
const PAUSE: u64 = 1_000;

#[derive(Default)]
pub(super) struct Progress {
    /// Since when it is free and wanted.
    since: BTreeMap<KeyId, u64>,
}

impl Rule for Progress {
    fn hear(&mut self, _: &Facts, _: &Event) -> Result<(), String> {
        Ok(())
    }

    fn look(&mut self, facts: &Facts) -> Result<(), (KeyId, String)> {
        let mut since = BTreeMap::new();
        for errand in facts.errands.values() {
            let waits = matches!(errand.terms.patience, Patience::Wait(_) | Patience::Forever);
            let key = errand.key;
            if waits
                && errand.entered.is_none()
                && facts.runs(errand.process)
                && is_free(facts, key)
            {
                since.insert(key, self.since.get(&key).copied().unwrap_or(facts.now));
            }
        }
        self.since = since;
        let quorum = if facts.locks.len() > 1 { 4_000 } else { 0 };
        for (key, since) in &self.since {
            // If it became free before all was well again, the first may not hear of it.
            let (from, limit) = if facts.was_calm(*since) && !facts.may_be_in_line(*since) {
                (*since, 20 * facts.limits.parcel + 400)
            } else {
                let from = facts.troubled_until.max(*since);
                (from, TRUST + PAUSE + facts.aftermath())
            };
            let limit = limit + quorum;
            if facts.now > from + limit {
                let wrong = format!(
                    "key {key} is free since {since}, and those who wait for it don't get it"
                );
                return Err((*key, wrong));
            }
        }
        Ok(())
    }
}

/// Whether a majority could grant it, and nobody who waits for it has it.
fn is_free(facts: &Facts, key: KeyId) -> bool {
    let servers = 0..facts.locks.len();
    let free = servers.filter(|server| facts.at(*server, key).is_none());
    free.count() >= facts.majority()
}
