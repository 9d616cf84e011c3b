//! A master that dies right after it has granted a lock, and a replica that takes over.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use redis_locked::Locker;
use redis_locked_test_support::Pair;

use crate::row::Row;

const SERVERS: &str = "a master and a replica";
const WITH_REPLICAS: &str = "the same, with `replicas(1)`";
const AT_ONCE: &str = "the replica takes over right after a grant";
const BEHIND: &str = "the same, and the replica is 5 ms behind";
const TTL: Duration = Duration::from_secs(60);

/// Tries for each round of the others.
const TRIES: usize = 40;

pub(crate) async fn run(rounds: usize) {
    let pair = Pair::start().await;
    for (servers, confirmed) in [(SERVERS, false), (WITH_REPLICAS, true)] {
        for (fault, behind) in [(AT_ONCE, 0), (BEHIND, 5)] {
            pair.link.delay_answers(Duration::from_millis(behind));
            println!(
                "{}",
                tries(&pair, rounds * TRIES, servers, fault, confirmed).await
            );
        }
    }
}

async fn tries(
    pair: &Pair,
    tries: usize,
    servers: &'static str,
    fault: &'static str,
    confirmed: bool,
) -> Row {
    let mut builder = Locker::builder();
    if confirmed {
        builder = builder.replicas(1, Duration::from_secs(1));
    }
    let before = builder.connect(&pair.master.url()).await;
    let before = before.expect("the master answers");
    let after = Locker::connect(&pair.replica.url()).await;
    let after = after.expect("the replica answers");
    let mut row = Row {
        servers,
        fault,
        rounds: tries,
        pauses: Vec::new(),
        pauses_elsewhere: Vec::new(),
        granted: 0,
        failed: BTreeMap::new(),
        overlaps: 0,
        fences: None,
    };
    for number in 0..tries {
        let key = format!("job:{number}");
        let start = Instant::now();
        let guard = match before.lock(&key).ttl(TTL).acquire().await {
            Ok(guard) => guard,
            Err(error) => {
                *row.failed.entry(error.to_string()).or_default() += 1;
                continue;
            }
        };
        row.granted += 1;
        pair.promote().await;
        let again = after.lock(&key).acquire().await;
        assert!(guard.is_held(), "after {:?}", start.elapsed());
        row.overlaps += usize::from(again.is_ok());
        drop(again);
        after.shutdown().await;
        pair.follow().await;
    }
    row
}
