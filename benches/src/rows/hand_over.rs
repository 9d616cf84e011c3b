//! From one locker to another: from the release called to the body entered.

use std::time::{Duration, Instant};

use redis_locked::Locker;
use redis_locked_test_support::Server;

use crate::hand::Hand;
use crate::raw::Raw;
use crate::sample::{Pairs, micros, micros_since, percentile};
use crate::table::{Line, Target, Unit};
use crate::{Plan, TTL};

const ROUNDS: usize = 9;
const HAND_OVERS: usize = 500;

/// So many have a key of their own. A key that is passed on for a second is left to others for 30 ms,
/// which is no hand-over; the rows of the line have that in them.
const OF_A_KEY: usize = 25;

/// Until the one who waits surely does, and the machine has come to rest.
const PAUSE: Duration = Duration::from_millis(2);

pub(super) async fn measure(plan: &Plan, server: &Server) -> Vec<Line> {
    let client = server.client();
    let mut lockers = [locker(server).await, locker(server).await];
    let mut hands = [Hand::connect(&client).await, Hand::connect(&client).await];
    let ping = Raw::connect(&client).await;
    let (mut middle, mut tail) = (Pairs::default(), Pairs::default());
    let mut pings = Pairs::default();
    let (mut all_ours, mut all_bare) = (Vec::new(), Vec::new());
    for _ in 0..plan.rounds(ROUNDS) {
        let (mut ours, mut bare, mut pinged) = (Vec::new(), Vec::new(), Vec::new());
        for number in 0..HAND_OVERS {
            let key = format!("hand-over:{}", number / OF_A_KEY);
            // Each of the two follows the other, and the PING, equally often.
            if number % 4 < 2 {
                ours.push(run(ours_once(lockers.clone(), key.clone())).await);
                bare.push(run(bare_once(hands.clone())).await);
            } else {
                bare.push(run(bare_once(hands.clone())).await);
                ours.push(run(ours_once(lockers.clone(), key.clone())).await);
            }
            pinged.push(run(ping_once(ping.clone())).await);
            lockers.reverse();
            hands.reverse();
        }
        middle.push(percentile(ours.clone(), 0.5), percentile(bare.clone(), 0.5));
        tail.push(
            percentile(ours.clone(), 0.99),
            percentile(bare.clone(), 0.99),
        );
        pings.push(percentile(ours.clone(), 0.5), percentile(pinged, 0.5));
        all_ours.extend(ours);
        all_bare.extend(bare);
    }
    let measured = |what| format!("hand-over between two lockers: {what}");
    let by_hand = "by hand";
    let (p99, bare_p99) = (percentile(all_ours, 0.99), percentile(all_bare, 0.99));
    vec![
        Line::ours(measured("p50"), middle.ours(), Unit::Micros)
            .beside(by_hand, middle.theirs(), middle.ratio())
            .target(Target::RatioAtMost(1.2)),
        Line::ours(measured("p99, median of rounds"), tail.ours(), Unit::Micros)
            .beside(by_hand, tail.theirs(), tail.ratio())
            .target(Target::RatioAtMost(1.3)),
        Line::ours(measured("p99 of all rounds"), p99, Unit::Micros)
            .beside(by_hand, bare_p99, p99 / bare_p99)
            .target(Target::RatioAtMost(1.3)),
        Line::ours(measured("p50"), pings.ours(), Unit::Micros)
            .beside("a PING", pings.theirs(), pings.ratio())
            .target(Target::RatioAtMost(1.5)),
    ]
}

async fn locker(server: &Server) -> Locker {
    Locker::connect(&server.url()).await.expect("connects")
}

/// In a task, as servers run their work.
async fn run(once: impl Future<Output = f64> + Send + 'static) -> f64 {
    tokio::spawn(once).await.expect("hands over")
}

async fn ours_once([from, to]: [Locker; 2], key: String) -> f64 {
    let held = from.lock(&key).ttl(TTL).acquire().await.expect("was free");
    let next = to.lock(key).ttl(TTL).wait_forever();
    let next = tokio::spawn(next.run(async { Instant::now() }));
    tokio::time::sleep(PAUSE).await;
    let released = Instant::now();
    held.release().await.expect("releases");
    let entered = next.await.expect("waits").expect("locks");
    micros(entered.duration_since(released))
}

async fn bare_once([mut from, mut to]: [Hand; 2]) -> f64 {
    let key = "by hand";
    let (mine, theirs) = (Raw::token(), Raw::token());
    assert!(from.raw.try_acquire(key, &mine).await, "was free");
    to.sit(key, &theirs).await;
    let next = tokio::spawn(async move {
        let entered = to.wait().await;
        to.raw.release(key, &theirs).await;
        entered
    });
    tokio::time::sleep(PAUSE).await;
    let released = Instant::now();
    from.pass_on(key, &mine).await;
    let entered = next.await.expect("waits");
    micros(entered.duration_since(released))
}

async fn ping_once(mut raw: Raw) -> f64 {
    tokio::time::sleep(PAUSE).await;
    let sent = Instant::now();
    let ping = redis::cmd("PING");
    ping.exec_async(&mut raw.connection).await.expect("answers");
    micros_since(sent)
}
