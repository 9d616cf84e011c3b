//! Two keys by one request, beside two locks one inside of the other.

use std::time::Instant;

use redis_locked::{LockError, redis_locked};
use redis_locked_test_support::Server;
use tokio::task::JoinSet;

use crate::Plan;
use crate::sample::{Pairs, median, micros_since};
use crate::table::{Line, Target, Unit};

const ROUNDS: usize = 11;
const CALLS: usize = 400;
const TASKS: usize = 64;
const TURNS: usize = 50;

#[redis_locked(key = ["two:{id}:a", "two:{id}:b"], ttl = "10s")]
async fn both(id: usize) -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "two:{id}:a", ttl = "10s")]
async fn one(id: usize) -> Result<(), LockError> {
    other(id).await
}

#[redis_locked(key = "two:{id}:b", ttl = "10s")]
async fn other(id: usize) -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = ["two:a", "two:b"], ttl = "10s", wait)]
async fn queue_for_both() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "two:a", ttl = "10s", wait)]
async fn queue_for_one() -> Result<(), LockError> {
    queue_for_other().await
}

#[redis_locked(key = "two:b", ttl = "10s", wait)]
async fn queue_for_other() -> Result<(), LockError> {
    Ok(())
}

pub(super) async fn measure(plan: &Plan, _server: &Server) -> Vec<Line> {
    let rounds = plan.rounds(ROUNDS);
    // In a task, as servers run their work; what is blocked on has a thread of its own.
    let measuring = tokio::spawn(async move {
        let mut pairs = Pairs::default();
        for round in 0..rounds {
            let (array, nested) = in_turns(round % 2 == 0).await;
            pairs.push(array, nested);
        }
        pairs
    });
    let alone = measuring.await.expect("locks");
    let measured = "one caller, two free locks by an array: acquire + release";
    let line = Line::ours(measured, alone.ours(), Unit::Micros);
    let line = line.beside(
        "one lock inside of the other",
        alone.theirs(),
        alone.ratio(),
    );
    let mut lines = vec![line.target(Target::RatioAtMost(1.0))];

    let mut pairs = Pairs::default();
    for _ in 0..rounds {
        let array = turns_per_second(queue_for_both).await;
        let nested = turns_per_second(queue_for_one).await;
        pairs.push(array, nested);
    }
    let measured = "64 tasks of one process that wait for the same two locks, by an array";
    let line = Line::ours(measured, pairs.ours(), Unit::PerSecond);
    lines.push(line.beside(
        "one lock inside of the other",
        pairs.theirs(),
        pairs.ratio(),
    ));
    lines
}

/// Call by call, one of them first: the median of each.
async fn in_turns(array_first: bool) -> (f64, f64) {
    let (mut array, mut nested) = (Vec::new(), Vec::new());
    for call in 0..CALLS {
        for is_array in [array_first, !array_first] {
            let called = Instant::now();
            if is_array {
                both(call).await.expect("free");
                array.push(micros_since(called));
            } else {
                one(call).await.expect("free");
                nested.push(micros_since(called));
            }
        }
    }
    (median(array), median(nested))
}

/// All tasks again and again.
async fn turns_per_second<F>(turn: fn() -> F) -> f64
where
    F: Future<Output = Result<(), LockError>> + Send + 'static,
{
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..TASKS {
        tasks.spawn(async move {
            for _ in 0..TURNS {
                turn().await.expect("its turn");
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic");
    }
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let turns = (TASKS * TURNS) as f64;
    turns / began.elapsed().as_secs_f64()
}
