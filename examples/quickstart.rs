//! Six workers want two reports built at the same time; each report is built by one of them at a
//! time.
//!
//! ```sh
//! cargo run --example quickstart                                   # locks in memory
//! REDIS_URL=redis://127.0.0.1:6379 cargo run --example quickstart  # locks in that Redis
//! ```
//!
//! With `REDIS_URL` set, run it in two terminals at once: then the workers of both exclude each
//! other.

use std::env;
use std::time::{Duration, Instant};

use redis_locked::{LockError, Locker, redis_locked};
use tokio::task::JoinSet;

/// The job. The tenant is part of its key, so that reports of different tenants don't exclude
/// each other.
#[redis_locked(key = "report:{tenant}", ttl = "10s", retries = retries, backoff = PAUSE)]
async fn build_report(tenant: &str, retries: u32, log: &Log) -> Result<Ran, LockError> {
    let from = log.say("has the lock, builds");
    tokio::time::sleep(Duration::from_millis(350)).await;
    let to = log.say("done");
    Ok(Ran { from, to })
}

const PAUSE: Duration = Duration::from_millis(100);

/// Who wants which report, and how often they try again.
const WORKERS: [(&str, &str, u32); 6] = [
    ("anna", "acme", 0),
    ("ben", "acme", 2),
    ("cleo", "acme", 40),
    ("dora", "acme", 40),
    ("emil", "globex", 0),
    ("fay", "globex", 0),
];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (locker, place) = match env::var("REDIS_URL") {
        Ok(url) => (Locker::connect(&url).await?, "Redis"),
        Err(_) => (Locker::in_memory(), "memory (set REDIS_URL for Redis)"),
    };
    locker.install()?;

    println!("Six workers, two reports, a lock for each; in {place}.\n");
    let start = Instant::now();
    let mut calls = JoinSet::new();
    for (row, (name, tenant, retries)) in WORKERS.into_iter().enumerate() {
        let log = Log {
            start,
            name,
            tenant,
        };
        calls.spawn(async move {
            let outcome = build_report(tenant, retries, &log).await;
            let end = match &outcome {
                Ok(ran) => ran.to,
                Err(error) => log.say(&told(error)),
            };
            (row, end, outcome)
        });
    }
    let mut calls = calls.join_all().await;
    calls.sort_by_key(|(row, ..)| *row);
    locker.shutdown().await;

    let total = calls.iter().map(|(_, end, _)| *end).max();
    let chart = Chart {
        total: total.unwrap_or_default(),
    };
    println!("\n{:17}{}", "", chart.axis());
    for (row, end, outcome) in calls {
        let (name, tenant, _) = WORKERS[row];
        let (bar, told) = match &outcome {
            Ok(ran) if ran.from < PAUSE => (chart.ran(ran), "ran at once".into()),
            Ok(ran) => (chart.ran(ran), "ran on a retry".into()),
            Err(error) => (chart.gave_up(end), told(error)),
        };
        println!("  {name:<5} {tenant:<7}  {bar}  {told}");
    }
    println!("\n  ··· trying   ███ running   × gave up");
    Ok(())
}

fn told(error: &LockError) -> String {
    match error {
        LockError::Busy { attempts: 1, .. } => "busy, gave up at once".into(),
        LockError::Busy { attempts, .. } => format!("busy, gave up after {attempts} attempts"),
        _ => error.to_string(),
    }
}

struct Log {
    start: Instant,
    name: &'static str,
    tenant: &'static str,
}

impl Log {
    fn say(&self, what: &str) -> Duration {
        let at = self.start.elapsed();
        let Self { name, tenant, .. } = self;
        println!("{:>6} ms  {name:<5} {tenant:<7}  {what}", at.as_millis());
        at
    }
}

/// When a body ran, since the start.
struct Ran {
    from: Duration,
    to: Duration,
}

/// Bars of one width for the time of the whole run.
struct Chart {
    total: Duration,
}

const WIDTH: u32 = 30;

impl Chart {
    fn axis(&self) -> String {
        let end = format!("{} ms", self.total.as_millis());
        format!("0{end:>0$}", WIDTH as usize - 1)
    }

    fn ran(&self, ran: &Ran) -> String {
        self.bar(|at| match at {
            _ if at < ran.from => '·',
            _ if at < ran.to => '█',
            _ => ' ',
        })
    }

    fn gave_up(&self, end: Duration) -> String {
        let column = self.total / WIDTH;
        let end = end.min(self.total.saturating_sub(column));
        self.bar(|at| match at {
            _ if at < end => '·',
            _ if at < end + column => '×',
            _ => ' ',
        })
    }

    fn bar(&self, sign: impl Fn(Duration) -> char) -> String {
        (0..WIDTH)
            .map(|column| sign(self.total * (2 * column + 1) / (2 * WIDTH)))
            .collect()
    }
}
