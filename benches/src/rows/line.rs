//! The line on the server, beside the version before it, in one run and in turns.

use std::time::{Duration, Instant};

use redis_locked_test_support::history::{out_of_turn, seated, visits};
use redis_locked_test_support::{Directory, Process, Server};

use crate::sample::{Pairs, median};
use crate::table::{Line, Target, Unit};
use crate::visitors::{Visitors, Visits};
use crate::{Plan, TTL};

const ROUNDS: usize = 5;
const TIME: Duration = Duration::from_secs(2);
const BEFORE: &str = "the version before";
const LIMIT: Duration = Duration::from_secs(120);

/// Runs a second, and the longest wait.
pub(super) async fn rates(plan: &Plan, server: &Server) -> Vec<Line> {
    let now = Visitors::now(plan);
    let before = Visitors::before();
    let mut lines = Vec::new();
    for (lockers, least, most) in [
        (4, 0.95, None),
        (40, 4.0, Some(60.0)),
        (100, 6.0, Some(100.0)),
    ] {
        let (mut pairs, mut waits, mut alone, mut longest) =
            (Pairs::default(), Pairs::default(), Vec::new(), Vec::new());
        for _ in 0..plan.rounds(ROUNDS) {
            let time = plan.time(TIME);
            let shape = [1, lockers];
            let ours = now.rate(server, shape, Duration::ZERO, time).await;
            alone.push(per_second(ours, time));
            longest.push(millis(ours.longest));
            if let Ok(before) = &before {
                let theirs = before.rate(server, shape, Duration::ZERO, time).await;
                pairs.push(per_second(ours, time), per_second(theirs, time));
                waits.push(millis(ours.longest), millis(theirs.longest));
            }
        }
        let measured =
            |what| format!("{lockers} lockers of a process, one lock, empty body: {what}");
        let rate = Line::ours(measured("in all"), median(alone), Unit::PerSecond);
        let wait = Line::ours(measured("the longest wait"), median(longest), Unit::Millis);
        let (rate, wait) = match &before {
            Ok(_) => (
                rate.beside(BEFORE, pairs.theirs(), pairs.ratio()),
                wait.beside(BEFORE, waits.theirs(), waits.ratio()),
            ),
            Err(why) => (rate.beside_none(BEFORE, why), wait.beside_none(BEFORE, why)),
        };
        lines.push(rate.target(Target::RatioAtLeast(least)));
        lines.push(match most {
            Some(most) => wait.target(Target::AtMost(most)),
            None => wait,
        });
    }
    lines
}

