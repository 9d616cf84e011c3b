//! One run of the world, from a seed.

use std::fmt;

use super::chance;
pub use super::checker::{Line, Violation};
use super::log::Log;
use super::plan::Plan;
pub use super::plan::Sort;
use super::world::World;

/// So many of a story's last lines are shown, of those about the key and of all.
const LAST: usize = 200;

/// What came of a seed.
#[derive(Debug)]
pub struct Report {
    pub seed: u64,
    pub plan: String,
    /// How many bodies ran, and guards were had.
    pub sections: u64,
    /// The milliseconds of the world's time.
    pub millis: u64,
    /// Of all that happened: two runs of a seed have the same.
    pub hash: u64,
    /// The promise that was broken, if one was.
    pub violation: Option<Violation>,
    /// What happened, if it was asked for.
    pub story: Vec<Line>,
}

/// Runs a seed.
#[must_use]
pub fn run(seed: u64) -> Report {
    begin(seed, false)
}

/// Runs a seed, and tells what happens.
#[must_use]
pub fn story(seed: u64) -> Report {
    begin(seed, true)
}

/// What kind of a world a seed has.
#[must_use]
pub fn sort(seed: u64) -> Sort {
    chance::begin(seed);
    Plan::next_sort()
}

fn begin(seed: u64, with_story: bool) -> Report {
    chance::begin(seed);
    let plan = Plan::draw();
    let plan_text = plan.to_string();
    let mut world = World::new(plan, with_story);
    if with_story {
        let log = Log(world.witness.clone());
        tracing::subscriber::with_default(log, || world.run());
    } else {
        world.run();
    }
    let verdict = world.witness.verdict();
    Report {
        seed,
        plan: plan_text,
        sections: verdict.entered,
        millis: world.now,
        hash: verdict.hash,
        violation: verdict.violation,
        story: verdict.story,
    }
}

impl Report {
    /// The last lines of those that are wanted.
    fn show(
        &self,
        f: &mut fmt::Formatter<'_>,
        last: usize,
        is_wanted: impl Fn(&Line) -> bool,
    ) -> fmt::Result {
        let lines: Vec<_> = self.story.iter().filter(|line| is_wanted(line)).collect();
        let skipped = lines.len().saturating_sub(last);
        if skipped > 0 {
            writeln!(f, "… {skipped} lines before")?;
        }
        let mut lines = lines[skipped..].iter();
        lines.try_for_each(|line| writeln!(f, "{}", line.text))
    }
}

impl fmt::Display for Report {
    /// The story's end, and what is to be known of it. With `{:#}`, all of the story.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() {
            self.show(f, usize::MAX, |_| true)?;
        } else {
            self.show(f, LAST, |_| true)?;
        }
        let key = self.violation.as_ref().and_then(|violation| violation.key);
        if let Some(key) = key {
            writeln!(f, "\nwhat is about key {key}:")?;
            self.show(f, LAST, |line| {
                line.key == Some(key) || line.key.is_none() && !line.text.contains(" log: ")
            })?;
        }
        writeln!(f, "\nseed {}: {}", self.seed, self.plan)?;
        match &self.violation {
            Some(violation) => write!(f, "BROKEN {}", violation.text),
            None => write!(
                f,
                "kept, with {} sections in {} ms",
                self.sections, self.millis
            ),
        }
    }
}
