//! Processes that are killed, stopped and cut off exclude one another all the same, and no more of them
//! have a key than there are permits; also where masters fail over.
//!
//! The suite watches some hundred sections of each kind. `SECTIONS=10000 cargo nextest run --all-features --test
//! history --no-capture` watches as many as it says.

#[cfg(feature = "cluster")]
#[path = "history/failover.rs"]
mod failover;

use std::env;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis_locked::{Lease, LockRequest, Locker};
use redis_locked_test_support::history::{Kind, Summary, check};
use redis_locked_test_support::{Directory, Journal, Process, Proxy, Server};
use tokio::time::sleep;

const PROCESSES: usize = 4;
const TASKS: usize = 8;
const KEYS: [&str; 3] = ["a", "b", "c"];
const TTL: Duration = Duration::from_millis(700);
const LIMIT: Duration = Duration::from_secs(30);

fn random(below: u64) -> u64 {
    RandomState::new().hash_one(below) % below
}

fn millis(below: u64) -> Duration {
    Duration::from_millis(random(below))
}

/// One of the processes: its tasks lock and hold until it is killed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "started as a child by the other tests"]
async fn child() {
    let (Ok(servers), Some(path)) = (env::var("SERVERS"), env::var_os("HISTORY")) else {
        return;
    };
    let locker = connect(&servers).await;
    let journal = Arc::new(Journal::open(Path::new(&path)));
    for task in 0..TASKS {
        let (locker, journal) = (locker.clone(), journal.clone());
        tokio::spawn(async move {
            let holder = format!("{}-{task}", std::process::id());
            for number in 0.. {
                let key = KEYS[usize::try_from(random(3)).unwrap_or(0)];
                let holder = format!("{holder}-{number}");
                let kind = kind(key);
                let body = section(&journal, kind, key, &holder);
                // Lost, busy or broken: on to the next.
                let _ = request(&locker, kind, key).run(body).await;
                sleep(millis(5)).await;
            }
        });
    }
    println!("ready");
    std::future::pending::<()>().await;
}

/// One key of three is held alone only; one by some at a time, whose number is not always the same; one
/// by readers and writers. Each of the latter is also held in the other ways now and then.
fn kind(key: &str) -> Kind {
    match (key, random(10)) {
        ("a", _) | (_, 0) => Kind::Exclusive,
        ("b", 1) | ("c", 1..) => Kind::Shared,
        ("b", 2) => Kind::Permit(2),
        _ => Kind::Permit(3),
    }
}

fn request(locker: &Locker, kind: Kind, key: &str) -> LockRequest {
    let request = locker.lock(key).ttl(TTL).fenced();
    let request = match kind {
        Kind::Exclusive => request,
        Kind::Permit(number) => request.permits(u32::try_from(number).unwrap_or(1)),
        Kind::Shared => request.shared(),
    };
    let request = match random(4) {
        0 => request.retries(20).backoff(Duration::from_millis(10)),
        _ => request.wait(3 * TTL),
    };
    match random(3) {
        0 => request.renew(),
        1 => request.renew().max_hold(TTL / 2),
        _ => request,
    }
}

/// Mostly short; now and then longer than the ttl, so that some are renewed and some cut off.
async fn section(journal: &Journal, kind: Kind, key: &str, holder: &str) {
    let lease = Lease::current().expect("in a body");
    let fence = u64::from(lease.fencing_token().expect("fenced"));
    let entry = journal.begin_as(kind, key, fence, holder, || lease.remaining());
    let longest = if random(20) == 0 { 1_000 } else { 15 };
    let end = Instant::now() + millis(longest);
    while Instant::now() < end {
        sleep(millis(10)).await;
        entry.extend(|| lease.remaining());
    }
}

/// To one server, or to the nodes of a cluster.
async fn connect(servers: &str) -> Locker {
    let builder = Locker::builder()
        .response_timeout(TTL / 2)
        .connection_timeout(TTL);
    #[cfg(feature = "cluster")]
    if servers.contains(' ') {
        return failover::connect(builder, servers).await;
    }
    builder.from_client(redis::Client::open(servers).expect("a url"))
}

