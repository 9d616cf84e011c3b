//! Processes that want one lock.

use std::time::Duration;

use redis_locked_test_support::Server;

use crate::Plan;
use crate::contend::{Job, prepare, reports, start};
use crate::sample::median;
use crate::table::{Line, Target, Unit};

const TIME: Duration = Duration::from_secs(5);
const ROUNDS: usize = 5;

/// Two processes with 32 tasks each, for some seconds.
pub(super) async fn two(plan: &Plan, server: &Server) -> Vec<Line> {
    let measured = |what| format!("two processes × 32 tasks, one lock, 5 s: {what}");
    let peers = [
        "rslock",
        "redis-lock",
        "rslock hurried",
        "redis-lock hurried",
    ];
    let (mut shares, mut longest, mut totals) = (Vec::new(), Vec::new(), Vec::new());
    let mut theirs = peers.map(|_| Vec::new());
    for _ in 0..plan.rounds(ROUNDS) {
        let outcome = compete(plan, server, "redis-locked").await;
        shares.push(outcome.least_share);
        longest.push(outcome.longest);
        totals.push(outcome.total);
        for (peer, outcomes) in peers.iter().zip(&mut theirs) {
            outcomes.push(compete(plan, server, peer).await);
        }
    }
    let worst = shares.iter().copied().fold(f64::INFINITY, f64::min);
    let worst_wait = longest.iter().copied().fold(0.0, f64::max);
    let mut lines = vec![
        Line::ours(
            measured("the smaller share, median"),
            median(shares),
            Unit::Percent,
        )
        .target(Target::AtLeast(45.0)),
        Line::ours(
            measured("the smaller share, worst round"),
            worst,
            Unit::Percent,
        )
        .target(Target::AtLeast(45.0)),
        Line::ours(
            measured("the longest wait, median"),
            median(longest),
            Unit::Millis,
        )
        .target(Target::AtMost(150.0)),
        Line::ours(
            measured("the longest wait, worst round"),
            worst_wait,
            Unit::Millis,
        )
        .target(Target::AtMost(150.0)),
    ];
    let ours = median(totals.clone());
    let best = (0..2).max_by(|a, b| {
        let total = |peer: &usize| median(theirs[*peer].iter().map(|o| o.total).collect());
        total(a).total_cmp(&total(b))
    });
    for (number, (peer, outcomes)) in peers.iter().zip(&theirs).enumerate() {
        let total = median(outcomes.iter().map(|outcome| outcome.total).collect());
        let waited = median(outcomes.iter().map(|outcome| outcome.longest).collect());
        let share = median(outcomes.iter().map(|outcome| outcome.least_share).collect());
        let ratios = totals.iter().zip(outcomes);
        let ratio = median(ratios.map(|(ours, theirs)| ours / theirs.total).collect());
        let name = peer.replace(" hurried", ", pausing 1 ms");
        let name = format!("{name} (smaller share {share:.0} %, longest wait {waited:.0} ms)");
        let line = Line::ours(measured("in all"), ours, Unit::PerSecond).beside(name, total, ratio);
        lines.push(if Some(number) == best {
            line.target(Target::RatioAtLeast(20.0))
        } else {
            line
        });
    }
    lines
}

struct Outcome {
    /// Of the process that got the lock less often, in percent.
    least_share: f64,
    /// In milliseconds.
    longest: f64,
    /// Per second.
    total: f64,
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
async fn compete(plan: &Plan, server: &Server, who: &'static str) -> Outcome {
    let job = Job {
        who,
        tasks: 32,
        time: plan.time(TIME),
    };
    let contenders = prepare(&plan.contender, server, job, 2).await;
    start(server, &contenders).await;
    let reports = reports(&contenders).await;
    let acquired = reports.iter().map(|report| report.acquired as f64);
    let total: f64 = acquired.clone().sum();
    let longest = reports.iter().map(|report| report.longest).max();
    Outcome {
        least_share: 100.0 * acquired.fold(f64::INFINITY, f64::min) / total,
        longest: longest.unwrap_or_default().as_secs_f64() * 1e3,
        total: total / job.time.as_secs_f64(),
    }
}
