//! A process whose lockers visit one key. Tests and benchmarks start it many times, also built of an
//! old commit (`scripts/before.sh`): so it says in plain lines what happens, and needs nothing but
//! the library.
//!
//! ```text
//! visitors visit <lockers> <tasks> <visits>    each task of each locker visits the key so often
//! visitors rate <lockers> <tasks> <millis>      each visits it again and again, for so long
//! visitors alone plain|wait <calls>            one locker takes a free key so often
//! ```
//!
//! By variables: `SERVER` (a URL, or several with spaces between them), `KIND` (`one`, `cluster` or
//! `sentinel`), `KEY`, `TTL_MS`, `HOLD_US` (how long a visit lasts), `RENEW` (if it is set), and
//! `HISTORY`, a file to which `visit` appends what `redis_locked_test_support::history` reads. If `GO` names a
//! file, it begins when that is there.

use std::env;
use std::fmt::Display;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis_locked::{LockGuard, LockRequest, Locker};
use rustix::time::{ClockId, clock_gettime};
use tokio::task::JoinSet;

/// Longer than any test: who is not served by then is lost.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    runtime.block_on(async {
        match words[..] {
            ["visit", lockers, tasks, visits] => {
                visit(number(lockers), number(tasks), number(visits)).await;
            }
            ["rate", lockers, tasks, millis] => {
                let time = Duration::from_millis(number(millis));
                rate(number(lockers), number(tasks), time).await;
            }
            ["alone", how, calls] => alone(how == "wait", number(calls)).await,
            _ => panic!("{words:?}? The head of its source says what it does."),
        }
    });
}

fn number<T: FromStr>(word: &str) -> T {
    let number = word.parse().ok();
    number.unwrap_or_else(|| panic!("{word:?} is no number that fits"))
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("{name} is not set"))
}

/// What all visits have in common.
#[derive(Clone)]
struct Plan {
    key: Arc<str>,
    ttl: Duration,
    hold: Duration,
    renews: bool,
}

impl Plan {
    fn new() -> Self {
        Self {
            key: variable("KEY").into(),
            ttl: Duration::from_millis(number(&variable("TTL_MS"))),
            hold: Duration::from_micros(number(&variable("HOLD_US"))),
            renews: env::var_os("RENEW").is_some(),
        }
    }

    fn request(&self, locker: &Locker) -> LockRequest {
        let request = locker.lock(&*self.key).ttl(self.ttl);
        if self.renews {
            request.renew()
        } else {
            request
        }
    }

    async fn hold(&self) {
        if !self.hold.is_zero() {
            tokio::time::sleep(self.hold).await;
        }
    }
}

/// A locker with connections of its own, as a process has them.
async fn locker(name: &str) -> Locker {
    let servers = variable("SERVER");
    let mut urls = servers.split(' ');
    let builder = Locker::builder()
        .owner(name)
        .connection_timeout(Duration::from_secs(5))
        .response_timeout(Duration::from_secs(5));
    let connected = match env::var("KIND").as_deref().unwrap_or("one") {
        #[cfg(feature = "servers")]
        "cluster" => builder.connect_cluster(urls).await,
        #[cfg(feature = "servers")]
        "sentinel" => builder.connect_sentinel(urls, "mymaster").await,
        _ => builder.connect(urls.next().unwrap_or_default()).await,
    };
    connected.expect("the servers answer")
}

/// Who is told on `Busy`, and by what the tests find this process's entries.
async fn lockers(count: usize) -> Vec<Locker> {
    let mut lockers = Vec::new();
    for number in 0..count {
        lockers.push(locker(&format!("{}-{number}", std::process::id())).await);
    }
    lockers
}

fn say(line: impl Display) {
    println!("{line}");
}

