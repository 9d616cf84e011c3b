//! Promise 12, between processes: on one server, who came first is served first.
//!
//! Only of worlds without trouble. A process has one place in the line, whoever of its callers is the
//! head of its own; it loses the place with its turn, or with its connections.

use std::collections::{BTreeMap, BTreeSet};

use super::super::testimony::{
    Content, ErrandId, Event, Kept, KeyId, Patience, ProcessId, Room, Token,
};
use super::facts::Errand;
use super::{Facts, Rule};

/// How long a process passes a lock on among its own callers (`tenure/mod.rs`).
const PASSING_ON: u64 = 50;
/// Who came so much later is never served earlier.
const LATER: u64 = 5;
/// It takes a few parcels until one who waits has its place: it looks, opens its second connection,
/// and looks again.
const PARCELS: u64 = 16;

type Place = (ProcessId, KeyId);

#[derive(Default)]
pub(super) struct Order {
    /// Since when a process has had one or more who wait.
    waiting_since: BTreeMap<Place, u64>,
    /// When one who waited had the lock from the server: those behind it come after that.
    served: BTreeMap<Place, u64>,
    /// When a process may have had to line up anew.
    anew: BTreeMap<Place, u64>,
    /// When one first stood in the server's line. A process may have two there for once: the lock that was
    /// passed on to the first of its callers was lost on the way, and the next has asked meanwhile.
    lined_up: BTreeMap<Token, u64>,
    /// When a process last closed its connections.
    closed: BTreeMap<ProcessId, u64>,
    /// Those with which somebody has entered: whoever enters with one again got it in its process.
    had: BTreeSet<Token>,
    /// Those that one for several keys may have had, from whenever on, and may have passed on.
    of_arrays: BTreeSet<Token>,
}

impl Rule for Order {
    fn hear(&mut self, facts: &Facts, event: &Event) -> Result<(), String> {
        match event {
            Event::Asked { errand, .. } => {
                let (place, errand) = at(facts, *errand);
                if waits(errand) && waiting(facts, place).count() == 1 {
                    self.waiting_since.insert(place, facts.now);
                }
            }
            Event::Got { errand, .. } => {
                let (place, at) = at(facts, *errand);
                let next = waiting(facts, place).find(|(other, _)| *other != errand);
                if next.is_none() {
                    self.waiting_since.remove(&place);
                }
                let is_left_to_next = next.is_some_and(|(_, next)| {
                    // One that is not polled may have had no place to leave, nor one for several keys.
                    at.entered.is_none()
                        && at.array.is_none()
                        && next.array.is_none()
                        && next.terms.fenced == at.terms.fenced
                        && next.terms.room == at.terms.room
                        && at.terms.room != Room::Shared
                        && !at.terms.record
                        && !next.terms.record
                        && next.terms.permits == at.terms.permits
                        && at.terms.kind != "drop"
                });
                if !is_left_to_next {
                    self.anew.insert(place, facts.now);
                }
            }
            // It has had its turn, whether anybody enters or not: it may be lost, or left, before.
            Event::Changed {
                key,
                before,
                after: Some(after),
                ..
            } => {
                if let Some((process, token)) = turn_of(*after)
                    && before.is_none_or(|before| before.content != after.content)
                {
                    let place = (process, *key);
                    self.anew.insert(place, facts.now);
                    if facts
                        .errands
                        .values()
                        .any(|it| is_at(it, place) && it.array.is_some())
                    {
                        self.of_arrays.insert(token);
                    }
                }
            }
            Event::LinedUp { token } => {
                self.lined_up.entry(*token).or_insert(facts.now);
            }
            Event::Closed { process } => {
                self.closed.insert(*process, facts.now);
            }
            Event::Entered { errand, token, .. } => {
                let (place, entering) = at(facts, *errand);
                // Whoever waits behind it has its own place from now on.
                self.anew.insert(place, facts.now);
                let is_passed_on_inside = !self.had.insert(*token);
                if self.of_arrays.contains(token) {
                    return Ok(());
                }
                if is_passed_on_inside && entering.terms.room == Room::Shared {
                    return Err(format!(
                        "{token:?} is passed on, past those in front of it who want to be alone"
                    ));
                }
                // Who asks for a whole key at the right moment gets it. For a place, all line up.
                let lines_up = waits(entering) || entering.terms.room != Room::Alone;
                if !lines_up || is_passed_on_inside {
                    return Ok(());
                }
                let is_promised = facts.locks.len() == 1 && facts.troubles.is_empty();
                let kept = if is_promised {
                    self.check(facts, place, entering, *token)
                } else {
                    Ok(())
                };
                self.served.insert(place, facts.now);
                return kept;
            }
            _ => {}
        }
        Ok(())
    }
}

impl Order {
    fn check(
        &self,
        facts: &Facts,
        entering: Place,
        errand: &Errand,
        token: Token,
    ) -> Result<(), String> {
        let grace = PASSING_ON + LATER + PARCELS * facts.limits.parcel;
        let time = |times: &BTreeMap<Place, u64>, place| times.get(&place).copied().unwrap_or(0);
        // Those who share have places of their own, beside each other.
        let came = if waits(errand) && errand.terms.room != Room::Shared {
            let of_process = time(&self.waiting_since, entering).max(time(&self.served, entering));
            self.lined_up.get(&token).copied().unwrap_or(of_process)
        } else {
            errand.asked
        };
        for &place in self.waiting_since.keys() {
            let (process, key) = place;
            if key != entering.1 || place == entering {
                continue;
            }
            let Some((first, errand)) = waiting(facts, place).next() else {
                continue;
            };
            // One that is not polled hears nothing, and those behind it wait for it. One for several keys
            // may not ask for this one yet.
            let is_in_line = |it: &Errand| it.terms.kind != "drop" && it.array.is_none();
            if waiting(facts, place).any(|(_, errand)| !is_in_line(errand)) {
                continue;
            }
            let closed = self.closed.get(&process).copied().unwrap_or(0);
            let since = errand.asked.max(time(&self.anew, place)).max(closed);
            if since + grace < came {
                return Err(format!(
                    "process {process} is in line since {since}, with errand {first}, and is passed \
                     over by process {}, which came at {came}",
                    entering.0
                ));
            }
        }
        Ok(())
    }
}

/// Whose lock it is.
fn turn_of(kept: Kept) -> Option<(ProcessId, Token)> {
    match kept.content {
        Content::Lock {
            token,
            owner,
            kept: false,
            ..
        } => Some((owner, token)),
        _ => None,
    }
}

fn at(facts: &Facts, errand: ErrandId) -> (Place, &Errand) {
    let errand = &facts.errands[&errand];
    ((errand.process, errand.key), errand)
}

/// Those of a process who wait for a key, in the order in which they came.
fn waiting(facts: &Facts, place: Place) -> impl Iterator<Item = (&ErrandId, &Errand)> {
    facts.errands.iter().filter(move |(_, errand)| {
        is_at(errand, place) && errand.entered.is_none() && waits(errand)
    })
}

fn is_at(errand: &Errand, place: Place) -> bool {
    (errand.process, errand.key) == place
}

fn waits(errand: &Errand) -> bool {
    matches!(errand.terms.patience, Patience::Wait(_) | Patience::Forever)
}
