//! What all is for: no two hold one key at a time.
//!
//! What is known of a holder is what it said last, so one whose lease was extended since may be taken
//! for one whose time is over: then the next of its steps is seen by the rule of promise 1.

use super::super::testimony::Event;
use super::facts::Errand;
use super::{Facts, Rule};

pub(super) struct Exclusion;

impl Rule for Exclusion {
    fn hear(&mut self, facts: &Facts, event: &Event) -> Result<(), String> {
        let Event::Entered { errand, token, .. } = event else {
            return Ok(());
        };
        // It was lost with a server's data, say, while this process stood still.
        if facts.was_taken_somewhere(*token) {
            return Ok(());
        }
        let key = facts.errands[errand].key;
        let mut others = facts.errands.iter();
        let other =
            others.find(|(other, at)| *other != errand && at.key == key && holds(facts, at));
        match other {
            Some((other, at)) => {
                let since = at.entered.as_ref().map(|entered| entered.at);
                Err(format!(
                    "errand {errand} enters with {token:?} while errand {other} is inside, since {since:?}"
                ))
            }
            None => Ok(()),
        }
    }
}

/// Whether it is inside, and its time not over. Of one whose key was taken away on a server, nothing
/// is promised until it knows.
fn holds(facts: &Facts, errand: &Errand) -> bool {
    errand.entered.as_ref().is_some_and(|entered| {
        entered.is_inside
            && facts.local(errand.process) < entered.until_local
            && !facts.was_taken_somewhere(entered.token)
    })
}
