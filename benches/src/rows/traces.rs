//! What the span of a run costs: with no subscriber, with one that does not want it, with one that
//! takes all; beside a build without traces.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use redis_locked_test_support::Server;

use crate::Plan;
use crate::sample::Pairs;
use crate::table::{Line, Target, Unit};
use crate::traced::Traced;

/// Processes of one program differ, by where their memory lies, so they are started anew so often.
const STARTS: usize = 10;

/// With the processes of one start.
const ROUNDS: usize = 25;

/// For what the benchmark is not to see.
const NO_DIFFERENCE: Option<Target> = Some(Target::RatioAtMost(1.02));

/// What the row calls them, their subscribers, and what is asked of them. All are compared with the
/// first; the second is the same again, to show what the benchmark can't tell apart.
const WATCHED: [(&str, &str, Option<Target>); 5] = [
    ("compiled out", "off", None),
    ("compiled out, another process", "off", None),
    ("no subscriber", "none", NO_DIFFERENCE),
    ("a subscriber of warnings only", "warn", NO_DIFFERENCE),
    ("a subscriber that formats all", "all", None),
];

pub(super) async fn measure(plan: &Plan, server: &Server) -> Vec<Line> {
    let programs = Programs::build(plan);
    let (mut on_redis, mut in_memory) = (Compared::new(), Compared::new());
    for _ in 0..STARTS {
        let mut watched = Vec::new();
        for (_, subscriber, _) in WATCHED {
            let program = programs.path(subscriber == "off");
            watched.push(Traced::start(&program, server, subscriber).await);
        }
        for round in 0..plan.rounds(ROUNDS) {
            // As a multiple of what raw commands took in the same process and moments.
            let mut took = [(0.0, 0.0); WATCHED.len()];
            for turn in turns(round) {
                let (run, raw) = watched[turn].on_redis(server).await;
                took[turn] = (run, run / raw);
            }
            on_redis.push(took);
            for turn in turns(round) {
                let run = watched[turn].in_memory(server).await;
                took[turn] = (run, run);
            }
            in_memory.push(took);
        }
    }
    let mut lines = on_redis.lines("on Redis");
    lines.extend(in_memory.lines("in memory"));
    lines
}

/// Each is the first equally often, and follows either neighbour.
fn turns(round: usize) -> [usize; WATCHED.len()] {
    let mut turns = std::array::from_fn(|turn| turn);
    turns.rotate_left(round % WATCHED.len());
    if round % 2 == 1 {
        turns.reverse();
    }
    turns
}

/// Each of those that are watched beside the first.
struct Compared {
    micros: [Pairs; WATCHED.len()],
    ratios: [Pairs; WATCHED.len()],
}

impl Compared {
    fn new() -> Self {
        Self {
            micros: Default::default(),
            ratios: Default::default(),
        }
    }

    /// Adds a round: the microseconds of each, and what to compare them by.
    fn push(&mut self, took: [(f64, f64); WATCHED.len()]) {
        let (first_micros, first) = took[0];
        for (number, (micros, compared)) in took.into_iter().enumerate() {
            self.micros[number].push(micros, first_micros);
            self.ratios[number].push(compared, first);
        }
    }

    fn lines(&self, place: &str) -> Vec<Line> {
        let all = WATCHED.iter().zip(&self.micros).zip(&self.ratios);
        all.skip(1)
            .map(|(((who, _, target), micros), ratios)| {
                let measured = format!("traces, one caller, free lock {place}: {who}");
                let line = Line::ours(measured, micros.ours(), Unit::Micros);
                let line = line.beside(WATCHED[0].0, micros.theirs(), ratios.ratio());
                match target {
                    Some(target) => line.target(*target),
                    None => line,
                }
            })
            .collect()
    }
}

/// The program as it is built by default, and without traces: copies, since a build of one takes the
/// place of the other.
struct Programs(PathBuf);

impl Programs {
    fn build(plan: &Plan) -> Self {
        let directory = std::env::temp_dir().join(format!("redis-traced-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory for temporary files");
        let programs = Self(directory);
        fs::copy(&plan.traced, programs.path(false)).expect("built by cargo");
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let target = plan.traced.parent().and_then(Path::parent);
        let status = Command::new(cargo)
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .args(["build", "--release", "--quiet", "--bin", "traced"])
            .args(["--features", "tracing/max_level_off"])
            .arg("--target-dir")
            .arg(target.expect("a target directory"))
            .stdin(Stdio::null())
            .status()
            .expect("cargo starts");
        assert!(status.success(), "it is not built without traces");
        fs::copy(&plan.traced, programs.path(true)).expect("built by cargo");
        programs
    }

    fn path(&self, without_traces: bool) -> PathBuf {
        self.0.join(if without_traces { "off" } else { "on" })
    }
}

impl Drop for Programs {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
