//! What all is for: no two hold one key at a time, unless both want only a place of it. Then none comes in when as many as
//! it says are there.
//!
//! What is known of a holder is what it said last, so one whose lease was extended since may be taken
//! for one whose time is over: then the next of its steps is seen by the rule of promise 1.

use super::super::testimony::{Content, Event, Room};
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
        let entering = &facts.errands[errand];
        let others = facts.errands.iter();
        let others: Vec<_> = others
            .filter(|(other, at)| *other != errand && at.key == entering.key && holds(facts, at))
            .collect();
        let terms = entering.terms;
        let excluding = others
            .iter()
            .find(|(_, at)| !terms.room.is_beside(at.terms.room));
        if let Some((other, at)) = excluding {
            let since = at.entered.as_ref().map(|entered| entered.at);
            return Err(format!(
                "errand {errand} enters with {token:?} while errand {other} is inside, since {since:?}"
            ));
        }
        if terms.room != Room::Permit {
            return Ok(());
        }
        let mut all: Vec<_> = others.into_iter().map(|(_, at)| at).collect();
        all.push(entering);
        within_number(facts, &all)
    }
}

/// Of those who have a place, each looks at its own number, and counts those who were granted theirs
/// before, also where a place only stays for `min_hold`. Within a millisecond, the order is not known.
fn within_number(facts: &Facts, all: &[&Errand]) -> Result<(), String> {
    let placed = |token| facts.placed.get(&token).copied().unwrap_or(0);
    let key = all[0].key;
    let kept = facts.at(0, key).filter_map(|place| match place.content {
        Content::Lock {
            token, kept: true, ..
        } => Some((placed(token), usize::MAX, token)),
        _ => None,
    });
    let granted = all.iter().filter_map(|at| {
        let token = at.entered.as_ref()?.token;
        Some((placed(token), at.terms.permits, token))
    });
    let mut granted: Vec<_> = granted.chain(kept).collect();
    granted.sort_unstable();
    for (before, (_, permits, token)) in granted.iter().enumerate() {
        if before >= *permits {
            let others: Vec<_> = granted[..before]
                .iter()
                .map(|(_, _, other)| *other)
                .collect();
            return Err(format!(
                "{token:?} has a place as one of {permits}, beside {others:?}"
            ));
        }
    }
    Ok(())
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
