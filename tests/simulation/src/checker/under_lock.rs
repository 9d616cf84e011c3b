//! Promise 1: the body runs only under the lock, its lease ends before the key does, and so does the body.

use super::super::testimony::{Event, KeyId};
use super::{Facts, Rule};

/// What is rounded.
const GRAIN: u64 = 2;

pub(super) struct UnderLock;

impl Rule for UnderLock {
    fn hear(&mut self, facts: &Facts, event: &Event) -> Result<(), String> {
        let (errand, left) = match event {
            Event::Entered { errand, left, .. } => (errand, *left),
            // Where a body may go on without its lock, nothing is promised of it.
            Event::Inside { errand, left, .. } if *left > 0 => (errand, *left),
            _ => return Ok(()),
        };
        let at = &facts.errands[errand];
        let Some(entered) = &at.entered else {
            return Ok(());
        };
        // The clocks may drift apart by one in a hundred, for which the deadline is that much earlier.
        if facts.is_locked(at.key, entered.token, left.saturating_sub(GRAIN)) {
            return Ok(());
        }
        let held: Vec<Vec<_>> = (0..facts.locks.len())
            .map(|server| facts.at(server, at.key).collect())
            .collect();
        Err(format!(
            "errand {errand} has {left} ms under {:?}, which the servers have not; they have {held:?} \
             at …{:06}",
            entered.token,
            facts.server_clocks[0].millis(facts.now) % 1_000_000
        ))
    }

    fn look(&mut self, facts: &Facts) -> Result<(), (KeyId, String)> {
        for (id, errand) in &facts.errands {
            let Some(entered) = errand.entered.as_ref().filter(|it| it.is_inside) else {
                continue;
            };
            let is_under_lock = facts.is_locked(errand.key, entered.token, 0);
            if !is_under_lock && !errand.terms.finish && facts.runs(errand.process) {
                let wrong = format!(
                    "errand {id} goes on, and the time of {:?} is over on the servers",
                    entered.token
                );
                return Err((errand.key, wrong));
            }
        }
        Ok(())
    }
}
