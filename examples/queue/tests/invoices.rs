//! Several worker processes with one Redis: whatever is delivered twice is handled by one at a
//! time and sent once, and nothing is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;
use std::time::Duration;

use redis::{AsyncCommands, aio::MultiplexedConnection};
use redis_locked::Locker;
use redis_locked_test_support::{Process, Server, until, until_some};

const LIMIT: Duration = Duration::from_secs(90);

/// A server and the processes that use it.
struct Shop {
    server: Server,
    workers: Vec<Process>,
}

/// A line of the journal.
#[derive(Clone, Debug)]
struct Line {
    worker: u32,
    sends: bool,
    order: u64,
}

impl Shop {
    async fn open(workers: usize) -> Self {
        let server = Server::start().await;
        let workers = (0..workers).map(|_| program(&server).arg("work").start());
        let shop = Self {
            workers: workers.collect(),
            server,
        };
        let mut redis = shop.redis().await;
        let count = shop.workers.len();
        until(LIMIT, "all workers are there", async || {
            redis.zcard("invoices:workers").await == Ok(count)
        })
        .await;
        shop
    }

    async fn redis(&self) -> MultiplexedConnection {
        self.server.connection().await
    }

    async fn push(&self, orders: &[u64]) {
        let push = program(&self.server).arg("push");
        let push = orders
            .iter()
            .fold(push, |push, order| push.arg(order.to_string()))
            .start();
        assert!(push.wait(LIMIT).await.success());
    }

    async fn journal(&self) -> Vec<Line> {
        let lines: Vec<String> = self
            .redis()
            .await
            .lrange("journal", 0, -1)
            .await
            .expect("lines");
        let line = |line: String| {
            let words: Vec<_> = line.split(' ').collect();
            Line {
                worker: words[0].parse().expect("a process"),
                sends: words[1] == "sends",
                order: words[2].parse().expect("an order"),
            }
        };
        lines.into_iter().map(line).collect()
    }

    /// Waits until the queue has delivered this many messages for good, and none is left.
    async fn all_done(&self, messages: usize) {
        let mut redis = self.redis().await;
        until(LIMIT, format!("{messages} messages are done"), async || {
            redis.scard("invoices:done").await == Ok(messages)
        })
        .await;
        assert_eq!(redis.zcard("invoices:scheduled").await, Ok(0));
        assert_eq!(redis.llen("invoices:active").await, Ok(0));
        assert_eq!(redis.scard("invoices:dead").await, Ok(0));
    }

    /// Pushes orders until `halt` has caught a worker in the middle of one: which worker, which
    /// order, and how many were pushed. The worker must not go on by itself.
    async fn caught(&self, halt: impl Fn(&Process)) -> (&Process, u64, usize) {
        for order in 1.. {
            self.push(&[order]).await;
            let id = until_some(LIMIT, "someone is at the order", async || {
                let journal = self.journal().await;
                let line = journal.iter().find(|line| line.order == order)?;
                Some(line.worker)
            })
            .await;
            let worker = self
                .workers
                .iter()
                .find(|one| one.id() == id)
                .expect("ours");
            halt(worker);
            let held = self.server.exists(format!("invoice:{order}")).await;
            let sender = until_some(LIMIT, "the order is sent", async || {
                let journal = self.journal().await;
                let line = journal
                    .iter()
                    .find(|line| line.order == order && line.sends)?;
                Some(line.worker)
            })
            .await;
            if sender != id {
                assert!(held, "the order was sent without the lock");
                return (worker, order, usize::try_from(order).expect("few"));
            }
            worker.resume(); // it had sent before it was caught
            assert!(
                worker.is_running(),
                "it died after its work, so that nothing is tested"
            );
        }
        unreachable!()
    }
}

fn program(server: &Server) -> redis_locked_test_support::process::Launch {
    Process::program(env!("CARGO_BIN_EXE_redis-locked-recipe-queue")).env("REDIS_URL", server.url())
}

/// Each order is sent once, and nobody began one that another was at, except those at which
/// `gone` was caught. The journal is in the order in which Redis took its lines.
fn check(journal: &[Line], orders: &[u64], gone: Option<u32>) {
    let mut at = BTreeMap::new();
    let mut sent = BTreeMap::<u64, usize>::new();
    for line in journal {
        if line.sends {
            let begun = at.remove(&line.order);
            assert_eq!(begun, Some(line.worker), "{line:?} in {journal:#?}");
            *sent.entry(line.order).or_default() += 1;
        } else {
            let other = at.insert(line.order, line.worker);
            assert!(
                other.is_none_or(|other| gone == Some(other)),
                "{line:?} in {journal:#?}"
            );
        }
    }
    assert!(sent.values().all(|times| *times == 1), "{sent:?}");
    let orders: BTreeSet<_> = orders.iter().collect();
    assert_eq!(sent.keys().collect::<BTreeSet<_>>(), orders);
}

#[tokio::test]
async fn copies_that_come_at_once_are_handled_one_at_a_time_and_sent_once() {
    let shop = Shop::open(3).await;
    let orders: Vec<u64> = (1..=6).flat_map(|order| [order; 3]).collect();
    shop.push(&orders).await;
    shop.all_done(orders.len()).await;
    check(&shop.journal().await, &orders, None);
    let busy = |worker: &Process| worker.lines().iter().any(|line| line.contains("is busy"));
    assert!(shop.workers.iter().any(busy), "no two of them met");
}

#[tokio::test]
async fn a_message_that_finds_its_order_busy_comes_again() {
    let shop = Shop::open(1).await;
    let locker = Locker::connect(&shop.server.url())
        .await
        .expect("connected");
    let held = locker
        .lock("invoice:7")
        .ttl(LIMIT)
        .acquire()
        .await
        .expect("free");
    shop.push(&[7]).await;
    shop.workers[0]
        .wait_for_line("\"invoice:7\" is busy", LIMIT)
        .await;
    assert!(shop.journal().await.is_empty());
    held.release().await.expect("held");
    shop.all_done(1).await;
    check(&shop.journal().await, &[7], None);
}

#[tokio::test]
async fn the_order_of_a_worker_that_died_is_sent_by_another() {
    let shop = Shop::open(2).await;
    let (worker, last, messages) = shop.caught(Process::kill).await;
    shop.all_done(messages).await;
    let orders: Vec<_> = (1..=last).collect();
    check(&shop.journal().await, &orders, Some(worker.id()));
}

#[tokio::test]
async fn a_worker_that_only_seemed_dead_does_not_send_again() {
    let shop = Shop::open(2).await;
    let (worker, last, messages) = shop.caught(Process::stop).await;
    worker.resume();
    worker.wait_for_line("was lost", LIMIT).await;
    shop.all_done(messages).await;
    let orders: Vec<_> = (1..=last).collect();
    check(&shop.journal().await, &orders, Some(worker.id()));
}

#[tokio::test]
async fn a_worker_that_is_told_to_end_sends_its_invoice_first() {
    let shop = Shop::open(1).await;
    shop.push(&[7]).await;
    until(LIMIT, "it is at it", async || {
        !shop.journal().await.is_empty()
    })
    .await;
    assert!(shop.server.exists("invoice:7").await);
    let id = shop.workers[0].id().to_string();
    let kill = Command::new("kill").args(["-s", "TERM", &id]).status();
    assert!(kill.expect("kill").success());
    let status = shop.workers[0].wait(LIMIT).await;
    assert_eq!(status.code(), Some(0));
    shop.all_done(1).await;
    check(&shop.journal().await, &[7], None);
    assert!(!shop.server.exists("invoice:7").await);
}
