//! Many tasks and one key, which several hold at a time.

use redis_locked_test_support::Server;

use crate::Plan;
use crate::ours::PERMITS;
use crate::peers::Contender;
use crate::rates::{Deed, compare};
use crate::table::{Line, Target, Unit};

const ROUNDS: usize = 15;
const TASKS: usize = 64;

/// Beside the only other crate that has them. Its semaphore waits by trying again after pauses.
pub(super) async fn measure(plan: &Plan, server: &Server) -> Vec<Line> {
    let ours = Contender::Ours;
    let peer = Contender::distributed(&server.url()).await;
    let mut lines = Vec::new();
    let permits = format!("{TASKS} tasks, `permits = {PERMITS}`");
    let shared = format!("{TASKS} tasks, `shared`");
    for (measured, deed, whose) in [
        (permits, Deed::Permit, "semaphore"),
        (shared, Deed::Share, "read lock"),
    ] {
        let pairs = compare(plan.rounds(ROUNDS), TASKS, &ours, &peer, deed).await;
        let line = Line::ours(measured, pairs.ours(), Unit::PerSecond);
        let whose = format!("{}, {whose}", peer.name());
        let line = line.beside(whose, pairs.theirs(), pairs.ratio());
        lines.push(line.target(Target::RatioAtLeast(1.0)));
    }
    lines
}
