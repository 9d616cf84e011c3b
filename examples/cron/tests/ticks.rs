//! Three processes with one Redis: each tick runs once, also while one of them dies at it.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;

use redis_locked_test_support::{Pace, Process, Server, until, until_some};

const LIMIT: Duration = Duration::from_secs(60);
/// As often as the scheduler looks at the clock. If the machine stood still for as long, a tick may
/// have passed that no process ever asked for.
const POLL: Duration = Duration::from_millis(500);

struct Machine(Process);

impl Machine {
    async fn start(server: &Server) -> Self {
        let process = Process::program(env!("CARGO_BIN_EXE_redis-locked-recipe-cron"))
            .env("REDIS_URL", server.url())
            .start();
        process.wait_for_line("waits for its turns", LIMIT).await;
        Self(process)
    }

    /// The ticks that it said this of.
    fn ticks(&self, what: &str) -> Vec<i64> {
        let lines = self.0.lines();
        let told = lines.iter().filter_map(|line| line.split_once(' '));
        told.filter(|(_, told)| *told == what)
            .map(|(tick, _)| tick.parse().expect("a tick"))
            .collect()
    }

    /// The tick that it is at, or was at when it died.
    fn at_work(&self) -> Option<i64> {
        let done = self.ticks("done");
        self.ticks("begun")
            .into_iter()
            .find(|tick| !done.contains(tick))
    }
    /// Kills it. All that it wrote has been read then.
    async fn kill(&self) {
        self.0.kill();
        self.0.wait(LIMIT).await;
    }
}

/// Kills the machine that is at a tick: which tick. One that ended its work just before it died is
/// replaced, and the next one taken.
async fn kill_one_at_work(machines: &mut Vec<Machine>, server: &Server) -> i64 {
    until_some(LIMIT, "a machine has died at its job", async || {
        let victim = machines.iter().find(|one| one.at_work().is_some())?;
        victim.kill().await;
        let unfinished = victim.at_work();
        if unfinished.is_none() {
            machines.push(Machine::start(server).await);
        }
        unfinished
    })
    .await
}

fn all(machines: &[Machine], what: &str) -> Vec<i64> {
    machines
        .iter()
        .flat_map(|machine| machine.ticks(what))
        .collect()
}

/// Waits until the machines have done this many ticks after that one.
async fn done_after(machines: &[Machine], tick: i64, count: usize) {
    let what = format!("{count} ticks after {tick} are done");
    until(LIMIT, what, async || {
        let done = all(machines, "done");
        done.iter().filter(|done| **done > tick).count() >= count
    })
    .await;
}

#[tokio::test]
async fn each_tick_runs_once_though_a_machine_dies_at_it() {
    let server = Server::start().await;
    let pace = Pace::start();
    let mut machines = Vec::new();
    for _ in 0..3 {
        machines.push(Machine::start(&server).await);
    }
    done_after(&machines, 0, 3).await;

    let unfinished = kill_one_at_work(&mut machines, &server).await;
    done_after(&machines, unfinished, 4).await;
    for machine in &machines {
        machine.kill().await;
    }

    let mut runs = BTreeMap::<i64, usize>::new();
    for tick in all(&machines, "begun") {
        *runs.entry(tick).or_default() += 1;
    }
    assert!(runs.values().all(|runs| *runs == 1), "{runs:?}");
    assert!(!all(&machines, "done").contains(&unfinished));

    let elsewhere: BTreeSet<_> = all(&machines, "elsewhere").into_iter().collect();
    assert!(elsewhere.len() >= 3, "they hardly met: {elsewhere:?}");
    let idle: Vec<_> = elsewhere
        .iter()
        .filter(|tick| !runs.contains_key(tick))
        .collect();
    assert!(
        idle.is_empty(),
        "left to another, and run by nobody: {idle:?}"
    );

    if pace.worst() < POLL {
        let ticks: Vec<_> = runs.keys().copied().collect();
        let gaps: Vec<_> = ticks
            .windows(2)
            .filter(|pair| pair[1] > pair[0] + 1)
            .collect();
        assert!(
            gaps.is_empty(),
            "ticks that nobody ran are between {gaps:?}"
        );
    }
}

#[tokio::test]
async fn a_machine_that_is_told_to_end_ends_its_job_first() {
    let server = Server::start().await;
    let machine = Machine::start(&server).await;
    until(LIMIT, "it is at work", async || machine.at_work().is_some()).await;
    let tick = machine.ticks("begun")[0];
    let id = machine.0.id().to_string();
    let kill = Command::new("kill").args(["-s", "TERM", &id]).status();
    assert!(kill.expect("kill").success());
    let status = machine.0.wait(LIMIT).await;
    assert_eq!(status.code(), Some(0));
    assert!(machine.ticks("done").contains(&tick));
    // For machines that come later.
    assert!(server.pttl(format!("clean_up:{tick}")).await > 0);
}
