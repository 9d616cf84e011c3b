//! Many tasks, each with a lock of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redis_locked::Locker;
use redis_locked_test_support::{Cluster, Server};

use crate::Plan;
use crate::peers::Contender;
use crate::sample::Pairs;
use crate::table::{Line, Target, Unit};

const ROUNDS: usize = 15;
const MANY: usize = 64;
const SOME: usize = 8;
const BLOCK: Duration = Duration::from_millis(300);

pub(super) async fn measure(plan: &Plan, server: &Server) -> Vec<Line> {
    let mut contenders = Contender::all(server).await;
    let ours = contenders.remove(0);
    let mut lines = Vec::new();
    for (tasks, beside_raw, beside_rslock) in [(MANY, 1.3, Some(1.8)), (SOME, 1.0, None)] {
        for peer in &contenders {
            let target = match peer {
                Contender::Raw(_) => Some(beside_raw),
                Contender::Rslock(_) => beside_rslock,
                _ => None,
            };
            let rounds = if target.is_some() { ROUNDS } else { ROUNDS / 3 };
            let pairs = compare(plan.rounds(rounds), tasks, &ours, peer).await;
            let measured = format!("{tasks} tasks, each its own lock");
            let line = Line::ours(measured, pairs.ours(), Unit::PerSecond);
            let line = line.beside(peer.name(), pairs.theirs(), pairs.ratio());
            lines.push(match target {
                Some(least) => line.target(Target::RatioAtLeast(least)),
                None => line,
            });
        }
    }
    lines
}

/// A cluster of three masters beside one server. Each master has a replica, and all are on this
/// machine, so that three times as much is not to be expected.
pub(super) async fn on_a_cluster(plan: &Plan, server: &Server) -> Vec<Line> {
    let cluster = Cluster::start().await;
    let builder = Locker::builder();
    let spread = builder.connect_cluster(cluster.urls()).await;
    let alone = Locker::connect(&server.url()).await;
    let [spread, alone] = [spread, alone].map(|it| Contender::Locker(it.expect("connects")));
    let pairs = compare(plan.rounds(ROUNDS), MANY, &spread, &alone).await;
    let measured = format!("{MANY} tasks, each its own lock, on a cluster of three masters");
    let line = Line::ours(measured, pairs.ours(), Unit::PerSecond);
    vec![line.beside("one server", pairs.theirs(), pairs.ratio())]
}

/// The locks per second of one and another, in turns.
async fn compare(rounds: usize, tasks: usize, ours: &Contender, peer: &Contender) -> Pairs {
    let mut pairs = Pairs::default();
    for round in 0..rounds {
        let (mine, theirs) = if round % 2 == 0 {
            let mine = rate(ours, tasks).await;
            (mine, rate(peer, tasks).await)
        } else {
            let theirs = rate(peer, tasks).await;
            (rate(ours, tasks).await, theirs)
        };
        pairs.push(mine, theirs);
    }
    pairs
}

async fn rate(contender: &Contender, tasks: usize) -> f64 {
    let done = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let tasks: Vec<_> = (0..tasks)
        .map(|id| {
            let (mut contender, done) = (contender.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                loop {
                    contender.call(id).await;
                    if started.elapsed() >= BLOCK {
                        return;
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.expect("locks");
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let done = done.load(Ordering::Relaxed) as f64;
    done / BLOCK.as_secs_f64()
}
