//! What is allocated, as the program `heap` counts it.

use std::collections::BTreeMap;
use std::time::Duration;

use redis_locked_test_support::Process;

use crate::Plan;
use crate::table::{Line, Target, Unit};

const LIMIT: Duration = Duration::from_secs(120);

pub(super) async fn measure(plan: &Plan) -> Vec<Line> {
    let heap = Heap::measure(plan).await;
    let calls = heap.count("calls");
    let peers = [
        "raw commands",
        "rslock",
        "redis-lock",
        "distributed-lock-redis",
    ];
    let count = |name| heap.count(name) / calls;
    let bytes = |name| heap.bytes(name) / calls;
    let (ours, raw) = (count("redis-locked"), count("raw commands"));
    let more = "allocations of an uncontended call beyond those of the raw commands";
    let mut lines = vec![Line::ours(more, ours - raw, Unit::Count)];
    for peer in peers {
        let measured = "allocations of an uncontended call";
        let line = Line::ours(measured, ours, Unit::Count);
        lines.push(line.beside(peer, count(peer), ours / count(peer)));
    }
    let measured = "bytes allocated by an uncontended call";
    let (ours, raw) = (bytes("redis-locked"), bytes("raw commands"));
    let line = Line::ours(measured, ours, Unit::Bytes).beside("raw commands", raw, ours / raw);
    lines.push(line.target(Target::RatioAtMost(1.2)));
    lines
}

/// What the program printed.
pub(super) struct Heap(BTreeMap<String, (f64, f64)>);

impl Heap {
    pub(super) async fn measure(plan: &Plan) -> Self {
        let process = Process::program(&plan.heap).start();
        process.wait_for_line("a waiter", LIMIT).await;
        let lines = process.lines().into_iter().filter_map(|line| {
            let (name, numbers) = line.split_once('|')?;
            let (count, bytes) = numbers.split_once('|')?;
            Some((name.to_owned(), (count.parse().ok()?, bytes.parse().ok()?)))
        });
        Self(lines.collect())
    }

    pub(super) fn count(&self, name: &str) -> f64 {
        self.0[name].0
    }

    fn bytes(&self, name: &str) -> f64 {
        self.0[name].1
    }
}
