//! Other clients exclude us and are excluded by us, hundreds of times, holding at random times.
//!
//! Whoever has the lock checks on another server that nobody else is inside.

use std::path::{Path, PathBuf};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, FromRedisValue, cmd};
use redis_locked::{Backoff, Locker};
use redis_locked_test_support::{Process, Server};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

/// How often each of our two workers, and each of theirs, takes the lock.
const ROUNDS: u32 = 250;
const TTL: Duration = Duration::from_secs(30);
const LIMIT: Duration = Duration::from_secs(120);

/// The server with the lock, and the one by which the holders check each other.
struct Arena {
    locks: Server,
    guard: Server,
}

impl Arena {
    async fn new() -> Self {
        let (locks, guard) = (Server::start().await, Server::start().await);
        Self { locks, guard }
    }

    async fn checker(&self, side: &'static str) -> Checker {
        let connection = self.guard.connection().await;
        Checker { connection, side }
    }

    /// Two workers of ours, one woken and one that tries again and again.
    async fn ours(&self, workers: &mut JoinSet<()>) {
        for waits in [true, false] {
            let locker = Locker::connect(&self.locks.url()).await.expect("connected");
            let mut checker = self.checker("ours").await;
            workers.spawn(async move {
                for _ in 0..ROUNDS {
                    let request = locker.lock("k").ttl(TTL);
                    let request = if waits {
                        request.wait(LIMIT)
                    } else {
                        let pause = Backoff::exponential(
                            Duration::from_millis(1),
                            Duration::from_millis(4),
                        );
                        request.retries(1_000_000).backoff(pause)
                    };
                    let guard = request.acquire().await.expect("its turn comes");
                    checker.inside().await;
                    guard.release().await.expect("still ours");
                    pause(0).await;
                }
            });
        }
    }

    /// Everyone had all their turns, nobody beside another, and the turns were mixed.
    async fn check(&self) {
        let mut checker = self.checker("nobody").await;
        let mut count = async |key: &str| {
            let count: Option<u32> = checker.ask(cmd("GET").arg(key)).await;
            count.unwrap_or(0)
        };
        assert_eq!(count("violations").await, 0);
        assert_eq!(count("inside").await, 0);
        assert_eq!(count("rounds:ours").await, 2 * ROUNDS);
        assert_eq!(count("rounds:theirs").await, ROUNDS);
        let turns = count("turns").await;
        println!("the lock went to the other side {turns} times");
        assert!(turns >= 100, "{turns}: they hardly met");
    }
}

/// Whoever is inside makes sure to be alone.
struct Checker {
    connection: MultiplexedConnection,
    side: &'static str,
}

impl Checker {
    async fn ask<T: FromRedisValue>(&mut self, command: &Cmd) -> T {
        let answer = command.query_async(&mut self.connection).await;
        answer.expect("the server answers")
    }

    async fn inside(&mut self) {
        if self.ask::<u32>(cmd("INCR").arg("inside")).await != 1 {
            self.ask::<()>(cmd("INCR").arg("violations")).await;
        }
        let last: Option<String> = self.ask(cmd("GETSET").arg("last").arg(self.side)).await;
        if last.as_deref() != Some(self.side) {
            self.ask::<()>(cmd("INCR").arg("turns")).await;
        }
        pause(1).await;
        self.ask::<()>(cmd("INCR").arg(format!("rounds:{}", self.side)))
            .await;
        self.ask::<()>(cmd("DECR").arg("inside")).await;
    }
}

/// Up to 5 ms.
async fn pause(from: u64) {
    sleep(Duration::from_micros(rand::random_range(
        from * 1000..=5000,
    )))
    .await;
}

async fn all(mut workers: JoinSet<()>) {
    let ended = async {
        while let Some(worker) = workers.join_next().await {
            worker.expect("no panic");
        }
    };
    timeout(LIMIT, ended).await.expect("ends");
}

/// Beside a client in another language, if what it needs was brought.
async fn beside_program(program: &str, script: &str, variable: &str, library: &str) {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let library: PathBuf = package.join("../../target/clients").join(library);
    if !library.exists() {
        eprintln!("skipped: ./scripts/clients.sh brings what {script} needs");
        return;
    }
    let arena = Arena::new().await;
    let mut workers = JoinSet::new();
    arena.ours(&mut workers).await;
    let theirs = Process::program(program)
        .arg(package.join(script))
        .env(variable, library)
        .env("LOCKS", arena.locks.url())
        .env("GUARD", arena.guard.url())
        .env("ROUNDS", ROUNDS.to_string())
        .start();
    all(workers).await;
    assert!(theirs.wait(LIMIT).await.success(), "{script} failed");
    arena.check().await;
}

#[tokio::test]
async fn redis_py() {
    beside_program("python3", "lock.py", "PYTHONPATH", "python").await;
}

#[tokio::test]
async fn node_redlock() {
    beside_program("node", "lock.js", "NODE_PATH", "node/node_modules").await;
}

#[tokio::test]
async fn rslock() {
    let arena = Arena::new().await;
    let mut workers = JoinSet::new();
    arena.ours(&mut workers).await;
    let mut manager = rslock::LockManager::new(vec![arena.locks.url()]);
    manager.set_retry(1_000_000, Duration::from_millis(4));
    let mut checker = arena.checker("theirs").await;
    workers.spawn(async move {
        for _ in 0..ROUNDS {
            let lock = manager
                .acquire_no_guard(b"k", TTL)
                .await
                .expect("its turn comes");
            checker.inside().await;
            manager.unlock(&lock).await;
            pause(0).await;
        }
    });
    all(workers).await;
    arena.check().await;
}

/// `SET NX PX`, and a delete that compares.
#[tokio::test]
async fn plain_commands() {
    const RELEASE: &str = "if redis.call('get', KEYS[1]) == ARGV[1] then return redis.call('del', KEYS[1]) else return 0 end";
    let arena = Arena::new().await;
    let mut workers = JoinSet::new();
    arena.ours(&mut workers).await;
    let mut locks = arena.locks.connection().await;
    let mut checker = arena.checker("theirs").await;
    workers.spawn(async move {
        for round in 0..ROUNDS {
            let token = format!("theirs-{round}");
            let mut set = cmd("SET");
            set.arg("k").arg(&token).arg("NX").arg("PX").arg(30_000);
            while set
                .query_async::<Option<String>>(&mut locks)
                .await
                .expect("an answer")
                .is_none()
            {
                pause(1).await;
            }
            checker.inside().await;
            let mut release = cmd("EVAL");
            release.arg(RELEASE).arg(1).arg("k").arg(&token);
            let deleted: u32 = release.query_async(&mut locks).await.expect("an answer");
            assert_eq!(deleted, 1, "it was not theirs any more");
            pause(0).await;
        }
    });
    all(workers).await;
    arena.check().await;
}
