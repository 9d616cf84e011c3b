//! Several worker processes with one Redis: whatever is delivered twice is handled by one at a
//! time and sent once, and nothing is lost.

use std::collections::{BTreeMap, BTreeSet};
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

    /// Waits until the queue has delivered these messages for good. None is left then, and each
    /// order is sent once; see [`check`].
    async fn all_done(&self, orders: &[u64], gone: Option<u32>) {
        let (mut redis, count) = (self.redis().await, orders.len());
        until(LIMIT, format!("{count} messages are done"), async || {
            redis.scard("invoices:done").await == Ok(count)
        })
        .await;
        assert_eq!(redis.zcard("invoices:scheduled").await, Ok(0));
        assert_eq!(redis.llen("invoices:active").await, Ok(0));
        assert_eq!(redis.scard("invoices:dead").await, Ok(0));
        check(&self.journal().await, orders, gone);
    }

    /// Pushes orders until `halt` has caught a worker in the middle of one, and another has sent it:
    /// the number of that worker, and all orders.
    async fn caught(&mut self, halt: impl Fn(&Process)) -> (usize, Vec<u64>) {
        for order in 1.. {
            self.push(&[order]).await;
            let begun = |line: &Line| line.order == order;
            let id = self.worker_that(begun).await;
            let number = self.workers.iter().position(|worker| worker.id() == id);
            let number = number.expect("one of ours");
            halt(&self.workers[number]);
            let held = self.server.exists(format!("invoice:{order}")).await;
            if self.worker_that(|line| begun(line) && line.sends).await != id {
                assert!(held, "the order was sent without the lock");
                return (number, (1..=order).collect());
            }
            // It had sent before it was caught. What was caught is replaced, and the next one tried.
            self.workers.push(program(&self.server).arg("work").start());
        }
        unreachable!("there are more numbers")
    }

    /// The worker of the first such line of the journal.
    async fn worker_that(&self, did: impl Fn(&Line) -> bool) -> u32 {
        until_some(LIMIT, "a worker does it", async || {
            let journal = self.journal().await;
            journal
                .iter()
                .find(|line| did(line))
                .map(|line| line.worker)
        })
        .await
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
    shop.all_done(&orders, None).await;
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
    shop.all_done(&[7], None).await;
}

#[tokio::test]
async fn the_order_of_a_worker_that_died_is_sent_by_another() {
    let mut shop = Shop::open(2).await;
    let (number, orders) = shop.caught(Process::kill).await;
    shop.all_done(&orders, Some(shop.workers[number].id()))
        .await;
}

#[tokio::test]
async fn a_worker_that_only_seemed_dead_does_not_send_again() {
    let mut shop = Shop::open(2).await;
    let (number, orders) = shop.caught(Process::stop).await;
    let worker = &shop.workers[number];
    worker.resume();
    // Or the queue, which has given its message away, ends it before its handler learns of it.
    until(LIMIT, "it has given up", async || {
        let lost = worker.lines().iter().any(|line| line.contains("was lost"));
        lost || !worker.is_running()
    })
    .await;
    shop.all_done(&orders, Some(worker.id())).await;
}

#[tokio::test]
async fn a_worker_that_is_told_to_end_sends_its_invoice_first() {
    let shop = Shop::open(1).await;
    let worker = &shop.workers[0];
    let mut order = 0;
    // Told while it stands still in the middle of an order. One that it had sent by then is followed
    // by another.
    loop {
        order += 1;
        shop.push(&[order]).await;
        shop.worker_that(|line| line.order == order).await;
        worker.stop();
        let held = shop.server.exists(format!("invoice:{order}")).await;
        let sent = |line: &Line| line.order == order && line.sends;
        if !shop.journal().await.iter().any(sent) {
            assert!(held, "the order was begun without the lock");
            break;
        }
        worker.resume();
    }
    worker.terminate();
    worker.resume();
    let status = worker.wait(LIMIT).await;
    assert_eq!(status.code(), Some(0));
    shop.all_done(&(1..=order).collect::<Vec<_>>(), None).await;
    assert!(!shop.server.exists(format!("invoice:{order}")).await);
}
