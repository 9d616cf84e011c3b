//! The rights at the nodes of a cluster.

use std::time::Instant;

use redis_locked::{LockError, Locker};
use redis_locked_test_support::{Cluster, Logs, until};
use tokio::time::timeout;
use tracing::Level;

use crate::{CLUSTER, LIMIT, LINE, LOCKS, SHARDED, TRACKING, TTL, grant, names, tracks, waits};

async fn grant_everywhere(cluster: &Cluster, rules: &[&str]) {
    for number in 0..cluster.urls().len() {
        grant(cluster.node(number), rules).await;
    }
}

async fn connect(cluster: &Cluster) -> Result<Locker, LockError> {
    let url = |number| {
        format!(
            "redis://app:secret@127.0.0.1:{}",
            cluster.node(number).port()
        )
    };
    let builder = Locker::builder().prefix("jobs:");
    builder.connect_cluster([url(0), url(1)]).await
}

/// Takes a key that is new in a slot on its way from one node to another.
async fn lock_on_the_way(
    cluster: &Cluster,
    locker: &Locker,
    keys: &[String],
) -> Result<(), LockError> {
    let to = cluster.master_of(&keys[1]).await;
    cluster.begin_move(&keys[0], to).await;
    let key = keys[0].trim_start_matches("jobs:");
    let granted = locker.lock(key).ttl(TTL).acquire().await;
    cluster.finish_move(&keys[0], to).await;
    assert_eq!(cluster.get(&keys[0]).await.is_some(), granted.is_ok());
    granted?.release().await
}

#[tokio::test]
async fn a_cluster() -> Result<(), LockError> {
    let cluster = Cluster::start().await;
    grant_everywhere(&cluster, &[LOCKS, TRACKING, CLUSTER]).await;
    let locker = connect(&cluster).await?;
    let master = cluster.node(cluster.master_of("jobs:k").await);
    waits(master, &locker).await;
    assert!(tracks(master).await);
    let mut keys = cluster.a_key_per_master("jobs:new").await;
    lock_on_the_way(&cluster, &locker, &keys).await?;

    // The same on the way of another slot.
    keys.rotate_left(1);
    cluster.settled().await;
    grant_everywhere(&cluster, &[LOCKS, TRACKING, CLUSTER, "-asking"]).await;
    let locker = connect(&cluster).await?;
    names(lock_on_the_way(&cluster, &locker, &keys).await, "asking");

    grant_everywhere(&cluster, &[LOCKS, TRACKING, CLUSTER, "-cluster|slots"]).await;
    names(connect(&cluster).await, "cluster|slots");
    Ok(())
}

/// The rights of the line at a cluster.
fn line() -> Vec<&'static str> {
    let of_one_server = ["+publish", "+subscribe", "+pubsub|numsub"];
    let rights = LINE
        .split(' ')
        .filter(|right| !of_one_server.contains(right));
    rights.chain(SHARDED.split(' ')).collect()
}

/// Has the lock go from one process to another. Whether that one had a place in the line.
async fn passes_on(cluster: &Cluster) -> Result<bool, LockError> {
    let (locker, other) = (connect(cluster).await?, connect(cluster).await?);
    let master = cluster.node(cluster.master_of("jobs:k").await);
    let held = locker.lock("k").ttl(TTL).acquire().await?;
    master.reset_stats().await;
    let waiting = tokio::spawn(other.lock("k").ttl(TTL).wait(TTL).acquire());
    until(LIMIT, "it waits", async || {
        let calls = master.command_calls().await;
        tracks(master).await && calls.contains_key("pttl")
    })
    .await;
    let released = Instant::now();
    held.release().await?;
    let guard = timeout(LIMIT, waiting).await.expect("its turn comes");
    guard.expect("no panic")?.release().await?;
    assert!(released.elapsed() < LIMIT / 4, "{:?}", released.elapsed());
    assert_eq!(cluster.get("jobs:k").await, None);
    Ok(master.command_calls().await.contains_key("zadd"))
}

#[tokio::test]
async fn waiting_in_line_at_a_cluster() -> Result<(), LockError> {
    let cluster = Cluster::start().await;
    let others = [LOCKS, TRACKING, CLUSTER];
    grant_everywhere(&cluster, &[&others[..], &line()].concat()).await;
    assert!(passes_on(&cluster).await?);
    for missing in line() {
        let rest: Vec<_> = line()
            .into_iter()
            .filter(|right| *right != missing)
            .collect();
        grant_everywhere(&cluster, &[&others[..], &rest].concat()).await;
        let (logs, collecting) = Logs::of_this_thread();
        let is_in_line = passes_on(&cluster).await?;
        drop(collecting);
        let mut warnings = logs.events();
        warnings.retain(|event| event.level == Level::WARN);
        // Each of the two processes once.
        assert!(warnings.len() <= 2, "without {missing}: {warnings:?}");
        // Bells that nobody needs are given up later.
        if SHARDED.contains(missing) || missing.starts_with(['~', '&']) {
            let is_needed = missing != "+sunsubscribe";
            assert_eq!(is_in_line, !is_needed, "without {missing}");
            assert_eq!(!warnings.is_empty(), is_needed, "without {missing}");
        }
    }
    Ok(())
}
