//! Three processes whose clocks differ, killed at random, with a body that fails every third time: no
//! period has two successes, and none has none while a process lives.
//!
//! The suite watches a dozen periods of one second. `PERIODS=500 cargo nextest run --test
//! once_per_processes` watches as many as it says.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::time::{Duration, SystemTime};

use redis_locked::Locker;
use redis_locked_test_support::{Process, Server};
use tokio::time::{Instant, sleep};

const LIMIT: Duration = Duration::from_secs(20);

/// One period of the job, in milliseconds; so much before its beginning a run counts to it.
const PERIOD: u64 = 1000;
const PERIOD_TIME: Duration = Duration::from_millis(PERIOD);
const EARLY: u64 = 100;
/// How often each process asks, by its own clock.
const EVERY: u64 = 150;
const TTL: Duration = Duration::from_millis(300);
/// What the clocks of the processes are off by, in milliseconds.
const OFF: [i64; 3] = [-4_990, 1_370, 5_000];
const KILL_EVERY: Duration = Duration::from_millis(2_700);
/// Whoever looks at the record so often sees each period.
const LOOK: Duration = Duration::from_millis(50);

fn millis_since_1970() -> u64 {
    let now = SystemTime::UNIX_EPOCH.elapsed().expect("it is later");
    u64::try_from(now.as_millis()).expect("not so late")
}

fn period_at(millis: u64) -> u64 {
    (millis + EARLY) / PERIOD * PERIOD
}

/// The periods from one time to the other.
fn between(from: u64, to: u64) -> impl Iterator<Item = u64> {
    (period_at(from) / PERIOD..=period_at(to) / PERIOD).map(|number| number * PERIOD)
}

/// One of the processes: asks whenever its own clock says so.
#[tokio::test]
#[ignore = "run by the other, as a process"]
async fn worker() {
    let text = |name| env::var(name).expect("given");
    let off: i64 = text("OFF").parse().expect("a number");
    let locker = Locker::connect(&text("REDIS")).await.expect("connected");
    println!("ready");
    for run in 0_u64.. {
        let clock = millis_since_1970().saturating_add_signed(off);
        sleep(Duration::from_millis(EVERY - clock % EVERY)).await;
        let request = locker.lock("job").ttl(TTL).renew();
        let guard = match request.once_per(PERIOD_TIME).acquire().await {
            Ok(guard) => guard,
            Err(error) if error.is_busy() || error.is_already_done() => continue,
            Err(error) => {
                println!("trouble {error}");
                continue;
            }
        };
        let period = period_of(&locker).await;
        sleep(Duration::from_millis(10 + run * 7 % 50)).await;
        let succeeds = run % 3 != 2;
        let ended = if succeeds {
            guard.release().await
        } else {
            guard.fail().await
        };
        match ended {
            Ok(()) => println!("{succeeds} {period}"),
            // This machine stood still for longer than the ttl. Whether that was written, the record tells.
            Err(error) if error.is_not_held() => {}
            Err(error) => println!("trouble {error}"),
        }
    }
}

/// The period of the run that this process is at.
async fn period_of(locker: &Locker) -> u64 {
    let run = locker.last_run("job").await.expect("read");
    let started = run.expect("this one").started;
    let started = started.duration_since(SystemTime::UNIX_EPOCH);
    period_at(u64::try_from(started.expect("later").as_millis()).expect("not so late"))
}

struct Crew {
    server: Server,
    workers: Vec<Process>,
    /// Killed before.
    dead: Vec<Process>,
}

impl Crew {
    async fn start() -> Self {
        let mut crew = Self {
            server: Server::start().await,
            workers: Vec::new(),
            dead: Vec::new(),
        };
        for off in OFF {
            crew.workers.push(crew.launch(off).await);
        }
        crew
    }

    async fn launch(&self, off: i64) -> Process {
        let process = Process::test("worker")
            .env("REDIS", self.server.url())
            .env("OFF", off.to_string())
            .start();
        process.wait_for_line("ready", LIMIT).await;
        process
    }

    /// Kills one, and tells when.
    async fn kill(&mut self, which: usize) -> u64 {
        let new = self.launch(OFF[which]).await;
        let old = std::mem::replace(&mut self.workers[which], new);
        let at = millis_since_1970();
        old.kill();
        self.dead.push(old);
        at
    }

    /// What the processes say: by period, who has succeeded and who has failed.
    fn told(&self) -> [BTreeMap<u64, Vec<u32>>; 2] {
        let mut told = [BTreeMap::new(), BTreeMap::new()];
        for process in self.workers.iter().chain(&self.dead) {
            for line in process.lines() {
                let (which, period) = match line.split_once(' ') {
                    Some(("true", period)) => (0, period),
                    Some(("false", period)) => (1, period),
                    Some(("trouble", trouble)) => panic!("{trouble}"),
                    _ => continue,
                };
                let period = period.parse().expect("a period");
                let runs: &mut Vec<u32> = told[which].entry(period).or_default();
                runs.push(process.id());
            }
        }
        told
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_period_has_one_success() {
    let periods = env::var("PERIODS").map_or(12, |count| count.parse().expect("a number"));
    let mut crew = Crew::start().await;
    // By the server: which periods are done.
    let mut done = BTreeSet::new();
    // What may have none: a process was killed that was at it, or this machine stood still.
    let mut excused = BTreeSet::new();
    let mut kill_at = Instant::now() + KILL_EVERY;
    let (mut kills, mut looked) = (0_usize, millis_since_1970());
    while done.len() < periods {
        sleep(LOOK).await;
        if Instant::now() >= kill_at {
            let at = crew.kill(kills * 7 % OFF.len()).await;
            kills += 1;
            let ttl = u64::try_from(TTL.as_millis()).expect("short");
            excused.extend(between(at, at + ttl + 2 * EVERY));
            kill_at = Instant::now() + KILL_EVERY;
        }
        let record = crew.server.hget("{job}:last", "done").await;
        if let Some(period) = record {
            done.insert(period.parse::<u64>().expect("a number"));
        }
        let now = millis_since_1970();
        if now - looked > 300 {
            excused.extend(between(looked, now + PERIOD));
        }
        looked = now;
    }
    let [succeeded, failed] = crew.told();
    let twice: Vec<_> = succeeded.iter().filter(|(_, by)| by.len() > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    assert!(
        succeeded.keys().all(|period| done.contains(period)),
        "{done:?}"
    );
    let all = done.first().copied().zip(done.last().copied());
    let (first, last) = all.expect("some");
    let missing = (first / PERIOD..last / PERIOD).map(|number| number * PERIOD);
    let missing: Vec<_> = missing.filter(|period| !done.contains(period)).collect();
    let unexcused: Vec<_> = missing
        .iter()
        .filter(|period| !excused.contains(period))
        .collect();
    println!(
        "{} periods done, {kills} kills, {} runs failed, {} without a success, {} excused",
        done.len(),
        failed.values().map(Vec::len).sum::<usize>(),
        missing.len(),
        missing.len() - unexcused.len()
    );
    assert!(unexcused.is_empty(), "{unexcused:?} of {done:?}");
    // What has failed was run again in its period, now and then by another process.
    let mended = failed.iter().filter(|(period, by)| {
        let again = succeeded.get(period);
        again.is_some_and(|again| !by.contains(&again[0]))
    });
    assert!(mended.count() > 0, "{failed:?}, {succeeded:?}");
    assert!(kills > 1);
}
