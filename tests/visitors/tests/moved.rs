//! A line of fifty on a cluster and on the master that sentinels watch, while its key changes servers.
//!
//! Fifty lockers in five processes, each with connections of its own as a process has them.

mod common;

use std::time::{Duration, Instant};

use common::{LIMIT, LONG, Place};
use redis_locked::Locker;
use redis_locked_test_support::{Cluster, Process, Sentinels, Server, until};

const WAITERS: usize = 50;

fn line_up(place: &Place) -> Vec<Process> {
    let start = |_| place.visitors(&["visit", "10", "1", "1"]).start();
    (0..5).map(start).collect()
}

/// All have their places there.
async fn until_all_wait(server: &Server) {
    let mut connection = server.connection().await;
    until(LONG, "all wait", async || {
        let mut count = redis::cmd("ZCARD");
        let waiting = count.arg("{k}:line").query_async::<usize>(&mut connection);
        waiting.await.expect("an answer") == WAITERS
    })
    .await;
}

/// Everybody was served once, one at a time.
async fn all_were_served(place: &Place, line: &[Process]) {
    for process in line {
        let status = process.wait(LONG + LIMIT).await;
        assert!(status.success(), "{:?}", process.errors());
        assert_eq!(process.lines(), ["ready"]);
    }
    let (summary, _) = place.judged();
    assert_eq!((summary.sections, summary.unfinished), (WAITERS, 0));
}

async fn on_a_cluster(happens: impl AsyncFnOnce(&Cluster, usize)) {
    let cluster = Cluster::start().await;
    let place = Place::at("cluster", &cluster.urls());
    let locker = Locker::builder().connect_cluster(cluster.urls()).await;
    let locker = locker.expect("it answers");
    let held = locker.lock("k").ttl(2 * LONG).acquire().await;
    let held = held.expect("free");
    let line = line_up(&place);
    let master = cluster.master_of("k").await;
    until_all_wait(cluster.node(master)).await;
    happens(&cluster, master).await;
    let began = Instant::now();
    held.release().await.expect("still ours");
    all_were_served(&place, &line).await;
    println!("all had it after {:?}", began.elapsed());
}

#[tokio::test]
async fn a_failover_under_a_line_on_a_cluster() {
    on_a_cluster(async |cluster, _| {
        cluster.fail_over("k").await;
    })
    .await;
}

#[tokio::test]
async fn a_slot_moves_under_a_line() {
    on_a_cluster(async |cluster, master| {
        let keys = cluster.a_key_per_master("other").await;
        for key in &keys {
            let to = cluster.master_of(key).await;
            if to != master {
                cluster.move_slot("k", to).await;
                break;
            }
        }
        assert_ne!(cluster.master_of("k").await, master);
    })
    .await;
}

#[tokio::test]
async fn a_failover_under_a_line_behind_sentinels() {
    let sentinels = Sentinels::start().await;
    let place = Place::at("sentinel", &sentinels.urls());
    let builder = Locker::builder().response_timeout(Duration::from_secs(5));
    let locker = builder.connect_sentinel(sentinels.urls(), sentinels.name());
    let locker = locker.await.expect("it answers");
    let held = locker.lock("k").ttl(2 * LONG).acquire().await;
    let held = held.expect("free");
    let line = line_up(&place);
    let master = sentinels.master().await;
    until_all_wait(sentinels.server(master)).await;
    assert_ne!(sentinels.fail_over().await, master);
    held.release().await.expect("still ours");
    all_were_served(&place, &line).await;
}
