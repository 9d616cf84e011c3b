//! Fencing numbers grow from holder to holder.
//!
//! The clock keeps them growing when the counter is lost, and the counter does when the clock is set
//! back. When a server is struck by both, nothing does.

use std::collections::{BTreeMap, BTreeSet};

use super::super::testimony::{By, Event, KeyId, Token, Which};
use super::{Facts, Rule};

#[derive(Default)]
pub(super) struct Numbers {
    last: BTreeMap<KeyId, (u64, Token)>,
    /// Whose counter was lost since then.
    lost: BTreeSet<KeyId>,
}

impl Rule for Numbers {
    fn hear(&mut self, facts: &Facts, event: &Event) -> Result<(), String> {
        if let Event::Changed {
            by: By::Loss,
            which: Which::Counter,
            key,
            ..
        } = event
        {
            self.lost.insert(*key);
        }
        let Event::Entered {
            errand,
            token,
            number,
            ..
        } = event
        else {
            return Ok(());
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
        let nothing_keeps_it = self.lost.remove(&at.key) && facts.was_set_back;
        match self.last.insert(at.key, (number, *token)) {
            Some((last, before)) if last >= number && !nothing_keeps_it => Err(format!(
                "errand {errand} has the number {number}, and {before:?} before it had {last}"
            )),
            _ => Ok(()),
        }
    }
}
