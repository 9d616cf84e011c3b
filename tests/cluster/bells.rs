//! A bell is heard where its slot is by then, also by a process that has not heard of a change.

use redis_locked::Locker;
use redis_locked_test_support::{Cluster, Logs, Server, until};
use tracing::Level;

use crate::line::{ask, bells, places};
use crate::waiting::{asked, waiter};
use crate::{LIMIT, connect, lock};

/// Has its place in the line of a held key by the first look that asks for one, and then its turn.
async fn waits_in_line(cluster: &Cluster, locker: &Locker, key: &str) {
    let holder = connect(cluster).await;
    let guard = lock(&holder, key).await;
    let monitor = cluster.node(cluster.master_of(key).await).monitor();
    let waiting = waiter(locker, key);
    until(LIMIT, "it has its place", async || {
        places(cluster, key).await == 1
    })
    .await;
    // Only the very first look asks for none.
    let asked = asked(&monitor.events().await);
    assert_eq!(asked.others, 1, "{asked:?}");
    guard.release().await.expect("still ours");
    waiting.await.expect("ran").expect("its turn");
}

/// How often the node subscribed somebody to a bell, and how often it refused to, since its counts were
/// reset.
async fn subscribed(node: &Server) -> (u64, u64) {
    let info: String = ask(node, &["INFO", "commandstats"]).await;
    let stats = info
        .lines()
        .find_map(|line| line.strip_prefix("cmdstat_ssubscribe:"));
    let count = |name: &str| {
        let mut fields = stats.into_iter().flat_map(|stats| stats.split(','));
        let count = fields.find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
        count.map_or(0, |count| count.parse().expect("a number"))
    };
    (count("calls"), count("rejected_calls"))
}

#[tokio::test]
async fn a_slot_has_moved_in_which_no_bell_was_heard() {
    let cluster = Cluster::start().await;
    let locker = connect(&cluster).await;
    let keys = cluster.a_key_per_master("job").await;
    // From then on it knows where the slots are.
    waits_in_line(&cluster, &locker, &keys[1]).await;
    let [from, to] = [&keys[0], &keys[2]].map(|key| cluster.master_of(key));
    let (from, to) = (from.await, to.await);
    cluster.move_slot(&keys[0], to).await;
    waits_in_line(&cluster, &locker, &keys[0]).await;
    // It was where the slot had been.
    assert_eq!(subscribed(cluster.node(from)).await, (0, 1));
    assert_eq!(subscribed(cluster.node(to)).await, (1, 0));
}

/// A replica hears what is said at its master, and so it subscribes whoever asks: only the look finds that
/// the master knows nothing of it.
#[tokio::test]
async fn a_master_has_become_a_replica_at_which_no_bell_was_heard() {
    let cluster = Cluster::start().await;
    let locker = connect(&cluster).await;
    let keys = cluster.a_key_per_master("job").await;
    waits_in_line(&cluster, &locker, &keys[1]).await;
    let old = cluster.master_of(&keys[0]).await;
    let new = cluster.fail_over(&keys[0]).await;
    cluster.settled().await;
    waits_in_line(&cluster, &locker, &keys[0]).await;
    assert_eq!(subscribed(cluster.node(old)).await, (1, 0));
    assert_eq!(subscribed(cluster.node(new)).await, (1, 0));
    until(LIMIT, "it has left the replica", async || {
        bells(cluster.node(old)).await == 0
    })
    .await;
}

/// As those before Redis 7.
#[tokio::test]
async fn nodes_without_sharded_channels_have_no_line() {
    let cluster = Cluster::with(&[("rename-command SSUBSCRIBE", "unheard-of")]).await;
    let (logs, _collecting) = Logs::of_this_thread();
    let (ours, theirs) = (connect(&cluster).await, connect(&cluster).await);
    let master = cluster.node(cluster.master_of("job").await);
    for _ in 0..2 {
        let guard = lock(&ours, "job").await;
        let waiting = waiter(&theirs, "job");
        master.wait_until_tracking(LIMIT).await;
        assert_eq!(places(&cluster, "job").await, 0);
        guard.release().await.expect("still ours");
        waiting.await.expect("ran").expect("told that it is free");
    }
    let mut warnings = logs.events();
    warnings.retain(|event| event.level == Level::WARN);
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    let said = format!("{warnings:?}");
    assert!(said.contains("Redis offers no line here"), "{said}");
    assert!(said.contains("unknown command"), "{said}");
}