async fn launch(servers: &str, history: &Path) -> Process {
    let process = Process::test("child")
        .env("SERVERS", servers)
        .env("HISTORY", history)
        .start();
    process.wait_for_line("ready", LIMIT).await;
    process
}

/// What the processes write, and how much of it there is to be.
struct History {
    directory: Directory,
    sections: usize,
}

impl History {
    fn new() -> Self {
        let sections = env::var("SECTIONS").map_or(200, |count| count.parse().expect("a number"));
        Self {
            directory: Directory::new(),
            sections,
        }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("history")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path()).expect("a history")
    }

    /// Whether there are so many sections of each kind.
    fn is_long_enough(&self) -> bool {
        let begins = |kind: fn(&str) -> bool| {
            let history = self.text();
            let lines = history.lines().filter(|line| line.starts_with("begin "));
            let kinds = lines.map(|line| line.split(' ').nth(6).unwrap_or_default());
            kinds.filter(|word| kind(word)).count()
        };
        let kinds: [fn(&str) -> bool; 3] = [
            str::is_empty,
            |word| word.starts_with('p'),
            |word| word == "s",
        ];
        kinds.into_iter().all(|kind| begins(kind) >= self.sections)
    }

    /// Judges it, when all processes have ended.
    fn check(&self) -> Summary {
        let history = self.text();
        match check(&history) {
            Ok(summary) => {
                assert!(summary.fewest_of_a_kind() >= self.sections, "{summary:?}");
                summary
            }
            Err(violations) => {
                let kept = env::temp_dir().join(format!("history-{}", std::process::id()));
                fs::write(&kept, history).expect("keep it");
                panic!("{violations:#?}, kept in {}", kept.display())
            }
        }
    }
}

struct Member {
    proxy: Proxy,
    process: Process,
}

impl Member {
    async fn start(server: &Server, history: &Path) -> Self {
        let proxy = server.proxy().await;
        let process = launch(&proxy.url(), history).await;
        Self { proxy, process }
    }

    async fn restart(&mut self, history: &Path) {
        self.process.kill();
        self.process = launch(&self.proxy.url(), history).await;
    }
}

#[derive(Debug, Default)]
struct Faults {
    kills: usize,
    stops: usize,
    cuts: usize,
    stalls: usize,
}

impl Faults {
    fn has_all(&self) -> bool {
        let Self {
            kills,
            stops,
            cuts,
            stalls,
        } = *self;
        [kills, stops, cuts, stalls].iter().all(|&count| count > 0)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_two_hold_a_key_at_once_and_no_more_than_may() {
    let server = Server::start().await;
    let history = History::new();
    let path = history.path();
    let mut members = Vec::new();
    for _ in 0..PROCESSES {
        members.push(Member::start(&server, &path).await);
    }
    let mut faults = Faults::default();
    while !faults.has_all() || !history.is_long_enough() {
        sleep(millis(250)).await;
        let chosen = usize::try_from(random(4)).unwrap_or(0);
        let member = &mut members[chosen];
        match random(4) {
            0 => {
                member.restart(&path).await;
                faults.kills += 1;
            }
            1 => {
                member.process.stop();
                sleep(millis(1_500)).await;
                member.process.resume();
                faults.stops += 1;
            }
            2 => {
                member.proxy.cut().await;
                faults.cuts += 1;
            }
            _ => {
                member.proxy.stall_requests(true);
                sleep(millis(900)).await;
                member.proxy.stall_requests(false);
                faults.stalls += 1;
            }
        }
    }
    drop(members);
    let summary = history.check();
    println!("{summary:?}, {faults:?}");
    assert!(summary.beside_others > 20, "{summary:?}");
    assert!(
        summary.unfinished > 0,
        "nobody was killed in a section: {summary:?}"
    );
}
