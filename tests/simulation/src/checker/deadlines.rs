//! Promise 2: the body is not polled after its deadline.

use super::super::testimony::Event;
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
            _ => Ok(()),
        }
    }
}
