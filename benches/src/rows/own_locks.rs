//! Many tasks, each with a lock of its own.

use redis_locked::Locker;
use redis_locked_test_support::{Cluster, Server};

use crate::Plan;
use crate::peers::Contender;
use crate::rates::{Deed, compare};
use crate::table::{Line, Target, Unit};

const ROUNDS: usize = 15;
const MANY: usize = 64;
const SOME: usize = 8;

pub(super) async fn measure(plan: &Plan, server: &Server) -> Vec<Line> {
    let mut contenders = Contender::all(server).await;
    let ours = contenders.remove(0);
    if let Contender::Raw(raw) = &contenders[0] {
        // As fast as any library could be that sends as little.
        contenders.insert(1, Contender::Raw(raw.in_pipelines()));
    }
    let mut lines = Vec::new();
    for (tasks, beside_raw, beside_rslock) in [(MANY, 1.3, Some(1.8)), (SOME, 1.0, None)] {
        for peer in &contenders {
            let target = match peer {
                Contender::Raw(raw) => (!raw.gathers()).then_some(beside_raw),
                Contender::Rslock(_) => beside_rslock,
                _ => None,
            };
            let rounds = if target.is_some() { ROUNDS } else { ROUNDS / 3 };
            let pairs = compare(plan.rounds(rounds), tasks, &ours, peer, Deed::Call).await;
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
    let pairs = compare(plan.rounds(ROUNDS), MANY, &spread, &alone, Deed::Call).await;
    let measured = format!("{MANY} tasks, each its own lock, on a cluster of three masters");
    let line = Line::ours(measured, pairs.ours(), Unit::PerSecond);
    vec![line.beside("one server", pairs.theirs(), pairs.ratio())]
}
