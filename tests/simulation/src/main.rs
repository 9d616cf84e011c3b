//! Runs seeds: `cargo run -p redis-locked-simulation -- --seeds 1..200`, or `--seconds 3600`, or
//! `--story 42`.

use std::fs;
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use redis_locked_simulation::simulation::server::run_instead;
use redis_locked_simulation::simulation::{Sort, run, sort, story};

const USAGE: &str = "\
usage: redis-locked-simulation [--instead FILE,FILE] [--seeds FROM..TO] [--seconds N] [--threads N]
                               [--broken N] [--worlds all|calmer|line|places|records|doubt|quorum|renewed|taken|
                                         arrays|numbers]
       redis-locked-simulation [--instead FILE,FILE] --story SEED

  --instead  the servers run the second file in the place of the first, a part of our scripts
  --seeds    the seeds to run, TO not included; by default all from 0
  --seconds  begin no other seed after this time
  --threads  so many seeds run side by side; by default 2
  --broken   end after so many broken seeds, and tell the story of the first; by default 1
  --worlds   calmer: leave out the seeds of busy worlds, which take the longest; line: only
             those in which many processes wait for few locks; places: only those in which
             several hold few keys; records: only those with many runs that are recorded;
             doubt: only those in which commands come late; quorum: only those of several servers
             in which nothing goes wrong; renewed: only those in which bodies outlast their ttl;
             taken: only those in which others take locks away; arrays: only those with many requests
             for several keys; numbers: only those in which fencing numbers are drawn while the
             server's clock is set back
  --story    tell what happens with one seed";

struct Options {
    from: u64,
    to: u64,
    limit: Option<Duration>,
    threads: usize,
    broken: u64,
    is_wanted: fn(u64) -> bool,
    story: Option<u64>,
}

fn main() -> ExitCode {
    let Some(options) = options(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    if let Some(seed) = options.story {
        let report = story(seed);
        println!("{report:#}");
        return if report.violation.is_some() {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        };
    }
    run_all(&options)
}

fn options(mut arguments: impl Iterator<Item = String>) -> Option<Options> {
    let mut options = Options {
        from: 0,
        to: u64::MAX,
        limit: None,
        threads: 2,
        broken: 1,
        is_wanted: |_| true,
        story: None,
    };
    while let Some(name) = arguments.next() {
        let value = arguments.next()?;
        match name.as_str() {
            "--seeds" => {
                let (from, to) = value.split_once("..")?;
                options.from = from.parse().ok()?;
                options.to = to.parse().ok()?;
            }
            "--seconds" => options.limit = Some(Duration::from_secs(value.parse().ok()?)),
            "--threads" => options.threads = value.parse().ok()?,
            "--broken" => options.broken = value.parse().ok()?,
            "--worlds" => {
                options.is_wanted = match value.as_str() {
                    "all" => |_| true,
                    "calmer" => |seed| sort(seed) != Sort::Busy,
                    "line" => |seed| sort(seed) == Sort::Line,
                    "places" => |seed| sort(seed) == Sort::Places,
                    "records" => |seed| sort(seed) == Sort::Records,
                    "doubt" => |seed| sort(seed) == Sort::Doubt,
                    "quorum" => |seed| sort(seed) == Sort::Quorum,
                    "taken" => |seed| sort(seed) == Sort::Taken,
                    "renewed" => |seed| sort(seed) == Sort::Renewed,
                    "numbers" => |seed| sort(seed) == Sort::Numbers,
                    "arrays" => |seed| sort(seed) == Sort::Arrays,
                    _ => return None,
                };
            }
            "--instead" => {
                let (part, mistake) = value.split_once(',')?;
                run_instead(fs::read(part).ok()?, fs::read(mistake).ok()?);
            }
            "--story" => options.story = Some(value.parse().ok()?),
            _ => return None,
        }
    }
    Some(options)
}

fn run_all(options: &Options) -> ExitCode {
    let began = Instant::now();
    let next = AtomicU64::new(options.from);
    let (seeds, sections) = (AtomicU64::new(0), AtomicU64::new(0));
    let broken = AtomicU64::new(0);
    let work = || {
        while broken.load(Ordering::Relaxed) < options.broken
            && options.limit.is_none_or(|limit| began.elapsed() < limit)
        {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= options.to {
                return;
            }
            if !(options.is_wanted)(seed) {
                continue;
            }
            let report = run(seed);
            seeds.fetch_add(1, Ordering::Relaxed);
            sections.fetch_add(report.sections, Ordering::Relaxed);
            if let Some(violation) = report.violation {
                if broken.fetch_add(1, Ordering::Relaxed) == 0 {
                    println!("{}", story(seed));
                }
                println!("broken seed {seed}: {}", violation.text);
            }
        }
    };
    thread::scope(|scope| {
        for _ in 0..options.threads {
            scope.spawn(work);
        }
    });
    let (seeds, sections) = (seeds.into_inner(), sections.into_inner());
    let took = began.elapsed();
    println!(
        "{seeds} seeds, {sections} sections in {took:.1?}: {} in a second",
        u128::from(sections) * 1000 / took.as_millis().max(1)
    );
    if broken.into_inner() > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}
