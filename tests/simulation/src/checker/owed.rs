//! `coalesce`: whoever is told that somebody waits can count on a run that begins after it has asked,
//! unless the one that waits gives up.

use std::collections::BTreeMap;

use super::super::testimony::{Event, KeyId, Outcome, Patience};
use super::facts::{Errand, SEAT};
use super::{Facts, Rule};

#[derive(Default)]
pub(super) struct Owed {
    /// When those asked who were told so, and for whom no run has begun.
    debts: BTreeMap<KeyId, u64>,
    /// When a run began, or one who waited gave up or died.
    paid: BTreeMap<KeyId, u64>,
    /// When one who waited gave up.
    gave_up: BTreeMap<KeyId, u64>,
}

impl Rule for Owed {
    fn hear(&mut self, facts: &Facts, event: &Event) -> Result<(), String> {
        match event {
            Event::Entered { errand, .. } => self.pay(facts, facts.errands[errand].key),
            // It may have waited for anything.
            Event::Died { .. } => self.debts.clear(),
            Event::Got {
                errand,
                outcome,
                local,
            } => {
                let at = &facts.errands[errand];
                if !waits(at) || at.entered.is_some() {
                    return Ok(());
                }
                let waited = local.saturating_sub(at.asked_local);
                let is_over = matches!(at.terms.patience, Patience::Wait(limit) if waited >= limit);
                let is_left_to_another = at.terms.kind == COALESCE
                    && matches!(outcome, Outcome::Busy { .. })
                    && !is_over;
                if is_left_to_another {
                    let paid = self.paid.get(&at.key).copied();
                    let is_excused = facts.may_be_in_line(facts.now);
                    // Its place may be on its way back to the server.
                    let gave_up = self.gave_up.get(&at.key);
                    let is_leaving =
                        gave_up.is_some_and(|gave_up| at.asked < gave_up + leaving(facts));
                    if !is_excused && !is_leaving && paid.is_none_or(|paid| paid < at.asked) {
                        self.debts.insert(at.key, at.asked);
                    }
                } else {
                    self.gave_up.insert(at.key, facts.now);
                    self.pay(facts, at.key);
                }
                let mut others = facts.errands.iter();
                let is_somebody_there = others.any(|(other, there)| {
                    other != errand
                        && there.key == at.key
                        && waits(there)
                        && there.entered.is_none()
                });
                if let Some(asked) = self.debts.get(&at.key)
                    && !is_somebody_there
                {
                    return Err(format!(
                        "one that asked at {asked} was told that somebody waits, and nobody runs after \
                         that"
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

pub(in super::super) const COALESCE: &str = "coalesce";

impl Owed {
    fn pay(&mut self, facts: &Facts, key: KeyId) {
        self.debts.remove(&key);
        self.paid.insert(key, facts.now);
    }
}

/// How long one that gives up may be taken for one who waits.
fn leaving(facts: &Facts) -> u64 {
    if facts.troubles.is_empty() {
        8 * facts.limits.parcel
    } else {
        SEAT
    }
}

fn waits(errand: &Errand) -> bool {
    matches!(errand.terms.patience, Patience::Wait(_) | Patience::Forever)
}
