//! Many tasks of one process that all want one lock.

use std::time::{Duration, Instant};

use redis_locked_test_support::Server;

use crate::Plan;
use crate::contend::compete;
use crate::peers::Contender;
use crate::sample::Pairs;
use crate::table::{Line, Target, Unit};

const ROUNDS: usize = 7;
const TASKS: usize = 64;
const BLOCK: Duration = Duration::from_secs(1);

/// All tasks again and again, then all tasks once.
pub(super) async fn measure(plan: &Plan, server: &Server) -> Vec<Line> {
    let contenders = Contender::all(server).await;
    let block = plan.time(BLOCK);
    let sustained = "64 tasks of one process, one lock, empty body, for 1 s";
    let mut lines = compare(
        plan,
        &contenders,
        (sustained, 200_000.0),
        async |contender: &Contender| {
            let acquired = compete(contender, TASKS, block).await.acquired;
            per_second(acquired, block)
        },
    )
    .await;
    let at_once = "64 callers at once in one process, one lock, empty body";
    lines.extend(
        compare(
            plan,
            &contenders,
            (at_once, 150_000.0),
            async |contender: &Contender| {
                let started = Instant::now();
                let acquired = compete(contender, TASKS, Duration::ZERO).await.acquired;
                per_second(acquired, started.elapsed())
            },
        )
        .await,
    );
    lines
}

/// Ours beside each peer in its own way of waiting, and beside those that can be hurried.
async fn compare(
    plan: &Plan,
    contenders: &[Contender],
    (measured, at_least): (&str, f64),
    rate: impl AsyncFn(&Contender) -> f64,
) -> Vec<Line> {
    let defaults = contenders[1..].iter().cloned();
    let defaults = defaults.map(|peer| (peer.name().to_owned(), peer, true));
    let hurried = contenders.iter().filter_map(Contender::hurried);
    let hurried = hurried.map(|peer| (format!("{}, pausing 1 ms", peer.name()), peer, false));
    let mut lines = Vec::new();
    // Ours, and the ratio: beside the best peer at its defaults.
    let mut best: Option<(f64, f64)> = None;
    let mut at = 0;
    let mut unable = Vec::new();
    for (name, peer, at_defaults) in defaults.chain(hurried) {
        if let Some(why) = peer.cannot_wait() {
            unable.push((name, why));
            continue;
        }
        let mut pairs = Pairs::default();
        for _ in 0..plan.rounds(ROUNDS) {
            pairs.push(rate(&Contender::Ours).await, rate(&peer).await);
        }
        let (ours, ratio) = (pairs.ours(), pairs.ratio());
        if at_defaults && best.is_none_or(|(_, least)| ratio < least) {
            best = Some((ours, ratio));
            at = lines.len();
        }
        let line = Line::ours(measured, ours, Unit::PerSecond);
        lines.push(line.beside(name, pairs.theirs(), ratio));
    }
    let (ours, _) = best.expect("some peer can wait");
    lines[at] = lines[at].clone().target(Target::RatioAtLeast(200.0));
    let alone = Line::ours(measured, ours, Unit::PerSecond);
    lines.insert(0, alone.clone().target(Target::AtLeast(at_least)));
    lines.extend(
        unable
            .into_iter()
            .map(|(name, why)| alone.clone().beside_none(name, why)),
    );
    lines
}

fn per_second(count: u64, time: Duration) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let count = count as f64;
    count / time.as_secs_f64()
}
