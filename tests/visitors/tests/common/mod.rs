//! Processes that visit a key, and what is asked about their line.

use std::path::PathBuf;
use std::time::Duration;

use redis_locked::Locker;
use redis_locked_test_support::history::{Summary, Visit, check, visits};
use redis_locked_test_support::process::Launch;
use redis_locked_test_support::{Directory, Process, Server, until};

/// Longer than anything takes that is awaited, also on a machine that runs too many tests at once.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// Longer than any test.
pub(crate) const LONG: Duration = Duration::from_secs(60);

#[allow(dead_code, reason = "not all tests need it")]
/// How long a lock is passed on for, before its new holder makes sure of it.
pub(crate) const RESERVATION: Duration = Duration::from_secs(2);

/// A number of the environment, to try more than the suite has time for.
#[allow(dead_code, reason = "not all tests need it")]
pub(crate) fn or_more(name: &str, few: usize) -> usize {
    let number = std::env::var(name).ok();
    number.map_or(few, |number| number.parse().expect("a number"))
}

/// What the processes of a test have in common.
pub(crate) struct Place {
    url: String,
    kind: &'static str,
    directory: Directory,
}

#[allow(dead_code, reason = "not all tests need all of it")]
impl Place {
    pub(crate) fn at(kind: &'static str, urls: &[String]) -> Self {
        Self {
            url: urls.join(" "),
            kind,
            directory: Directory::new(),
        }
    }

    /// Visitors of this commit; the ttl is longer than the test, and a visit takes no time.
    pub(crate) fn visitors(&self, words: &[&str]) -> Launch {
        self.built_as(env!("CARGO_BIN_EXE_visitors"), words)
    }

    /// Visitors as this program was built.
    pub(crate) fn built_as(&self, program: &str, words: &[&str]) -> Launch {
        let launch = Process::program(program)
            .env("SERVER", &self.url)
            .env("KIND", self.kind)
            .env("KEY", "k")
            .env("TTL_MS", LONG.as_millis().to_string())
            .env("HOLD_US", "0")
            .env("HISTORY", self.path("history"));
        words.iter().fold(launch, Launch::arg)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn history(&self) -> String {
        std::fs::read_to_string(self.path("history")).unwrap_or_default()
    }

    /// No two held the key at a time; in which order they did.
    pub(crate) fn judged(&self) -> (Summary, Vec<Visit>) {
        let history = self.history();
        let summary = check(&history).unwrap_or_else(|wrong| panic!("{wrong:#?}"));
        (summary, visits(&history))
    }

    /// The processes that have been served so far, in their order.
    pub(crate) fn served(&self) -> Vec<u32> {
        let process = |visit: &Visit| visit.process().parse().expect("a process");
        self.judged().1.iter().map(process).collect()
    }

    /// The processes have ended by themselves, and nothing went wrong in them.
    pub(crate) async fn all_well(&self, processes: &[Process]) {
        for process in processes {
            let status = process.wait(LONG + LIMIT).await;
            let said = (process.lines(), process.errors());
            assert!(status.success(), "{said:?}");
            assert_eq!(said.0, ["ready"]);
        }
    }
}

/// A key on a server of the test's own, that the test holds, and processes in line for it.
#[allow(dead_code, reason = "not all tests need it")]
pub(crate) struct Scene {
    pub(crate) server: Server,
    pub(crate) locker: Locker,
    pub(crate) place: Place,
}

#[allow(dead_code, reason = "not all tests need all of it")]
impl Scene {
    pub(crate) async fn start() -> Self {
        let server = Server::start().await;
        let builder = Locker::builder()
            .connection_timeout(LIMIT)
            .response_timeout(LIMIT);
        let locker = builder.connect(&server.url()).await.expect("it answers");
        let place = Place::at("one", &[server.url()]);
        Self {
            server,
            locker,
            place,
        }
    }

    pub(crate) async fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut connection = self.server.connection().await;
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        let answer = command.query_async(&mut connection).await;
        answer.unwrap_or_else(|error| panic!("{words:?}: {error}"))
    }

    pub(crate) async fn waiting(&self) -> usize {
        self.ask(&["ZCARD", "{k}:line"]).await
    }

    pub(crate) async fn until_waiting(&self, count: usize) {
        let what = format!("{count} wait");
        until(LIMIT, what, async || self.waiting().await == count).await;
    }

    /// The server hears so many bells.
    pub(crate) async fn until_heard(&self, count: usize) {
        let what = format!("{count} bells are heard");
        until(LIMIT, what, async || {
            let bells: Vec<String> = self.ask(&["PUBSUB", "CHANNELS", "bell:*"]).await;
            bells.len() == count
        })
        .await;
    }

    /// So many processes with a visitor each, who sit in the line in this order.
    pub(crate) async fn line(&self, count: usize) -> Vec<Process> {
        let before = self.waiting().await;
        let mut line = Vec::new();
        for number in 0..count {
            line.push(self.place.visitors(&["visit", "1", "1", "1"]).start());
            self.until_waiting(before + number + 1).await;
        }
        line
    }
}

#[allow(dead_code, reason = "not all tests need it")]
pub(crate) fn ids<'a>(processes: impl IntoIterator<Item = &'a Process>) -> Vec<u32> {
    processes.into_iter().map(Process::id).collect()
}
