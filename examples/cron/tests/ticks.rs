//! Three processes with one Redis: each tick runs once, also while one of them dies at it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use redis_locked_test_support::{Pace, Process, Server, until, until_some};

const LIMIT: Duration = Duration::from_secs(60);
/// As often as the scheduler looks at the clock. If the machine stood still for as long, a tick may
/// have passed that no process ever asked for.
const POLL: Duration = Duration::from_millis(500);
const ATTEMPTS: usize = 20;

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

    /// Tells it to end. All that it wrote has been read then.
    async fn end(&self) {
        self.0.terminate();
        assert_eq!(self.0.wait(LIMIT).await.code(), Some(0));
    }

    /// The ticks whose keys it took within the last minute, said so or not: it can be killed between
    /// the two.
    async fn took(&self, server: &Server) -> Vec<i64> {
        let mut ticks = Vec::new();
        for key in server.keys().await {
            let holder = server.get(&key).await;
            if holder.is_some_and(|holder| holder.ends_with(&format!(":{}", self.0.id()))) {
                let tick = key.strip_prefix("clean_up:").expect("a key of the job");
                ticks.push(tick.parse().expect("a tick"));
            }
        }
        ticks
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
    let mut dead = Vec::new();
    for machine in &machines {
        if machine.0.is_running() {
            machine.end().await;
        } else {
            dead.push(machine);
        }
    }

    let mut runs = BTreeMap::<i64, usize>::new();
    for tick in all(&machines, "begun") {
        *runs.entry(tick).or_default() += 1;
    }
    assert!(runs.values().all(|runs| *runs == 1), "{runs:?}");
    assert!(!all(&machines, "done").contains(&unfinished));

    let mut taken: BTreeSet<_> = runs.keys().copied().collect();
    for machine in dead {
        taken.extend(machine.took(&server).await);
    }
    let elsewhere: BTreeSet<_> = all(&machines, "elsewhere").into_iter().collect();
    assert!(elsewhere.len() >= 3, "they hardly met: {elsewhere:?}");
    let idle: Vec<_> = elsewhere.difference(&taken).collect();
    assert!(
        idle.is_empty(),
        "left to another, and run by nobody: {idle:?}"
    );

    if pace.worst() < POLL {
        let ticks: Vec<_> = taken.into_iter().collect();
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
    for _ in 0..ATTEMPTS {
        let machine = Machine::start(&server).await;
        let tick = until_some(LIMIT, "it is at work", async || machine.at_work()).await;
        machine.end().await;
        let lines = machine.0.lines();
        let said = |what: &str| lines.iter().position(|line| line.contains(what));
        let told = said("ending when").expect("it says so");
        let done = said(&format!("{tick} done")).expect("it ends its job");
        // For machines that come later.
        assert!(server.pttl(format!("clean_up:{tick}")).await > 0);
        if told < done {
            return;
        }
        // It was done before it was told.
    }
    panic!("in {ATTEMPTS} attempts, none was told while it was at work");
}
