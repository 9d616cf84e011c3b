//! Many tasks of one process that wait for a lock which somebody else holds for long.

use std::time::{Duration, Instant};

use redis_locked_test_support::{Event, Server};
use tokio::task::JoinSet;

use crate::Plan;
use crate::ours;
use crate::raw::Raw;
use crate::rows::allocations::Heap;
use crate::sample::micros_since;
use crate::table::{Line, Target, Unit};

const WAITERS: usize = 1_000;
const HELD: Duration = Duration::from_secs(5);

pub(super) async fn measure(plan: &Plan, server: &Server) -> Vec<Line> {
    let (commands, drained) = hold(plan, server).await;
    let heap = Heap::measure(plan).await;
    let [waiter, trivial] = ["a waiter", "a trivial task"].map(|name| heap.count(name));
    let measured = |what| format!("1,000 waiters in one process, lock held for 5 s: {what}");
    vec![
        Line::ours(measured("commands"), commands, Unit::Count).target(Target::AtMost(10.0)),
        Line::ours(measured("heap of a waiter"), waiter - trivial, Unit::Bytes)
            .target(Target::AtMost(511.0)),
        Line::ours(
            measured("from the release until all had it"),
            drained / 1e3,
            Unit::Millis,
        ),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
async fn hold(plan: &Plan, server: &Server) -> (f64, f64) {
    let mut raw = Raw::connect(&server.client()).await;
    let (key, token) = ("ours:waiters", Raw::token());
    assert!(raw.try_acquire(key, &token).await, "was free");
    let monitor = server.monitor();
    let mut waiting = JoinSet::new();
    for _ in 0..WAITERS {
        waiting.spawn(ours::queue("waiters"));
    }
    tokio::time::sleep(plan.time(HELD)).await;
    let events = monitor.events().await;
    drop(monitor);
    let sent = events.iter().filter(|event| !Event::is_from_script(event));
    let sent = sent.count() as f64;
    let released = Instant::now();
    raw.release(key, &token).await;
    while let Some(entered) = waiting.join_next().await {
        entered.expect("waits").expect("locks");
    }
    (sent, micros_since(released))
}