/// Commands that clients send for each time that the lock goes from process to process.
pub(super) async fn commands(plan: &Plan, server: &Server) -> Vec<Line> {
    let now = Visitors::now(plan);
    let before = Visitors::before();
    let mut lines = Vec::new();
    for processes in [10, 100] {
        for (hold, body, most) in [(0, "an empty body", 2.2), (5_000, "a body of 5 ms", 3.1)] {
            let hold = Duration::from_micros(hold);
            let measured = format!(
                "{processes} processes × 1 waiting for one lock, {body}: commands per hand-over"
            );
            let ours = commands_each(&now, server, processes, hold).await;
            let line = Line::ours(measured, ours, Unit::Count).target(Target::AtMost(most));
            lines.push(match &before {
                Ok(before) => {
                    let theirs = commands_each(before, server, processes, hold).await;
                    line.beside(BEFORE, theirs, ours / theirs)
                }
                Err(why) => line.beside_none(BEFORE, why),
            });
        }
    }
    lines
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
async fn commands_each(
    visitors: &Visitors,
    server: &Server,
    processes: usize,
    hold: Duration,
) -> f64 {
    // Long enough for what it costs to line up to be little: thirty visits each at least.
    let turns = hold * 30 * u32::try_from(processes).expect("few");
    let time = turns.max(2 * TIME);
    let visits = visitors.rate(server, [processes, 1], hold, time).await;
    let calls = server.command_calls().await;
    // Those who wait send scripts, and scripts call no scripts.
    let scripts = ["evalsha", "eval"].map(|name| calls.get(name).copied().unwrap_or(0));
    scripts.iter().sum::<u64>() as f64 / visits.visits as f64
}

/// One caller, a free lock, beside the version before: process by process.
pub(super) async fn alone(plan: &Plan, server: &Server) -> Vec<Line> {
    const CALLS: usize = 1_500;
    let now = Visitors::now(plan);
    let before = Visitors::before();
    let mut lines = Vec::new();
    for (how, what, most) in [("plain", "plain", 1.02), ("wait", "with `wait`", 1.06)] {
        let (mut pairs, mut alone) = (Pairs::default(), Vec::new());
        for round in 0..plan.rounds(7 * ROUNDS) {
            let Ok(before) = &before else {
                alone.push(now.alone(server, how, CALLS).await);
                continue;
            };
            let (ours, theirs) = if round % 2 == 0 {
                let ours = now.alone(server, how, CALLS).await;
                (ours, before.alone(server, how, CALLS).await)
            } else {
                let theirs = before.alone(server, how, CALLS).await;
                (now.alone(server, how, CALLS).await, theirs)
            };
            alone.push(ours);
            pairs.push(ours, theirs);
        }
        let measured = format!("one caller, free lock, {what}: acquire + release");
        let line = Line::ours(measured, median(alone), Unit::Micros);
        lines.push(match &before {
            Ok(_) => line
                .beside(BEFORE, pairs.theirs(), pairs.ratio())
                .target(Target::RatioAtMost(most)),
            Err(why) => line.beside_none(BEFORE, why),
        });
    }
    lines
}

/// Whether who came first was served first, of ten thousand.
#[expect(clippy::cast_precision_loss, reason = "few")]
pub(super) async fn order(plan: &Plan) -> Vec<Line> {
    const PROCESSES: usize = 10;
    let each = plan.rounds(10_000) / PROCESSES;
    let server = Server::start().await;
    let place = Directory::new();
    let history = place.path().join("history");
    let monitor = server.monitor();
    let start = |_| {
        Process::program(&plan.visitors)
            .env("SERVER", server.url())
            .env("KEY", "visited")
            .env("TTL_MS", TTL.as_millis().to_string())
            .env("HOLD_US", "0")
            .env("HISTORY", &history)
            .arg("visit")
            .arg("1")
            .arg("1")
            .arg(each.to_string())
            .start()
    };
    let processes: Vec<Process> = (0..PROCESSES).map(start).collect();
    for process in processes {
        let status = process.wait(LIMIT).await;
        assert!(status.success(), "{:?}", process.errors());
    }
    let visits = visits(&std::fs::read_to_string(&history).expect("a history"));
    let wrong = out_of_turn(&visits, &seated(&monitor.events().await));
    let measured = format!(
        "{PROCESSES} processes, one lock: out of turn, of {} visits",
        visits.len()
    );
    vec![Line::ours(measured, wrong.len() as f64, Unit::Count).target(Target::AtMost(0.0))]
}

/// A client that knows nothing but `SET NX PX`, and asks each 100 ms.
pub(super) async fn foreign(plan: &Plan) -> Vec<Line> {
    const TRIES: usize = 10;
    let mut lines = Vec::new();
    for lockers in [2, 4, 40] {
        let server = Server::start().await;
        let crowd = Process::program(&plan.visitors)
            .env("SERVER", server.url())
            .env("KEY", "visited")
            .env("TTL_MS", TTL.as_millis().to_string())
            .env("HOLD_US", "0")
            .arg("rate")
            .arg(lockers.to_string())
            .arg("1")
            .arg(LIMIT.as_millis().to_string())
            .start();
        crowd.wait_for_line("ready", LIMIT).await;
        let mut waits = Vec::new();
        for _ in 0..plan.rounds(TRIES) {
            waits.push(millis(polled(&server).await));
        }
        drop(crowd);
        let measured =
            |what| format!("a client that polls each 100 ms, under {lockers} lockers: {what}");
        let longest = waits.iter().copied().fold(0.0, f64::max);
        lines.push(Line::ours(measured("median"), median(waits), Unit::Millis));
        lines.push(
            Line::ours(measured("the longest"), longest, Unit::Millis)
                .target(Target::AtMost(5_000.0)),
        );
    }
    lines
}

/// How long it takes until the client has the lock, which it gives back.
async fn polled(server: &Server) -> Duration {
    // As long as it takes until a lock has gone from hand to hand for a while again.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let began = Instant::now();
    let mut polls = tokio::time::interval(Duration::from_millis(100));
    loop {
        polls.tick().await;
        if server.set_nx_px("visited", "theirs", 60_000).await {
            let waited = began.elapsed();
            assert!(server.del("visited").await, "theirs");
            return waited;
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
fn per_second(visits: Visits, time: Duration) -> f64 {
    visits.visits as f64 / time.as_secs_f64()
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}
