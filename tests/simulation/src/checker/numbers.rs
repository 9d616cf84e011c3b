//! Fencing numbers grow from holder to holder.

use std::collections::BTreeMap;

use super::super::testimony::{Event, KeyId, Token};
use super::{Facts, Rule};

#[derive(Default)]
pub(super) struct Numbers {
    last: BTreeMap<KeyId, (u64, Token)>,
}

impl Rule for Numbers {
    fn hear(&mut self, facts: &Facts, event: &Event) -> Result<(), String> {
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
        match self.last.insert(at.key, (number, *token)) {
            Some((last, before)) if last >= number => Err(format!(
                "errand {errand} has the number {number}, and {before:?} before it had {last}"
            )),
            _ => Ok(()),
        }
    }
}
