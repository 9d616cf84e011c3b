//! Promise 1: the body runs only under the lock.

use super::super::testimony::Event;
use super::{Facts, Rule};

pub(super) struct UnderLock;

impl Rule for UnderLock {
    fn hear(&mut self, facts: &Facts, event: &Event) -> Result<(), String> {
        let errand = match event {
            Event::Entered { errand, .. } => errand,
            // Where a body may go on without its lock, nothing is promised of it.
            Event::Inside { errand, left, .. } if *left > 0 => errand,
            _ => return Ok(()),
        };
        let at = &facts.errands[errand];
        let Some(entered) = &at.entered else {
            return Ok(());
        };
        if facts.is_locked(at.key, entered.token) {
            return Ok(());
        }
        let held: Vec<Vec<_>> = (0..facts.locks.len())
            .map(|server| facts.at(server, at.key).collect())
            .collect();
        Err(format!(
            "errand {errand} runs under {:?}, which the servers have not; they have {held:?}",
            entered.token
        ))
    }
}
