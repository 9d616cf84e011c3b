//! Several processes that lock, and what became of them.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use redis_locked_test_support::clock::monotonic_ns;
use redis_locked_test_support::history::{Violation, check};
use redis_locked_test_support::{Process, until};

use crate::row::Row;
use crate::worker::{Topology, is_fenced};

const PROCESSES: usize = 3;
const LIMIT: Duration = Duration::from_secs(90);
/// How long the load runs on after keys are granted again: for double holders to show.
const AFTERWARDS: Duration = Duration::from_secs(3);

/// Processes that lock all the time, under one set of faults.
pub(crate) struct Load {
    place: PathBuf,
    topology: Topology,
    processes: Vec<Process>,
    /// Keys of the servers that are to fail, and others.
    keys: Vec<String>,
    others: Vec<String>,
    fenced: bool,
    /// From when to when locks may have been held up.
    faults: Vec<(u64, u64)>,
}

impl Load {
    /// Starts it, and returns when every key has been granted.
    pub(crate) async fn start(topology: &Topology, keys: &[String], others: &[String]) -> Self {
        let place = std::env::temp_dir().join(format!("redis-locked-load-{}", monotonic_ns()));
        fs::create_dir(&place).expect("a directory of its own");
        let mut load = Self {
            topology: topology.clone(),
            processes: Vec::new(),
            keys: keys.to_vec(),
            others: others.to_vec(),
            fenced: is_fenced(topology.kind),
            faults: Vec::new(),
            place,
        };
        load.processes = (0..PROCESSES).map(|_| load.launch()).collect();
        load.granted_since(monotonic_ns()).await;
        load
    }

    fn launch(&self) -> Process {
        let this = std::env::current_exe().expect("the path of this program");
        let keys = self.keys.iter().chain(&self.others);
        let keys: Vec<_> = keys.map(String::as_str).collect();
        Process::program(&this)
            .arg("worker")
            .env("KIND", self.topology.kind)
            .env("URLS", self.topology.urls.join(" "))
            .env("REPLICAS", self.topology.replicas.to_string())
            .env("KEYS", keys.join(" "))
            .env("PLACE", &self.place)
            .start()
    }

    /// One process more, to be broken; returns when it has been granted a lock.
    pub(crate) async fn another(&self) -> Process {
        let process = self.launch();
        let id = process.id().to_string();
        until(LIMIT, "it is granted a lock", async || {
            let history = self.history();
            history
                .lines()
                .any(|line| holder_of(line) == Some(id.as_str()))
        })
        .await;
        process
    }

    /// Takes back the last fault, which was none.
    pub(crate) fn forget_fault(&mut self) {
        self.faults.pop();
    }

    /// Does something to the servers under load, and waits until every key is granted again.
    pub(crate) async fn fault<T>(&mut self, fault: impl Future<Output = T>) -> T {
        let begin = monotonic_ns();
        let done = fault.await;
        self.granted_since(monotonic_ns()).await;
        self.faults.push((begin, monotonic_ns()));
        tokio::time::sleep(AFTERWARDS).await;
        done
    }

    async fn granted_since(&self, time: u64) {
        until(LIMIT, "every key is granted", async || {
            for process in &self.processes {
                assert!(
                    process.is_running(),
                    "a worker ended: {:?}",
                    process.errors()
                );
            }
            let history = self.history();
            let begins = begins(&history);
            let all = self.keys.iter().chain(&self.others);
            all.into_iter().all(|key| {
                let granted = begins.get(key.as_str());
                granted.is_some_and(|times| times.iter().any(|begin| *begin > time))
            })
        })
        .await;
    }

