//! Fencing numbers grow from holder to holder; those who may hold a key together are in no order.
//!
//! The clock keeps them growing when the counter is lost, and the counter does when the clock is set
//! back. When a server is struck by both, nothing does.

use std::collections::{BTreeMap, BTreeSet};

use super::super::testimony::{By, Event, KeyId, Room, Token, Which};
use super::{Facts, Rule};
use crate::private::TURNS;

#[derive(Default)]
pub(super) struct Numbers {
    /// By the key, and how it was held.
    last: BTreeMap<(KeyId, Room), (u64, Token)>,
    /// The keys whose counters were lost since the last number was drawn.
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
            // What was drawn before the loss has entered by now.
            Event::Changed {
                by: By::Process(_),
                key,
                which: Which::Counter,
                ..
            } => {
                if self.lost.remove(key) {
                    // With the counter, only the clock keeps it growing, and that was set back.
                    self.last
                        .retain(|(of, _), (last, _)| of != key || !is_ahead(facts, *last));
                }
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
        let room = at.terms.room;
        let before = self.last.iter().filter_map(|((key, other), last)| {
            (*key == at.key && !other.is_beside(room)).then_some(*last)
        });
        let before = before.max();
        let own = self.last.entry((at.key, room)).or_insert((number, *token));
        *own = (number, *token).max(*own);
        match before {
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
