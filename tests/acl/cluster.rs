//! The rights at the nodes of a cluster.

use redis_locked::{LockError, Locker};
use redis_locked_test_support::Cluster;

use crate::{CLUSTER, LOCKS, TRACKING, TTL, grant, names, tracks, waits};

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
