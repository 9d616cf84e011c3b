//! Several keys at once: two who want some of the same never wait for each other.
//!
//! That all are had, or none, is seen by the rules for each of them: one who enters has each of its keys, and what
//! stays behind of one who got none is a key for nobody. Within a process, who of two has a key that both want
//! is not known.

use std::collections::{BTreeMap, BTreeSet};

use super::super::testimony::{Content, ErrandId, Event, KeyId, Patience, ServerId, Token};
use super::facts::Errand;
use super::{Facts, Rule};

#[derive(Default)]
pub(super) struct Arrays {
    /// Since when they wait for each other.
    since: BTreeMap<ErrandId, u64>,
}

/// Those that wait for all of their keys, by the first.
type Waiting<'a> = BTreeMap<ErrandId, Vec<&'a Errand>>;
/// Which of them has this.
type Had = BTreeMap<(ServerId, KeyId, Token), ErrandId>;

impl Rule for Arrays {
    fn hear(&mut self, _: &Facts, _: &Event) -> Result<(), String> {
        Ok(())
    }

    fn look(&mut self, facts: &Facts) -> Result<(), (KeyId, String)> {
        let (waiting, had) = waiting(facts);
        let mut stuck: BTreeSet<_> = waiting.keys().copied().collect();
        loop {
            let still = stuck.iter().copied();
            let still = still.filter(|array| {
                let mut parts = waiting[array].iter();
                parts.any(|part| is_stuck(facts, part, &had, &stuck))
            });
            let still: BTreeSet<_> = still.collect();
            if still == stuck {
                break;
            }
            stuck = still;
        }
        self.since.retain(|array, _| stuck.contains(array));
        for array in stuck {
            let since = *self.since.entry(array).or_insert(facts.now);
            let first = waiting[&array][0];
            if facts.now > limit(facts, first, since) {
                let all: Vec<_> = self.since.keys().collect();
                let wrong = format!("the errands {all:?} wait for each other, since {since}");
                return Err((first.key, wrong));
            }
        }
        Ok(())
    }
}

fn waiting(facts: &Facts) -> (Waiting<'_>, Had) {
    let (mut waiting, mut had) = (Waiting::new(), Had::new());
    for (id, errand) in &facts.errands {
        let waits = matches!(errand.terms.patience, Patience::Wait(_) | Patience::Forever);
        let Some(array) = errand
            .array
            .filter(|_| waits && errand.entered.is_none() && facts.runs(errand.process))
        else {
            continue;
        };
        waiting.entry(array).or_default().push(errand);
        for server in 0..facts.locks.len() {
            let held = facts.held(server, errand.key);
            for held in held.filter(|held| facts.surely_has(*id, *held)) {
                had.insert((server, held.key, held.token), array);
            }
        }
    }
    (waiting, had)
}

/// Whether it can't have this key before one of these gives it back.
fn is_stuck(facts: &Facts, part: &Errand, had: &Had, by: &BTreeSet<ErrandId>) -> bool {
    let is_theirs = |server: ServerId| {
        facts.at(server, part.key).all(|kept| match kept.content {
            Content::Lock { token, owner, .. } => {
                let array = had.get(&(server, part.key, token));
                owner != part.process && array.is_some_and(|array| by.contains(array))
            }
            _ => false,
        })
    };
    let servers = 0..facts.locks.len();
    let stuck = servers.filter(|server| !facts.has_room(*server, part) && is_theirs(*server));
    stuck.count() >= facts.majority()
}

/// Whoever has lost a key that it waits for no more is told so at its deadline, at the latest.
fn limit(facts: &Facts, errand: &Errand, since: u64) -> u64 {
    let until = if facts.is_calm() {
        since + 8 * facts.limits.parcel + 100
    } else {
        since.max(facts.troubled_until) + facts.aftermath()
    };
    if facts.taken.is_empty() {
        until
    } else {
        until + errand.terms.ttl
    }
}
