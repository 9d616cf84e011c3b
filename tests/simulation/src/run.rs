//! One run of the world, from a seed.

use std::fmt;

use super::chance;
use super::plan::Plan;
use super::world::World;

/// So many of a story's last lines are shown.
const LAST: usize = 300;

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
    pub violation: Option<String>,
    /// What happened, if it was asked for.
    pub story: Vec<String>,
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

fn begin(seed: u64, with_story: bool) -> Report {
    chance::begin(seed);
    let plan = Plan::draw();
    let plan_text = plan.to_string();
    let mut world = World::new(plan, with_story);
    world.run();
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

impl fmt::Display for Report {
    /// The story's end, and what is to be known of it. With `{:#}`, all of the story.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = if f.alternate() { usize::MAX } else { LAST };
        let skipped = self.story.len().saturating_sub(shown);
        if skipped > 0 {
            writeln!(f, "… {skipped} lines before")?;
        }
        for line in &self.story[skipped..] {
            writeln!(f, "{line}")?;
        }
        writeln!(f, "seed {}: {}", self.seed, self.plan)?;
        match &self.violation {
            Some(violation) => write!(f, "BROKEN {violation}"),
            None => write!(
                f,
                "kept, with {} sections in {} ms",
                self.sections, self.millis
            ),
        }
    }
}
