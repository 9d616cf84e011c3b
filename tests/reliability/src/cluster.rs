//! A Redis Cluster of three masters with a replica each.

use redis_locked_test_support::Cluster;

use crate::load::Load;
use crate::worker::{Topology, is_in_line};

const SERVERS: &str = "Cluster, 3 masters, 3 replicas, `cluster-node-timeout` 2 s";
const WITH_REPLICAS: &str = "the same, with `replicas(1)`";
const IN_LINE: &str = "Cluster, 3 processes in line for one key, ttl 2 s";

pub(crate) async fn run(rounds: usize) {
    for (servers, replicas) in [(SERVERS, 0), (WITH_REPLICAS, 1)] {
        measure("cluster", servers, replicas, rounds).await;
    }
}

pub(crate) async fn run_in_line(rounds: usize) {
    measure("cluster-line", IN_LINE, 0, rounds).await;
}

async fn measure(kind: &'static str, servers: &'static str, replicas: u32, rounds: usize) {
    let cluster = Cluster::start().await;
    let topology = Topology {
        kind,
        urls: cluster.urls(),
        replicas,
    };
    let keys = cluster.a_key_per_master("job").await;
    let key = &keys[0];
    let (failing, others) = keys.split_at(1);
    let others = if is_in_line(kind) { &[] } else { others };

    let mut load = Load::start(&topology, failing, others).await;
    for _ in 0..rounds {
        let killed = load
            .fault(async {
                let killed = cluster.kill_master(key).await;
                cluster.another_master(key, killed).await;
                if replicas > 0 {
                    // The new master has no replica before the old one is back.
                    cluster.node(killed).restart().await;
                }
                killed
            })
            .await;
        if replicas == 0 {
            cluster.node(killed).restart().await;
        }
        cluster.settled().await;
    }
    println!("{}", load.finish(servers, "kill -9 of a master").await);

    let mut load = Load::start(&topology, failing, others).await;
    for _ in 0..rounds {
        load.fault(cluster.fail_over(key)).await;
        cluster.settled().await;
    }
    println!("{}", load.finish(servers, "`CLUSTER FAILOVER`").await);

    let mut load = Load::start(&topology, failing, others).await;
    for _ in 0..rounds {
        let here = cluster.master_of(key).await;
        let away = cluster.master_of(&keys[1]).await;
        load.fault(async {
            cluster.move_slot(key, away).await;
            cluster.move_slot(key, here).await;
        })
        .await;
        cluster.settled().await;
    }
    println!(
        "{}",
        load.finish(servers, "a slot moves away and back").await
    );
}