    /// Empty before the first worker has opened it.
    fn history(&self) -> String {
        match fs::read_to_string(self.place.join("history")) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            history => history.expect("read the history"),
        }
    }

    /// Stops the processes, and judges what they recorded.
    pub(crate) async fn finish(self, servers: &'static str, fault: &'static str) -> Row {
        fs::write(self.place.join("stop"), "").expect("tell them to stop");
        let mut failed: BTreeMap<String, u64> = BTreeMap::new();
        let mut workers = Vec::new();
        for process in &self.processes {
            let ended = process.wait(LIMIT).await;
            assert!(ended.success(), "a worker failed: {:?}", process.lines());
            workers.push(process.id());
            for line in process.lines() {
                let (count, what) = line.split_once(' ').expect("a count");
                let count: u64 = count.parse().expect("a count");
                *failed.entry(what.to_owned()).or_default() += count;
            }
        }
        failed.remove("busy");
        let history = self.history();
        let begins = begins(&history);
        let violations = judge(&history, &workers);
        let count = |is: fn(&Violation) -> bool| violations.iter().filter(|one| is(one)).count();
        let pauses = |keys: &[String]| -> Vec<_> {
            let faults = self.faults.iter().filter(|_| !keys.is_empty());
            faults
                .map(|fault| longest_pause(&begins, keys, *fault))
                .collect()
        };
        Row {
            servers,
            fault,
            rounds: self.faults.len(),
            pauses: pauses(&self.keys),
            pauses_elsewhere: pauses(&self.others),
            granted: begins.values().map(|times| times.len() as u64).sum(),
            failed,
            overlaps: count(|one| matches!(one, Violation::Overlap(..))),
            fences: self
                .fenced
                .then(|| count(|one| matches!(one, Violation::FenceNotIncreasing(..)))),
        }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.processes.clear();
        let _ = fs::remove_dir_all(&self.place);
    }
}

/// What is wrong with a history to which all of these processes contributed.
///
/// # Panics
/// If one of them did not, or there is a line that none of them should have written: the columns of
/// the table would be zero for want of a history.
fn judge(history: &str, workers: &[u32]) -> Vec<Violation> {
    for worker in workers {
        let wrote = |line: &str| holder_of(line) == Some(worker.to_string().as_str());
        assert!(history.lines().any(wrote), "worker {worker} held no lock");
    }
    let violations = check(history).err().unwrap_or_default();
    let malformed = |one: &&Violation| matches!(one, Violation::Malformed(..));
    let malformed: Vec<_> = violations.iter().filter(malformed).collect();
    assert!(malformed.is_empty(), "lines of no history: {malformed:?}");
    violations
}

/// The process of a section that begins.
fn holder_of(line: &str) -> Option<&str> {
    let mut fields = line.split(' ');
    let begins = fields.next() == Some("begin");
    let (process, _task) = fields.nth(2)?.split_once('-')?;
    begins.then_some(process)
}

/// When each key was granted, in the order of time.
fn begins(history: &str) -> BTreeMap<&str, Vec<u64>> {
    let mut begins: BTreeMap<&str, Vec<u64>> = BTreeMap::new();
    for line in history.lines() {
        let fields: Vec<_> = line.split(' ').collect();
        if let ["begin", key, _, _, time, ..] = fields[..]
            && let Ok(time) = time.parse()
        {
            begins.entry(key).or_default().push(time);
        }
    }
    for times in begins.values_mut() {
        times.sort_unstable();
    }
    begins
}

/// The longest time without a grant of one of the keys, between the fault and when all was well.
fn longest_pause(
    begins: &BTreeMap<&str, Vec<u64>>,
    keys: &[String],
    fault: (u64, u64),
) -> Duration {
    let (from, to) = fault;
    let of_key = |key: &String| {
        let times = begins.get(key.as_str()).into_iter().flatten().copied();
        let mut last = from;
        let mut longest = 0;
        for time in times.filter(|time| (from..=to).contains(time)) {
            longest = longest.max(time - last);
            last = time;
        }
        longest
    };
    Duration::from_nanos(keys.iter().map(of_key).max().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use redis_locked_test_support::history::Violation;

    use super::judge;

    const HISTORY: &str = "begin k 1 7-0 10 110\nend k 1 7-0 20\n\
                           begin k 2 8-3 30 130\nbegin k 3 7-1 40 140\n";

    #[test]
    fn what_is_wrong_is_handed_on() {
        let violations = judge(HISTORY, &[7, 8]);
        assert!(
            matches!(violations[..], [Violation::Overlap(..)]),
            "{violations:?}"
        );
    }

    #[test]
    #[should_panic(expected = "worker 9 held no lock")]
    fn a_worker_that_recorded_nothing_is_seen() {
        judge(HISTORY, &[7, 8, 9]);
    }

    #[test]
    #[should_panic(expected = "lines of no history: [Malformed(5, \"end k 4 7-0 50\")]")]
    fn a_line_of_no_history_is_seen() {
        judge(&format!("{HISTORY}end k 4 7-0 50\n"), &[7, 8]);
    }
}
