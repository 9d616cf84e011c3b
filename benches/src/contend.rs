//! A process that competes for a lock, and the one that starts it.
//!
//! It says that it is ready, waits for the word to go, and reports on one line.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redis_locked_test_support::{Process, Server};

use crate::ours;
use crate::peers::Contender;

const LIMIT: Duration = Duration::from_secs(120);

/// What a contender is to do.
#[derive(Debug, Clone, Copy)]
pub struct Job {
    /// Who locks: `redis-locked`, `rslock` or `redis-lock`, with ` hurried` behind it or not.
    pub who: &'static str,
    /// How many tasks it has.
    pub tasks: usize,
    /// For how long each task goes on; if zero, each locks once.
    pub time: Duration,
}

/// How it went.
#[derive(Debug, Clone, Copy)]
pub struct Report {
    /// How often the lock was acquired.
    pub acquired: u64,
    /// The longest that a task had to wait, whether or not it got the lock in the end.
    pub longest: Duration,
}

/// Starts so many contenders; they wait for [`start`].
///
/// # Panics
///
/// When one does not start.
pub async fn prepare(program: &Path, server: &Server, job: Job, count: usize) -> Vec<Process> {
    let launch = |_| {
        Process::program(program)
            .arg(server.url())
            .arg(job.who)
            .arg(job.tasks.to_string())
            .arg(job.time.as_micros().to_string())
            .start()
    };
    let processes: Vec<Process> = (0..count).map(launch).collect();
    for process in &processes {
        process.wait_for_line("ready", LIMIT).await;
    }
    processes
}

/// Has all contenders begin.
///
/// # Panics
///
/// When the server does not answer.
pub async fn start(server: &Server, contenders: &[Process]) {
    let mut connection = server.connection().await;
    let mut push = redis::cmd("LPUSH");
    push.arg("go");
    for _ in contenders {
        push.arg(1);
    }
    push.exec_async(&mut connection).await.expect("pushes");
}

/// Waits for the report of each.
///
/// # Panics
///
/// When one does not end.
pub async fn reports(contenders: &[Process]) -> Vec<Report> {
    let mut reports = Vec::new();
    for contender in contenders {
        let line = contender.wait_for_line("done", LIMIT).await;
        let numbers: Vec<u64> = line
            .split(' ')
            .filter_map(|word| word.parse().ok())
            .collect();
        reports.push(Report {
            acquired: numbers[0],
            longest: Duration::from_micros(numbers[1]),
        });
    }
    reports
}

/// What the program does, with these arguments.
///
/// # Panics
///
/// When the arguments are not those that [`prepare`] gives, or the server does not answer.
pub async fn main(arguments: &[String]) {
    let [url, who, tasks, time] = arguments else {
        panic!("not to be run by hand: {arguments:?}")
    };
    let (who, hurried) = match who.strip_suffix(" hurried") {
        Some(who) => (who, true),
        None => (who.as_str(), false),
    };
    let mut contender = match who {
        "redis-locked" => {
            ours::install(url).await;
            Contender::Ours
        }
        "rslock" => Contender::rslock(url),
        "redis-lock" => Contender::redis_lock(url).await,
        other => panic!("no contender: {other}"),
    };
    if hurried {
        contender = contender.hurried().expect("it pauses between attempts");
    }
    let tasks: usize = tasks.parse().expect("a number");
    let time = Duration::from_micros(time.parse().expect("a number"));

    let client = redis::Client::open(url.as_str()).expect("a valid url");
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
    let connection = client.get_multiplexed_async_connection_with_config(&config);
    let mut connection = connection.await.expect("connects");
    println!("ready");
    let mut go = redis::cmd("BLPOP");
    go.arg("go").arg(0);
    go.exec_async(&mut connection).await.expect("goes");

    let report = compete(&contender, tasks, time).await;
    println!("done {} {}", report.acquired, report.longest.as_micros());
}

/// Has so many tasks of this process compete for the lock.
///
/// # Panics
///
/// When one can't lock.
pub async fn compete(contender: &Contender, tasks: usize, time: Duration) -> Report {
    let started = Instant::now();
    let now = move || u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    let tallies: Vec<Arc<Tally>> = (0..tasks).map(|_| Arc::default()).collect();
    let running: Vec<_> = tallies
        .iter()
        .map(|tally| {
            let (mut contender, tally) = (contender.clone(), Arc::clone(tally));
            tokio::spawn(async move {
                loop {
                    let called = now();
                    tally.waiting_since.store(called, Ordering::Relaxed);
                    let entered = contender.queue("one").await.duration_since(started);
                    let waited = u64::try_from(entered.as_micros()).unwrap_or(u64::MAX);
                    let waited = waited.saturating_sub(called);
                    tally.longest.fetch_max(waited, Ordering::Relaxed);
                    if !time.is_zero() && entered >= time {
                        return;
                    }
                    tally.acquired.fetch_add(1, Ordering::Relaxed);
                    if time.is_zero() {
                        return;
                    }
                }
            })
        })
        .collect();
    if time.is_zero() {
        for task in running {
            task.await.expect("locks");
        }
    } else {
        tokio::time::sleep_until((started + time).into()).await;
        let end = now();
        for (tally, task) in tallies.iter().zip(running) {
            if !task.is_finished() {
                let waited = end.saturating_sub(tally.waiting_since.load(Ordering::Relaxed));
                tally.longest.fetch_max(waited, Ordering::Relaxed);
            }
            // Not cut off: a peer's lock would stay until its ttl is over.
            task.await.expect("locks");
        }
    }
    Report {
        acquired: sum(&tallies),
        longest: longest(&tallies),
    }
}

#[derive(Default)]
struct Tally {
    acquired: AtomicU64,
    longest: AtomicU64,
    waiting_since: AtomicU64,
}

fn sum(tallies: &[Arc<Tally>]) -> u64 {
    let acquired = tallies.iter();
    acquired
        .map(|tally| tally.acquired.load(Ordering::Relaxed))
        .sum()
}

fn longest(tallies: &[Arc<Tally>]) -> Duration {
    let longest = tallies.iter();
    let longest = longest.map(|tally| tally.longest.load(Ordering::Relaxed));
    Duration::from_micros(longest.max().unwrap_or_default())
}
