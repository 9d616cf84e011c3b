//! Runs the checker, and prints how much it tried.

use std::sync::atomic::Ordering;
use std::time::Instant;

use redis_locked_test_support::step_back;
use stateright::{Checker, HasDiscoveries, Model, Path};

use crate::config::{Break, Line};
use crate::judge::{Promise, Seen};
use crate::state::State;
use crate::steps::Step;
use crate::trace::trace;

type Found = Vec<(&'static str, Path<State, Step>)>;

fn run(name: &str, line: &Line) -> Found {
    step_back();
    let began = Instant::now();
    let checker = line
        .clone()
        .checker()
        // With one thread, a counterexample is among the shortest.
        .threads(if line.broken.is_some() { 1 } else { 2 })
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    println!(
        "{name}: {} states, {} steps deep, {:.1} s; free for {} ticks at most, held up for {}",
        checker.unique_state_count(),
        checker.max_depth(),
        began.elapsed().as_secs_f32(),
        line.worst[0].load(Ordering::Relaxed),
        line.worst[1].load(Ordering::Relaxed),
    );
    let seen = line.seen.load(Ordering::Relaxed);
    assert!(
        seen & 1 << Seen::Stuck as u8 == 0,
        "{name}: time stands still"
    );
    checker.discoveries().into_iter().collect()
}

/// Every promise is kept, whatever happens; the bounds are not wider than they must be; and what
/// the configuration is for does happen.
pub(crate) fn holds(name: &str, line: &Line, see: &[Seen]) {
    if let Some((promise, path)) = run(name, line).into_iter().next() {
        panic!("{name} breaks \"{promise}\":\n{}", trace(line, path));
    }
    let worst = [0, 1].map(|at: usize| line.worst[at].load(Ordering::Relaxed));
    assert_eq!(
        worst,
        [line.bounds.free, line.bounds.held_up],
        "{name}: the bounds are too wide"
    );
    let seen = line.seen.load(Ordering::Relaxed);
    for &which in see {
        assert!(seen & 1 << which as u8 != 0, "{name} never has {which:?}");
    }
}

/// The promise is kept by the protocol, and not by the one with this break.
pub(crate) fn is_found(which: Break, promise: Promise, line: &Line) {
    let name = format!("{which:?}");
    if let Some((promise, path)) = run(&format!("{name}, mended"), line).into_iter().next() {
        panic!(
            "breaks \"{promise}\" without the break:\n{}",
            trace(line, path)
        );
    }
    let broken = Line {
        broken: Some(which),
        ..line.clone()
    };
    let found = run(&name, &broken);
    let expected = found.iter().find(|(name, _)| *name == promise.name());
    let Some((name, path)) = expected else {
        let found: Vec<_> = found.iter().map(|(name, _)| name).collect();
        panic!("{which:?} should break {promise:?}, and breaks {found:?}");
    };
    println!(
        "breaks \"{name}\" in {} steps:\n{}",
        path.clone().into_actions().len(),
        trace(line, path.clone())
    );
}
