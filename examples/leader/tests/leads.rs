//! Three replicas with one Redis: one leads, whatever becomes of the others.

use std::time::{Duration, Instant};

use redis_locked_test_support::{Process, Server, until, until_some};

const LIMIT: Duration = Duration::from_secs(60);
/// The ttl of the leader's lock.
const TTL: Duration = Duration::from_secs(3);

struct Replicas {
    server: Server,
    all: Vec<Process>,
}

impl Replicas {
    async fn start(count: usize) -> Self {
        let server = Server::start().await;
        let mut replicas = Self {
            server,
            all: Vec::new(),
        };
        for _ in 0..count {
            let process = Process::program(env!("CARGO_BIN_EXE_redis-locked-recipe-leader"))
                .env("REDIS_URL", replicas.server.url())
                .start();
            process.wait_for_line("stands by", LIMIT).await;
            replicas.all.push(process);
        }
        replicas
    }

    /// The number of the one that leads, by the lock, and has said so. Not this one.
    async fn leader(&self, but: Option<usize>) -> usize {
        until_some(LIMIT, "one leads", async || {
            let holder = self.server.get("leader").await?;
            let leads = |process: &Process| {
                let is_holder = holder.ends_with(&format!(":{}", process.id()));
                is_holder && says(process, "leads") > says(process, "leads no more")
            };
            let leader = self.all.iter().position(leads)?;
            (Some(leader) != but).then_some(leader)
        })
        .await
    }
}

/// How often it says this.
fn says(process: &Process, line: &str) -> usize {
    process.lines().iter().filter(|said| *said == line).count()
}

#[tokio::test]
async fn another_leads_at_once_when_the_leader_ends() {
    let replicas = Replicas::start(3).await;
    let first = replicas.leader(None).await;
    replicas.all[first].terminate();
    let began = Instant::now();
    assert_eq!(replicas.all[first].wait(LIMIT).await.code(), Some(0));
    let second = replicas.leader(Some(first)).await;
    assert!(began.elapsed() < TTL, "{:?}", began.elapsed());
    // It has ended its last step before.
    let lines = replicas.all[first].lines();
    let [.., step, down] = lines.as_slice() else {
        panic!("{lines:?}");
    };
    assert_eq!(*down, format!("steps down after {step}"), "{lines:?}");
    // Nobody else has led.
    let led: Vec<_> = replicas.all.iter().map(|one| says(one, "leads")).collect();
    let expected = (0..3).map(|one| usize::from(one == first || one == second));
    assert_eq!(led, expected.collect::<Vec<_>>());
}

#[tokio::test]
async fn another_leads_after_the_ttl_when_the_leader_dies() {
    let replicas = Replicas::start(2).await;
    let first = replicas.leader(None).await;
    replicas.all[first].kill();
    let second = replicas.leader(Some(first)).await;
    replicas.all[second].wait_for_line("step 3", LIMIT).await;
}

#[tokio::test]
async fn a_leader_that_stood_still_leads_no_more() {
    let replicas = Replicas::start(2).await;
    let first = replicas.leader(None).await;
    replicas.all[first].stop();
    let second = replicas.leader(Some(first)).await;
    replicas.all[first].resume();
    let notices = "it has noticed";
    until(LIMIT, notices, async || {
        says(&replicas.all[first], "leads no more") == 1
    })
    .await;
    // And it stands by again.
    replicas.all[second].terminate();
    assert_eq!(replicas.leader(Some(second)).await, first);
}

#[tokio::test]
async fn one_that_stands_by_ends_at_once() {
    let replicas = Replicas::start(2).await;
    let leader = replicas.leader(None).await;
    let other = &replicas.all[1 - leader];
    other.terminate();
    assert_eq!(other.wait(LIMIT).await.code(), Some(0));
    assert_eq!(says(other, "leads"), 0);
    assert_eq!(replicas.leader(None).await, leader);
}
