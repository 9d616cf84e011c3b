//! Fencing numbers grow from holder to holder.
//!
//! The clock keeps them growing when the counter is lost, and the counter does when the clock is set
//! back. When a server is struck by both, nothing does.

use std::collections::{BTreeMap, BTreeSet};

use super::super::testimony::{By, Event, KeyId, Token, Which};
use super::{Facts, Rule};
use crate::private::TURNS;

#[derive(Default)]
pub(super) struct Numbers {
    last: BTreeMap<KeyId, (u64, Token)>,
    /// The keys whose counters were lost since the last number was heard.
    lost: BTreeSet<KeyId>,
}

impl Rule for Numbers {
    fn hear(&mut self, facts: &Facts, event: &Event) -> Result<(), String> {
        let (errand, token, number) = match event {
            Event::Entered {
                errand,
                token,
                number,
                ..
            } => (errand, token, number),
            Event::Changed {
                by: By::Foreigner | By::Loss,
                key,
                which: Which::Counter,
                ..
            } => {
                self.lost.insert(*key);
                return Ok(());
            }
            _ => return Ok(()),
        };
        let at = &facts.errands[errand];
        let Some(number) = *number else {
            return if at.terms.fenced {
                Err(format!("errand {errand} has no fencing number"))
            } else {
                Ok(())
            };
        };
        // Of one whose key was taken, another may have the next number already.
        if facts.was_taken_somewhere(*token) {
            return Ok(());
        }
        let is_lost = self.lost.remove(&at.key);
        match self.last.insert(at.key, (number, *token)) {
            // With the counter, only the clock keeps it growing, and that was set back.
            Some((last, _)) if is_lost && is_ahead(facts, last) => Ok(()),
            Some((last, before)) if last >= number => Err(format!(
                "errand {errand} has the number {number}, and {before:?} before it had {last}"
            )),
            _ => Ok(()),
        }
    }
}

/// Whether the server's clock has yet to come to where it was when this number was drawn.
fn is_ahead(facts: &Facts, number: u64) -> bool {
    let drawn = number / u64::from(TURNS);
    u64::try_from(facts.server_clocks[0].micros(facts.now)).is_ok_and(|now| now <= drawn)
}
