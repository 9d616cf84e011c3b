//! How many calls a second many tasks make.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::peers::Contender;
use crate::sample::Pairs;

const BLOCK: Duration = Duration::from_millis(300);

/// What each task does again and again.
#[derive(Debug, Clone, Copy)]
pub enum Deed {
    /// It takes a lock of its own.
    Call,
    /// It takes one of the places that all want.
    Permit,
    /// It takes the lock that all share.
    Share,
}

/// The locks per second of one and another, in turns.
///
/// # Panics
///
/// When one could not lock.
pub async fn compare(
    rounds: usize,
    tasks: usize,
    ours: &Contender,
    peer: &Contender,
    deed: Deed,
) -> Pairs {
    let mut pairs = Pairs::default();
    for round in 0..rounds {
        let (mine, theirs) = if round % 2 == 0 {
            let mine = rate(ours, tasks, deed).await;
            (mine, rate(peer, tasks, deed).await)
        } else {
            let theirs = rate(peer, tasks, deed).await;
            (rate(ours, tasks, deed).await, theirs)
        };
        pairs.push(mine, theirs);
    }
    pairs
}

async fn rate(contender: &Contender, tasks: usize, deed: Deed) -> f64 {
    let done = Arc::new(AtomicU64::new(0));
    let started = Instant::now();
    let tasks: Vec<_> = (0..tasks)
        .map(|id| {
            let (mut contender, done) = (contender.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                loop {
                    match deed {
                        Deed::Call => contender.call(id).await,
                        Deed::Permit => contender.permit().await,
                        Deed::Share => contender.share().await,
                    }
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
