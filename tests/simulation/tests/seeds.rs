//! The promises, in simulated worlds: some that are the same each time, and some of the day.
//!
//! `SEED=42 cargo test -p redis-locked-simulation --test seeds` tells the story of one.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use redis_locked_simulation::simulation::{Report, Sort, run, sort, story};
use redis_locked_test_support::step_back;

/// So many seeds are the same each time.
const SECONDS_OF_A_DAY: u64 = 24 * 60 * 60;
const FIXED: u64 = 60;
/// Those of the day follow until so many bodies have run, or for so long.
const SECTIONS: u64 = 1_000_000;
const LONGEST: Duration = Duration::from_secs(60);
const THREADS: usize = 2;

fn seed_of_environment() -> Option<u64> {
    let seed = std::env::var("SEED").ok()?;
    Some(seed.parse().expect("SEED is a number"))
}

/// A day has its own seeds, which nobody chose.
fn first_of_day() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let day = since.expect("after 1970").as_secs() / SECONDS_OF_A_DAY;
    day * 1_000_000
}

fn must_be_kept(report: &Report) {
    assert!(
        report.violation.is_none(),
        "{}\n\ntold again by: SEED={} cargo test -p redis-locked-simulation --test seeds",
        story(report.seed),
        report.seed
    );
}

#[test]
fn the_promises_are_kept() {
    if let Some(seed) = seed_of_environment() {
        let report = story(seed);
        println!("{report}");
        assert!(report.violation.is_none());
        return;
    }
    step_back();
    let began = Instant::now();
    let of_day = first_of_day();
    let (next, sections) = (AtomicU64::new(0), AtomicU64::new(0));
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let seed = match number.checked_sub(FIXED) {
                None => number,
                Some(_)
                    if sections.load(Ordering::Relaxed) >= SECTIONS
                        || began.elapsed() >= LONGEST =>
                {
                    return;
                }
                Some(of_the_day) => of_day + of_the_day,
            };
            let report = run(seed);
            sections.fetch_add(report.sections, Ordering::Relaxed);
            must_be_kept(&report);
        }
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS).map(|_| scope.spawn(work)).collect();
        for thread in threads {
            if let Err(panic) = thread.join() {
                std::panic::resume_unwind(panic);
            }
        }
    });
    let (seeds, sections) = (next.into_inner(), sections.into_inner());
    let took = began.elapsed();
    println!(
        "seeds 0 to {} and those of the day from {of_day}, {seeds} in all: {sections} sections in \
         {took:.1?}, {} in a second",
        FIXED - 1,
        u128::from(sections) * 1000 / took.as_millis().max(1)
    );
}

#[test]
fn a_seed_is_the_same_story_each_time() {
    if seed_of_environment().is_some() {
        return;
    }
    step_back();
    // Nothing else happens in busy worlds, and it takes them the longest.
    for seed in (0..).filter(|seed| sort(*seed) != Sort::Busy).take(6) {
        let (first, second) = (story(seed), story(seed));
        for (line, (first, second)) in first.story.iter().zip(&second.story).enumerate() {
            assert_eq!(first, second, "line {line} of seed {seed}");
        }
        assert_eq!(first.story.len(), second.story.len(), "seed {seed}");
        assert_eq!(first.hash, run(seed).hash, "seed {seed}, without its story");
        assert_eq!(first.hash, second.hash);
    }
}
