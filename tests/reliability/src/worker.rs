//! A process that locks, again and again, until it is told to stop.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use redis_locked::{LockError, Locker};
use redis_locked_test_support::Journal;
use redis_locked_test_support::clock::monotonic_ns;
use tokio::task::JoinSet;
use tokio::time::sleep;

const TASKS: u64 = 4;
const TTL: Duration = Duration::from_secs(2);
const SERVER_TIMEOUT: Duration = Duration::from_millis(300);
/// After an error, so that failures count those who ask again and again like people's programs.
const AFTER_ERROR: Duration = Duration::from_millis(50);

/// How a worker finds the servers. Passed on to child processes as variables of the environment.
#[derive(Clone)]
pub(crate) struct Topology {
    pub(crate) kind: &'static str,
    pub(crate) urls: Vec<String>,
    /// So many replicas have to confirm each lock.
    pub(crate) replicas: u32,
}

async fn connect(kind: &str, urls: &[String], replicas: u32) -> Result<Locker, LockError> {
    let mut builder = Locker::builder();
    if replicas > 0 {
        builder = builder.replicas(replicas, Duration::from_millis(500));
    }
    match kind {
        "cluster" | "cluster-line" => builder.connect_cluster(urls).await,
        "line" => builder.connect(&urls[0]).await,
        "sentinel" => builder.connect_sentinel(urls, "mymaster").await,
        // Longer than a machine that runs all of this takes by itself.
        "quorum" => {
            builder
                .server_timeout(SERVER_TIMEOUT)
                .connect_quorum(urls)
                .await
        }
        _ => panic!("no such kind of servers: {kind}"),
    }
}

/// Whether these servers have fencing tokens.
pub(crate) fn is_fenced(kind: &str) -> bool {
    kind != "quorum"
}

/// Whether processes wait in line there.
pub(crate) fn is_in_line(kind: &str) -> bool {
    ["line", "cluster-line"].contains(&kind)
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

fn list(name: &str) -> Vec<String> {
    variable(name).split(' ').map(str::to_owned).collect()
}

/// Counts by what happened.
type Counts = BTreeMap<String, u64>;

pub(crate) async fn run() {
    let replicas = variable("REPLICAS").parse().expect("a number");
    let locker = connect(&variable("KIND"), &list("URLS"), replicas).await;
    let locker = locker.expect("the servers answer at first");
    let keys: Arc<[String]> = list("KEYS").into();
    let place = PathBuf::from(variable("PLACE"));
    let journal = Arc::new(Journal::open(&place.join("history")));
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let (locker, keys, place) = (locker.clone(), Arc::clone(&keys), place.clone());
        let journal = Arc::clone(&journal);
        tasks.spawn(async move {
            let holder = format!("{}-{task}", std::process::id());
            lock_until_stopped(&locker, &keys, &journal, &holder, task, &place).await
        });
    }
    let mut all = Counts::new();
    while let Some(counts) = tasks.join_next().await {
        for (what, count) in counts.expect("no task panics") {
            *all.entry(what).or_default() += count;
        }
    }
    for (what, count) in all {
        println!("{count} {what}");
    }
    locker.shutdown().await;
}

async fn lock_until_stopped(
    locker: &Locker,
    keys: &[String],
    journal: &Journal,
    holder: &str,
    task: u64,
    place: &Path,
) -> Counts {
    let mut counts = Counts::new();
    // The same for good, so that keys of servers that fail don't hold up the others here.
    let key = &keys[usize::try_from(task).unwrap_or(0) % keys.len()];
    let mut number = task;
    while !place.join("stop").exists() {
        number += 1;
        let hold = Duration::from_millis(number * 7 % 10);
        if let Err(error) = lock_once(locker, key, journal, holder, hold).await {
            *counts.entry(what(&error)).or_default() += 1;
            if !error.is_busy() {
                sleep(AFTER_ERROR).await;
            }
        }
        sleep(Duration::from_millis(number * 3 % 8)).await;
    }
    counts
}

async fn lock_once(
    locker: &Locker,
    key: &str,
    journal: &Journal,
    holder: &str,
    hold: Duration,
) -> Result<(), LockError> {
    let mut request = locker.lock(key).ttl(TTL);
    let kind = variable("KIND");
    if is_fenced(&kind) {
        request = request.fenced();
    } else {
        // Those who meet at a quorum have to step aside for one another.
        request = request.wait(TTL);
    }
    if is_in_line(&kind) {
        request = request.wait(10 * TTL);
    }
    let guard = request.acquire().await?;
    let fence = guard.fencing_token().map_or_else(monotonic_ns, u64::from);
    let section = journal.begin(key, fence, holder, || guard.remaining());
    sleep(hold).await;
    drop(section);
    guard.release().await
}

fn what(error: &LockError) -> String {
    match error {
        LockError::Busy { .. } => "busy".to_owned(),
        LockError::Backend {
            doing, happened, ..
        } => {
            // Without the servers' addresses, which differ each time.
            let happened = match happened.split_once(" (") {
                Some((before, _)) if before.ends_with("majority") => before,
                _ => happened.split(", at ").next().unwrap_or_default(),
            };
            format!("not {doing}: {happened}")
        }
        LockError::Lost { .. } => "lost".to_owned(),
        LockError::NotHeld { .. } => "released but not held".to_owned(),
        other => other.to_string(),
    }
}
