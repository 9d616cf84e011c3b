//! Three processes with one Redis: one run in each second, also while one of them dies at it.

use std::time::{Duration, Instant};

use redis_locked_test_support::{Process, Server, until, until_some};

const LIMIT: Duration = Duration::from_secs(60);
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

    /// How often it said this.
    fn said(&self, what: &str) -> usize {
        self.0.lines().iter().filter(|line| *line == what).count()
    }

    fn is_at_work(&self) -> bool {
        self.said("begun") > self.said("done")
    }

    /// Tells it to end. All that it wrote has been read then.
    async fn end(&self) {
        self.0.terminate();
        assert_eq!(self.0.wait(LIMIT).await.code(), Some(0));
    }
}

/// How often the machines said this, in all.
fn all(machines: &[Machine], what: &str) -> usize {
    machines.iter().map(|machine| machine.said(what)).sum()
}

async fn until_done(machines: &[Machine], count: usize) {
    let what = format!("{count} runs are done");
    until(LIMIT, what, async || all(machines, "done") >= count).await;
}

#[tokio::test]
async fn each_second_has_one_run_though_a_machine_dies_at_it() {
    let server = Server::start().await;
    let began = Instant::now();
    let mut machines = Vec::new();
    for _ in 0..3 {
        machines.push(Machine::start(&server).await);
    }
    until_done(&machines, 4).await;
    // They ask three times a second, and a run takes less than half of one.
    let seconds = began.elapsed().as_secs_f64();
    let done = f64::from(u32::try_from(all(&machines, "done")).expect("few"));
    assert!(done <= seconds + 2.0, "{done} runs in {seconds} s");

    until_some(LIMIT, "a machine has died at its job", async || {
        let victim = machines.iter().find(|one| one.is_at_work())?;
        victim.0.kill();
        victim.0.wait(LIMIT).await;
        if victim.is_at_work() {
            return Some(());
        }
        // It ended its work just before.
        machines.push(Machine::start(&server).await);
        None
    })
    .await;
    // Its lock is free after the ttl, and the others go on.
    until_done(&machines, all(&machines, "done") + 3).await;
    let alive = machines.iter().filter(|machine| machine.0.is_running());
    for machine in alive {
        machine.end().await;
    }
    assert!(all(&machines, "elsewhere") >= 3, "they hardly met");
    let record = server.hget("{clean_up}:last", "outcome").await;
    assert_eq!(record.as_deref(), Some("ok"));
}

#[tokio::test]
async fn a_machine_that_is_told_to_end_ends_its_job_first() {
    let server = Server::start().await;
    for _ in 0..ATTEMPTS {
        let machine = Machine::start(&server).await;
        until(LIMIT, "it is at work", async || machine.is_at_work()).await;
        machine.end().await;
        let lines = machine.0.lines();
        let told = lines.iter().position(|line| line.contains("ending when"));
        let done = lines.iter().rposition(|line| line == "done");
        assert!(!server.exists("clean_up").await);
        if told.expect("it says so") < done.expect("it ends its job") {
            return;
        }
        // It was done before it was told.
    }
    panic!("in {ATTEMPTS} attempts, none was told while it was at work");
}
