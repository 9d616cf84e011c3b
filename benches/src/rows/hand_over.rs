//! From one locker to another: from the release called to the body entered.

use std::array::from_fn;
use std::time::{Duration, Instant};

use redis_locked::Locker;
use redis_locked_test_support::Server;

use crate::hand::{Hand, Scripts};
use crate::raw::Raw;
use crate::sample::{Pairs, micros, micros_since, percentile};
use crate::table::{Line, Target, Unit};
use crate::{Plan, TTL};

const ROUNDS: usize = 9;
const HAND_OVERS: usize = 500;

/// Until the one who waits surely does, and the machine has come to rest.
const PAUSE: Duration = Duration::from_millis(2);

/// Who is measured, in turns. Ours is the first.
const WHO: [&str; 4] = ["ours", SAME_SCRIPTS, SHORT_SCRIPTS, PING];
const SAME_SCRIPTS: &str = "the same scripts by hand, without a library";
const SHORT_SCRIPTS: &str = "the shortest scripts by hand, which see to nothing else";
const PING: &str = "a PING";

pub(super) async fn measure(plan: &Plan, server: &Server) -> Vec<Line> {
    let client = server.client();
    let mut lockers = [locker(server).await, locker(server).await];
    let hands = async |scripts| {
        let one = Hand::connect(&client, scripts).await;
        [one, Hand::connect(&client, scripts).await]
    };
    let [mut same, mut short] = [hands(Scripts::Library).await, hands(Scripts::Short).await];
    let ping = Raw::connect(&client).await;
    let mut rounds = Vec::new();
    for turn in 0..plan.rounds(ROUNDS) {
        let mut round: [Vec<f64>; WHO.len()] = Default::default();
        for number in 0..HAND_OVERS {
            // A key that is passed on for a second is left to others for 30 ms, which is no hand-over; the
            // rows of the line have that in them.
            let key = |who| format!("{who}:{turn}:{number}");
            let mut order: [usize; WHO.len()] = from_fn(|at| (at + number) % WHO.len());
            if number / WHO.len() % 2 == 1 {
                order.reverse();
            }
            for who in order {
                let micros = match WHO[who] {
                    SAME_SCRIPTS => run(bare_once(same.clone(), key("same"))).await,
                    SHORT_SCRIPTS => run(bare_once(short.clone(), key("short"))).await,
                    PING => run(ping_once(ping.clone())).await,
                    _ => run(ours_once(lockers.clone(), key("ours"))).await,
                };
                round[who].push(micros);
            }
            lockers.reverse();
            same.reverse();
            short.reverse();
        }
        rounds.push(round);
    }
    let line = |what: &str, who: usize, share| {
        let mut pairs = Pairs::default();
        for round in &rounds {
            let [ours, theirs] = [0, who].map(|who| percentile(round[who].clone(), share));
            pairs.push(ours, theirs);
        }
        let measured = format!("hand-over between two lockers: {what}");
        Line::ours(measured, pairs.ours(), Unit::Micros).beside(
            WHO[who],
            pairs.theirs(),
            pairs.ratio(),
        )
    };
    let line_of_all = |what: &str, who: usize, share| {
        let all = |who: usize| rounds.iter().flat_map(move |round| round[who].clone());
        let [ours, theirs] = [0, who].map(|who| percentile(all(who).collect(), share));
        let measured = format!("hand-over between two lockers: {what}");
        Line::ours(measured, ours, Unit::Micros).beside(WHO[who], theirs, ours / theirs)
    };
    let [same, short, ping] = [1, 2, 3];
    vec![
        line("p50", same, 0.5).target(Target::RatioAtMost(1.2)),
        line("p99, median of rounds", same, 0.99).target(Target::RatioAtMost(1.3)),
        line_of_all("p99 of all rounds", same, 0.99).target(Target::RatioAtMost(1.3)),
        line("p50", short, 0.5),
        line("p99, median of rounds", short, 0.99),
        line("p50", ping, 0.5).target(Target::RatioAtMost(1.5)),
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

async fn bare_once([mut from, mut to]: [Hand; 2], key: String) -> f64 {
    let (mine, theirs) = (Hand::value(), Hand::value());
    assert!(from.raw.try_acquire(&key, &mine).await, "was free");
    to.sit(&key, &theirs).await;
    let passed = key.clone();
    let next = tokio::spawn(async move {
        let entered = to.wait().await;
        to.raw.release(&passed, &theirs).await;
        entered
    });
    tokio::time::sleep(PAUSE).await;
    let released = Instant::now();
    from.pass_on(&key, &mine).await;
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
