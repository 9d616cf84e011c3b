//! A process that runs an annotated function under one subscriber, and the one that asks it to.
//!
//! Each is a process of its own, since what one subscriber wants is known to all threads.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use redis_locked::{LockError, Locker, redis_locked};
use redis_locked_test_support::{Process, Server};
use tracing::Level;
use tracing::level_filters::{LevelFilter, STATIC_MAX_LEVEL};

use crate::raw::Raw;
use crate::sample::{median, micros_since};

const LIMIT: Duration = Duration::from_secs(120);

/// Of these, each is timed.
const CALLS_ON_REDIS: usize = 200;

/// These are timed as a whole, since reading the clock takes a part of what one takes.
const CALLS_IN_MEMORY: u32 = 4_000;

/// A running process.
pub struct Traced {
    process: Process,
    list: String,
}

impl Traced {
    /// Starts the program with this subscriber: `none`, `warn` or `all`; or `off`, if it is built
    /// without traces.
    ///
    /// # Panics
    ///
    /// When it does not start, or is not built so.
    pub async fn start(program: &Path, server: &Server, subscriber: &str) -> Self {
        let list = format!("traced:{}", Raw::token());
        let process = Process::program(program)
            .arg(server.url())
            .arg(&list)
            .arg(subscriber)
            .start();
        let traced = Self { process, list };
        assert_eq!(traced.process.line(LIMIT).await, "ready");
        traced
    }

    /// Microseconds that a run takes on Redis, and raw commands in the same moments.
    ///
    /// # Panics
    ///
    /// When it does not answer.
    pub async fn on_redis(&self, server: &Server) -> (f64, f64) {
        let line = self.ask(server, "redis").await;
        let (run, raw) = line.split_once(' ').expect("two numbers");
        let number = |text: &str| text.parse().expect("a number");
        (number(run), number(raw))
    }

    /// Microseconds that a run takes in memory.
    ///
    /// # Panics
    ///
    /// When it does not answer.
    pub async fn in_memory(&self, server: &Server) -> f64 {
        let line = self.ask(server, "memory").await;
        line.parse().expect("a number")
    }

    async fn ask(&self, server: &Server, job: &str) -> String {
        let mut connection = server.connection().await;
        let mut push = redis::cmd("LPUSH");
        push.arg(&self.list).arg(job);
        push.exec_async(&mut connection).await.expect("pushes");
        self.process.line(LIMIT).await
    }
}

#[redis_locked(key = "traced:{id}", ttl = "10s", locker = locker)]
async fn call(locker: &Locker, id: usize) -> Result<(), LockError> {
    Ok(())
}

/// What the program does, with these arguments.
///
/// # Panics
///
/// When the arguments are not those that [`Traced::start`] gives, or the server does not answer.
pub async fn main(arguments: &[String]) {
    let [url, list, subscriber] = arguments else {
        panic!("not to be run by hand: {arguments:?}")
    };
    let all = tracing_subscriber::fmt().with_writer(io::sink);
    match subscriber.as_str() {
        "off" => assert_eq!(STATIC_MAX_LEVEL, LevelFilter::OFF),
        _ if STATIC_MAX_LEVEL == LevelFilter::OFF => panic!("built without traces"),
        "none" => {}
        "warn" => all.with_max_level(Level::WARN).init(),
        "all" => all.with_max_level(Level::TRACE).init(),
        other => panic!("no subscriber: {other}"),
    }
    let client = redis::Client::open(url.as_str()).expect("a valid url");
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(None);
    let connection = client.get_multiplexed_async_connection_with_config(&config);
    let mut connection = connection.await.expect("connects");
    let raw = Raw::connect(&client).await;
    let redis = Locker::connect(url).await.expect("connects");
    let memory = Locker::in_memory();
    println!("ready");
    loop {
        let mut next = redis::cmd("BRPOP");
        next.arg(list).arg(0);
        let (_, job): (String, String) = next.query_async(&mut connection).await.expect("asks");
        // In a task, as servers run their work; what is blocked on has a thread of its own.
        match job.as_str() {
            "redis" => {
                let (run, raw) = tokio::spawn(on_redis(redis.clone(), raw.clone()))
                    .await
                    .expect("locks");
                println!("{run} {raw}");
            }
            "memory" => {
                let took = tokio::spawn(in_memory(memory.clone())).await;
                println!("{}", took.expect("locks"));
            }
            other => panic!("no job: {other}"),
        }
    }
}

async fn on_redis(locker: Locker, mut raw: Raw) -> (f64, f64) {
    let (mut runs, mut raws) = (Vec::new(), Vec::new());
    for id in 0..CALLS_ON_REDIS {
        for ours in [id % 2 == 0, id % 2 == 1] {
            let called = Instant::now();
            if ours {
                call(&locker, id).await.expect("free");
                runs.push(micros_since(called));
            } else {
                raw.call(id).await;
                raws.push(micros_since(called));
            }
        }
    }
    (median(runs), median(raws))
}

async fn in_memory(locker: Locker) -> f64 {
    let started = Instant::now();
    for _ in 0..CALLS_IN_MEMORY {
        call(&locker, 7).await.expect("free");
    }
    micros_since(started) / f64::from(CALLS_IN_MEMORY)
}
