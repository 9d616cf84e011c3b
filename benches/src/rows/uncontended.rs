//! One caller, a free lock.

use std::time::Instant;

use redis_locked_test_support::Server;

use crate::Plan;
use crate::peers::Contender;
use crate::sample::{Pairs, median, micros_since};
use crate::table::{Line, Target, Unit};

const ROUNDS: usize = 21;
const CALLS: usize = 400;

pub(super) async fn measure(plan: &Plan, server: &Server) -> Vec<Line> {
    let measured = "one caller, free lock: acquire + release";
    let mut contenders = Contender::all(server).await;
    let mut ours = contenders.remove(0);
    let mut lines = Vec::new();
    for mut peer in contenders {
        let is_raw = matches!(peer, Contender::Raw(_));
        let rounds = if is_raw { ROUNDS } else { ROUNDS / 3 };
        let rounds = plan.rounds(rounds);
        // In a task, as servers run their work; what is blocked on has a thread of its own.
        let measuring = tokio::spawn(async move {
            let mut pairs = Pairs::default();
            for round in 0..rounds {
                let (mine, theirs) = in_turns(&mut ours, &mut peer, round % 2).await;
                pairs.push(mine, theirs);
            }
            (pairs, ours, peer)
        });
        let pairs;
        (pairs, ours, peer) = measuring.await.expect("locks");
        let line = Line::ours(measured, pairs.ours(), Unit::Micros);
        let line = line.beside(peer.name(), pairs.theirs(), pairs.ratio());
        lines.push(if is_raw {
            line.target(Target::RatioAtMost(1.03))
        } else {
            line
        });
    }
    lines
}

/// Call by call, one of them first: the median of each.
async fn in_turns(ours: &mut Contender, peer: &mut Contender, first: usize) -> (f64, f64) {
    let (mut mine, mut theirs) = (Vec::new(), Vec::new());
    for call in 0..CALLS {
        for turn in [first, 1 - first] {
            let (who, times) = if turn == 0 {
                (&mut *ours, &mut mine)
            } else {
                (&mut *peer, &mut theirs)
            };
            let called = Instant::now();
            who.call(call).await;
            times.push(micros_since(called));
        }
    }
    (median(mine), median(theirs))
}
