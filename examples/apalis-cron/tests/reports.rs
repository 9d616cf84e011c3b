//! Three machines with one Redis: one report in each second, also where the job fails, and where a machine dies.

use std::time::{Duration, Instant};

use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use redis_locked_test_support::{Process, Server, until};

const LIMIT: Duration = Duration::from_secs(60);

struct Shop {
    server: Server,
    redis: MultiplexedConnection,
    machines: Vec<Process>,
}

impl Shop {
    async fn with_machines(count: usize) -> Self {
        let server = Server::start().await;
        let mut shop = Self {
            redis: server.connection().await,
            server,
            machines: Vec::new(),
        };
        for _ in 0..count {
            shop.start_machine().await;
        }
        shop
    }

    async fn start_machine(&mut self) {
        let process = Process::program(env!("CARGO_BIN_EXE_redis-locked-recipe-apalis-cron"))
            .env("REDIS_URL", self.server.url())
            .start();
        process.wait_for_line("waits for its ticks", LIMIT).await;
        self.machines.push(process);
    }

    async fn reports(&self) -> Vec<String> {
        let mut redis = self.redis.clone();
        redis.lrange("reports", 0, -1).await.expect("a list")
    }

    async fn order(&self, number: u32) {
        let mut redis = self.redis.clone();
        let () = redis.sadd("orders", number).await.expect("added");
    }

    async fn until_more_reports(&self, count: usize) {
        let all = self.reports().await.len() + count;
        let what = format!("{all} reports are written");
        until(LIMIT, what, async || self.reports().await.len() >= all).await;
    }

    /// How often the job has failed, on whatever machine.
    fn failures(&self) -> usize {
        let lines = self.machines.iter().flat_map(Process::lines);
        lines.filter(|line| line.starts_with("failed: ")).count()
    }

    async fn outcome(&self) -> Option<String> {
        self.server.hget("{report}:last", "outcome").await
    }
}

#[tokio::test]
async fn each_second_has_one_report_though_a_machine_dies() {
    let began = Instant::now();
    let mut shop = Shop::with_machines(0).await;
    shop.order(7).await;
    for _ in 0..3 {
        shop.start_machine().await;
    }
    shop.until_more_reports(3).await;
    // The one that wrote the last report.
    let wrote = |process: &Process, line: &str| line.ends_with(&format!("by {}", process.id()));
    let last = shop.reports().await.pop().expect("some");
    let victim = shop.machines.iter().position(|one| wrote(one, &last));
    shop.machines.remove(victim.expect("one of them")).kill();
    shop.order(8).await;
    shop.until_more_reports(3).await;
    shop.start_machine().await;
    shop.until_more_reports(2).await;
    for machine in &shop.machines {
        machine.terminate();
        assert_eq!(machine.wait(LIMIT).await.code(), Some(0));
    }
    assert!(!shop.server.exists("report").await);
    assert_eq!(shop.outcome().await.as_deref(), Some("ok"));

    // The machines ask three times a second.
    let reports = shop.reports().await;
    let seconds = began.elapsed().as_secs_f64();
    let count = f64::from(u32::try_from(reports.len()).expect("few"));
    assert!(count <= seconds + 2.0, "{reports:?} in {seconds} s");
    assert!(reports[0].contains(": 1 orders"), "{reports:?}");
    assert!(
        reports[reports.len() - 1].contains(": 2 orders"),
        "{reports:?}"
    );
    // Ticks that found it done were no failures.
    assert_eq!(shop.failures(), 0);
}

#[tokio::test]
async fn a_report_that_fails_is_tried_again_until_it_is_written() {
    let shop = Shop::with_machines(2).await;
    shop.until_more_reports(1).await;
    // These can't be counted.
    shop.server.set_px("orders", "closed", 600_000).await;
    until(LIMIT, "it has failed", async || shop.failures() >= 2).await;
    assert_eq!(shop.outcome().await.as_deref(), Some("error"));
    let before = shop.reports().await.len();
    let failures = shop.failures();
    until(LIMIT, "it goes on to fail", async || {
        shop.failures() > failures + 2
    })
    .await;
    assert_eq!(shop.reports().await.len(), before);
    assert!(shop.server.del("orders").await);
    shop.until_more_reports(2).await;
    assert_eq!(shop.outcome().await.as_deref(), Some("ok"));
}
