//! Many tasks, each with a lock of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use redis_locked_test_support::Server;

use crate::Plan;
use crate::peers::Contender;
use crate::sample::Pairs;
use crate::table::{Line, Target, Unit};

const ROUNDS: usize = 15;
const TASKS: usize = 64;
const BLOCK: Duration = Duration::from_millis(300);

pub(super) async fn measure(plan: &Plan, server: &Server) -> Vec<Line> {
    let measured = "64 tasks, each its own lock";
    let mut contenders = Contender::all(server).await;
    let ours = contenders.remove(0);
    let mut lines = Vec::new();
    for peer in contenders {
        let target = match peer {
            Contender::Raw(_) => Some(0.95),
            Contender::Rslock(_) => Some(1.1),
            _ => None,
        };
        let rounds = if target.is_some() { ROUNDS } else { ROUNDS / 3 };
        let mut pairs = Pairs::default();
        for round in 0..plan.rounds(rounds) {
            let (mine, theirs) = if round % 2 == 0 {
                let mine = rate(&ours).await;
                (mine, rate(&peer).await)
            } else {
                let theirs = rate(&peer).await;
                (rate(&ours).await, theirs)
            };
            pairs.push(mine, theirs);
        }
        let line = Line::ours(measured, pairs.ours(), Unit::PerSecond);
        let line = line.beside(peer.name(), pairs.theirs(), pairs.ratio());
        lines.push(match target {
            Some(least) => line.target(Target::RatioAtLeast(least)),
            None => line,
        });
    }
    lines
}

/// Locks per second.
async fn rate(contender: &Contender) -> f64 {
    let done = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let tasks: Vec<_> = (0..TASKS)
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
