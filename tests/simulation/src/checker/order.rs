//! Promise 12, between processes: on one server, who came first is served first.
//!
//! Only of worlds without trouble, and of heads that stand alone: a process has one place in the
//! line, and loses it with the head that gives up, or with its connections.

use std::collections::BTreeMap;

use super::super::testimony::{Event, KeyId, Patience, ProcessId, Token};
use super::facts::Errand;
use super::{Facts, Rule};

/// How long a process passes a lock on among its own callers (`tenure/mod.rs`).
const PASSING_ON: u64 = 50;
/// Who came so much later is never served earlier.
const LATER: u64 = 5;
/// It takes a few parcels until one who waits has its place: it looks, opens its second connection,
/// and looks again.
const PARCELS: u64 = 16;

#[derive(Default)]
pub(super) struct Order {
    /// When a process last had another caller for this key.
    alone_since: BTreeMap<(ProcessId, KeyId), u64>,
    /// When a process last closed its connections.
    closed: BTreeMap<ProcessId, u64>,
    last: BTreeMap<KeyId, Token>,
}

impl Rule for Order {
    fn hear(&mut self, facts: &Facts, event: &Event) -> Result<(), String> {
        match event {
            Event::Got { errand, .. } => {
                let errand = &facts.errands[errand];
                let place = (errand.process, errand.key);
                self.alone_since.insert(place, facts.now);
            }
            Event::Settled { process } => {
                self.closed.insert(*process, facts.now);
            }
            Event::Entered { errand, token, .. } => {
                let entering = &facts.errands[errand];
                let before = self.last.insert(entering.key, *token);
                let is_passed_on_inside = before == Some(*token);
                let is_promised = facts.locks.len() == 1 && facts.troubles.is_empty();
                if is_promised && waits(entering) && !is_passed_on_inside {
                    return self.check(facts, entering);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl Order {
    fn check(&self, facts: &Facts, entering: &Errand) -> Result<(), String> {
        let grace = PASSING_ON + LATER + PARCELS * facts.limits.parcel;
        let mut others = facts.errands.iter().filter(|(_, other)| {
            other.key == entering.key
                && other.process != entering.process
                && waits(other)
                // Is not polled when it is told something.
                && other.terms.kind != "drop"
                && other.entered.is_none()
                && self.came(facts, other).is_some_and(|came| came + grace < entering.asked)
        });
        match others.next() {
            Some((other, at)) => Err(format!(
                "errand {other} of process {} waits since {} and is passed over by one that came at {}",
                at.process, at.asked, entering.asked
            )),
            None => Ok(()),
        }
    }

    /// When it came to the head of its process's line, if nobody else of the process stands there.
    fn came(&self, facts: &Facts, errand: &Errand) -> Option<u64> {
        let place = (errand.process, errand.key);
        let callers = facts.errands.values();
        let callers = callers.filter(|other| (other.process, other.key) == place);
        (callers.count() == 1).then(|| {
            let alone_since = self.alone_since.get(&place).copied().unwrap_or(0);
            let closed = self.closed.get(&errand.process).copied().unwrap_or(0);
            errand.asked.max(alone_since).max(closed)
        })
    }
}

fn waits(errand: &Errand) -> bool {
    matches!(errand.terms.patience, Patience::Wait(_) | Patience::Forever)
}
