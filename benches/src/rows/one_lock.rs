//! Many tasks of one process that all want one lock.

use std::time::Duration;

use redis_locked_test_support::Server;

use crate::Plan;
use crate::contend::compete;
use crate::peers::Contender;
use crate::sample::Pairs;
use crate::table::{Line, Target, Unit};

const ROUNDS: usize = 7;
const TASKS: usize = 64;
const BLOCK: Duration = Duration::from_secs(1);

pub(super) async fn measure(plan: &Plan, server: &Server) -> Vec<Line> {
    let measured = "64 tasks of one process, one lock, empty body";
    let contenders = Contender::all(server).await;
    let mut lines = Vec::new();
    let mut figures = Vec::new();
    let block = plan.time(BLOCK);
    let hurried = contenders.iter().filter_map(Contender::hurried);
    let hurried = hurried.map(|peer| (format!("{}, pausing 1 ms", peer.name()), peer));
    let peers = contenders[1..].iter().cloned();
    let peers = peers.map(|peer| (peer.name().to_owned(), peer));
    let mut best: Option<(String, f64, f64)> = None;
    for (name, peer) in peers.chain(hurried) {
        let at_defaults = name == peer.name();
        if let Some(why) = peer.cannot_wait() {
            figures.push((name, Err(why)));
            continue;
        }
        let mut pairs = Pairs::default();
        for _ in 0..plan.rounds(ROUNDS) {
            pairs.push(
                rate(&Contender::Ours, block).await,
                rate(&peer, block).await,
            );
        }
        let figure = (pairs.ours(), pairs.theirs(), pairs.ratio());
        if at_defaults && best.as_ref().is_none_or(|(_, _, least)| figure.2 < *least) {
            best = Some((name.clone(), figure.0, figure.2));
        }
        figures.push((name, Ok(figure)));
    }
    let (best, ours, _) = best.expect("some peer can wait");
    lines.push(Line::ours(measured, ours, Unit::PerSecond).target(Target::AtLeast(200_000.0)));
    for (name, figure) in figures {
        lines.push(match figure {
            Err(why) => Line::ours(measured, ours, Unit::PerSecond).beside_none(name, why),
            Ok((ours, theirs, ratio)) => {
                let is_best = name == best;
                let line = Line::ours(measured, ours, Unit::PerSecond).beside(name, theirs, ratio);
                if is_best {
                    line.target(Target::RatioAtLeast(200.0))
                } else {
                    line
                }
            }
        });
    }
    lines
}

async fn rate(contender: &Contender, block: Duration) -> f64 {
    let report = compete(contender, TASKS, block).await;
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let acquired = report.acquired as f64;
    acquired / block.as_secs_f64()
}
