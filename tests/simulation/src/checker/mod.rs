//! Who hears all testimony, and knows what was promised.
//!
//! Each promise is a [`Rule`] in a file of its own, over the [`Facts`] that all share. Of DESIGN.md's
//! promises, 9 and 10 are not of this kind.

mod arrays;
mod deadlines;
mod exclusion;
mod facts;
mod min_hold;
mod numbers;
mod order;
mod orphans;
mod owed;
mod passing_on;
mod patience;
mod progress;
mod records;
mod results;
mod under_lock;
mod writes;

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::clock::Clock;
use super::testimony::{ErrandId, Event, KeyId, ProcessId, Watch};
pub(super) use facts::{Facts, Limits};
pub(super) use owed::COALESCE;

/// How often the rules that watch what does not happen are asked.
const LOOK: u64 = 16;

/// What is promised.
trait Rule: Send {
    /// Hears what has happened; the facts are those after it. Says what is wrong.
    fn hear(&mut self, facts: &Facts, event: &Event) -> Result<(), String>;

    /// Is asked from time to time whether something should have happened.
    fn look(&mut self, _facts: &Facts) -> Result<(), (KeyId, String)> {
        Ok(())
    }
}

pub(super) struct Checker {
    facts: Facts,
    rules: Vec<Box<dyn Rule>>,
    errands: ErrandId,
    /// Of all that was heard.
    hash: DefaultHasher,
    story: Option<Vec<Line>>,
    violation: Option<Violation>,
}

/// A line of the story, and the key that it is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    pub key: Option<usize>,
    pub text: String,
}

/// A promise that was broken.
#[derive(Debug, Clone)]
pub struct Violation {
    pub key: Option<usize>,
    pub text: String,
}

/// A witness's way to the checker.
#[derive(Clone)]
pub(super) struct Witness(Arc<Mutex<Checker>>);

/// What is left of a run.
pub(super) struct Verdict {
    pub(super) entered: u64,
    pub(super) hash: u64,
    pub(super) story: Vec<Line>,
    pub(super) violation: Option<Violation>,
}

impl Witness {
    pub(super) fn new(servers: Vec<Clock>, keys: usize, limits: Limits, with_story: bool) -> Self {
        let rules: Vec<Box<dyn Rule>> = vec![
            Box::new(under_lock::UnderLock),
            Box::new(deadlines::Deadlines),
            Box::new(exclusion::Exclusion),
            Box::new(writes::Writes),
            Box::new(min_hold::MinHold::default()),
            Box::new(orphans::Orphans::default()),
            Box::new(results::Results),
            Box::new(patience::PatienceKept),
            Box::new(progress::Progress::default()),
            Box::new(numbers::Numbers::default()),
            Box::new(order::Order::default()),
            Box::new(passing_on::PassingOn::default()),
            Box::new(owed::Owed::default()),
            Box::new(records::Records::default()),
            Box::new(arrays::Arrays::default()),
        ];
        Self(Arc::new(Mutex::new(Checker {
            facts: Facts::new(servers, keys, limits),
            rules,
            errands: 0,
            hash: DefaultHasher::new(),
            story: with_story.then(Vec::new),
            violation: None,
        })))
    }

    fn checker(&self) -> MutexGuard<'_, Checker> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn new_errand(&self) -> ErrandId {
        let mut checker = self.checker();
        checker.errands += 1;
        checker.errands
    }

    pub(super) fn tell(&self, event: &Event) {
        self.checker().hear(event);
    }

    /// Something that only a story tells.
    pub(super) fn log(&self, what: impl FnOnce() -> String) {
        let mut checker = self.checker();
        if checker.story.is_some() {
            checker.hear(&Event::Logged { what: what() });
        }
    }

    /// Time has come to this millisecond.
    pub(super) fn now(&self, now: u64) {
        let mut checker = self.checker();
        checker.facts.now = now;
        if now.is_multiple_of(LOOK) {
            checker.look();
        }
    }

    pub(super) fn started(&self, process: ProcessId, place: usize, watch: Watch) {
        let mut checker = self.checker();
        checker.facts.watches.push(watch);
        checker.hear(&Event::Started { process, place });
    }

    pub(super) fn set_server_clock(&self, server: usize, clock: Clock) {
        let mut checker = self.checker();
        checker.facts.server_clocks[server] = clock;
    }

    pub(super) fn accuse(&self, of: &str) {
        self.checker().accuse(None, of);
    }

    pub(super) fn is_violated(&self) -> bool {
        self.checker().violation.is_some()
    }

    pub(super) fn verdict(&self) -> Verdict {
        let mut checker = self.checker();
        Verdict {
            entered: checker.facts.entered,
            hash: checker.hash.finish(),
            story: checker.story.take().unwrap_or_default(),
            violation: checker.violation.take(),
        }
    }
}

impl Checker {
    fn hear(&mut self, event: &Event) {
        if self.violation.is_some() || self.facts.is_from_the_dead(event) {
            return;
        }
        // What is logged is there only where somebody listens.
        if !matches!(event, Event::Logged { .. }) {
            (self.facts.now, event).hash(&mut self.hash);
        }
        self.facts.hear(event);
        let key = self.facts.key_of(event);
        self.tell(key, || event.to_string());
        let mut rules = self.rules.iter_mut();
        let wrong = rules.find_map(|rule| rule.hear(&self.facts, event).err());
        if let Some(wrong) = wrong {
            self.accuse(key, &wrong);
        }
        self.facts.settle(event);
    }

    fn look(&mut self) {
        if self.violation.is_some() {
            return;
        }
        let mut rules = self.rules.iter_mut();
        let wrong = rules.find_map(|rule| rule.look(&self.facts).err());
        if let Some((key, wrong)) = wrong {
            self.accuse(Some(key), &wrong);
        }
    }

    fn tell(&mut self, key: Option<KeyId>, what: impl FnOnce() -> String) {
        let now = self.facts.now;
        if let Some(story) = &mut self.story {
            let text = format!("{now:>7} {}", what());
            story.push(Line { key, text });
        }
    }

    fn accuse(&mut self, key: Option<KeyId>, of: &str) {
        self.tell(key, || format!("BROKEN: {of}"));
        if self.violation.is_none() {
            let text = format!("after {} ms: {of}", self.facts.now);
            self.violation = Some(Violation { key, text });
        }
    }
}
