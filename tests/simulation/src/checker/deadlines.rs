//! Promise 2: the body is not polled after its deadline.

use super::super::testimony::{ErrandId, Event};
use super::{Facts, Rule};

pub(super) struct Deadlines;

impl Rule for Deadlines {
    fn hear(&mut self, facts: &Facts, event: &Event) -> Result<(), String> {
        match event {
            Event::Entered {
                errand, left: 0, ..
            } => Err(format!("errand {errand} begins when its time is over")),
            Event::Inside {
                errand, left: 0, ..
            } if !facts.errands[errand].terms.finish => {
                Err(format!("errand {errand} is polled after its deadline"))
            }
            Event::Inside { errand, local, .. } => within_max_hold(facts, *errand, *local),
            _ => Ok(()),
        }
    }
}

/// `max_hold` counts from before the holder entered.
fn within_max_hold(facts: &Facts, errand: ErrandId, local: u64) -> Result<(), String> {
    let at = &facts.errands[&errand];
    let Some((max_hold, entered)) = at.terms.max_hold.zip(at.entered.as_ref()) else {
        return Ok(());
    };
    let entered = facts.watches[at.process].local(entered.at);
    if local <= entered + max_hold + 1 || at.terms.finish {
        return Ok(());
    }
    Err(format!("errand {errand} is polled after its max_hold"))
}