/// Says that it is ready, and waits for the word.
async fn ready() {
    say("ready");
    if let Some(go) = env::var_os("GO") {
        while !Path::new(&go).exists() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

async fn visit(lockers: usize, tasks: usize, visits: usize) {
    let plan = Plan::new();
    let history = Arc::new(History::open());
    let lockers = self::lockers(lockers).await;
    ready().await;
    let mut all = JoinSet::new();
    for (at, locker) in lockers.iter().enumerate() {
        for task in 0..tasks {
            let (locker, plan, history) = (locker.clone(), plan.clone(), Arc::clone(&history));
            all.spawn(async move {
                for number in 0..visits {
                    let holder = format!("{}-{at}-{task}-{number}", std::process::id());
                    visit_once(&locker, &plan, &history, &holder).await;
                }
            });
        }
    }
    while let Some(task) = all.join_next().await {
        task.expect("no panic");
    }
    for locker in lockers {
        locker.shutdown().await;
    }
}

async fn visit_once(locker: &Locker, plan: &Plan, history: &History, holder: &str) {
    let came = now();
    let request = plan.request(locker).fenced().wait(PATIENCE);
    match request.acquire().await {
        Ok(guard) => {
            history.begin(&plan.key, holder, came, &guard);
            plan.hold().await;
            history.end(&plan.key, holder, &guard);
            // Who was cut off hears here that the lock is gone.
            if let Err(error) = guard.release().await {
                say(format_args!("{holder}: {error}"));
            }
        }
        Err(error) => say(format_args!("{holder}: {error}")),
    }
}

/// Nanoseconds of a clock that all processes of the machine share.
fn now() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    let part = |number: i64| u64::try_from(number).unwrap_or(0);
    part(now.tv_sec) * 1_000_000_000 + part(now.tv_nsec)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A line a write, so that those of several processes do not mix.
struct History(File);

impl History {
    fn open() -> Self {
        let path = variable("HISTORY");
        let file = OpenOptions::new().append(true).create(true).open(&path);
        Self(file.unwrap_or_else(|error| panic!("{path}: {error}")))
    }

    fn write(&self, line: &str) {
        (&self.0).write_all(line.as_bytes()).expect("written");
    }

    fn begin(&self, key: &str, holder: &str, came: u64, guard: &LockGuard) {
        // The clock first: a process stopped in between must not record too late a deadline.
        let now = now();
        let deadline = now.saturating_add(nanos(guard.remaining()));
        let (fence, token) = (fence(guard), guard.token());
        self.write(&format!(
            "came {key} {fence} {holder} {came} {token}\n\
             begin {key} {fence} {holder} {now} {deadline}\n"
        ));
    }

    fn end(&self, key: &str, holder: &str, guard: &LockGuard) {
        let fence = fence(guard);
        // What was extended is known before its end.
        let now = now();
        let deadline = now.saturating_add(nanos(guard.remaining()));
        self.write(&format!("end {key} {fence} {holder} {now} {deadline}\n"));
    }
}

fn fence(guard: &LockGuard) -> u64 {
    guard.fencing_token().expect("fenced").into()
}

/// How many visits there were, and the longest wait for one.
async fn rate(lockers: usize, tasks: usize, time: Duration) {
    let plan = Plan::new();
    let lockers = self::lockers(lockers).await;
    ready().await;
    let end = Instant::now() + time;
    let mut all = JoinSet::new();
    for locker in lockers.iter().flat_map(|locker| vec![locker; tasks]) {
        let locker = locker.clone();
        let plan = plan.clone();
        all.spawn(async move {
            let (mut visits, mut longest) = (0_u64, Duration::ZERO);
            while Instant::now() < end {
                let called = Instant::now();
                let request = plan.request(&locker).wait(PATIENCE);
                let guard = request.acquire().await.expect("its turn");
                longest = longest.max(called.elapsed());
                plan.hold().await;
                guard.release().await.expect("ours");
                visits += 1;
            }
            (visits, longest)
        });
    }
    let (mut visits, mut longest) = (0, Duration::ZERO);
    while let Some(locker) = all.join_next().await {
        let (more, wait) = locker.expect("no panic");
        visits += more;
        longest = longest.max(wait);
    }
    say(format_args!("done {visits} {}", longest.as_micros()));
}

/// The median of so many calls, in nanoseconds.
async fn alone(waits: bool, calls: usize) {
    let plan = Plan::new();
    let locker = locker("alone").await;
    ready().await;
    // In a task, as servers run their work.
    let measuring = tokio::spawn(async move {
        let mut times = Vec::new();
        for _ in 0..calls {
            let called = Instant::now();
            let request = plan.request(&locker);
            let request = if waits {
                request.wait(PATIENCE)
            } else {
                request
            };
            let guard = request.acquire().await.expect("free");
            guard.release().await.expect("ours");
            times.push(called.elapsed().as_nanos());
        }
        times.sort_unstable();
        times[times.len() / 2]
    });
    say(format_args!("done {}", measuring.await.expect("no panic")));
}
