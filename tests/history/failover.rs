//! Masters that are replaced, by command and since they were killed, while processes hold their keys.
//!
//! Each lock is confirmed by the one replica that its master has: without that, a failover may lose it.

use std::time::Duration;

use redis_locked::{Locker, LockerBuilder};
use redis_locked_test_support::{Cluster, Process};
use tokio::time::sleep;

use crate::{History, KEYS, PROCESSES, launch, millis, random};

pub(crate) async fn connect(builder: LockerBuilder, nodes: &str) -> Locker {
    let builder = builder.replicas(1, Duration::from_millis(300));
    let connecting = builder.connect_cluster(nodes.split(' '));
    connecting.await.expect("the cluster answers")
}

#[derive(Debug, Default)]
struct Faults {
    kills: usize,
    stops: usize,
    failovers: usize,
    dead_masters: usize,
}

impl Faults {
    fn has_all(&self) -> bool {
        let Self {
            kills,
            stops,
            failovers,
            dead_masters,
        } = *self;
        let all = [kills, stops, failovers, dead_masters];
        all.iter().all(|&count| count > 0)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_two_hold_a_key_at_once_though_masters_fail_over() {
    let cluster = Cluster::start().await;
    let nodes = cluster.urls().join(" ");
    let history = History::new();
    let path = history.path();
    let mut processes: Vec<Process> = Vec::new();
    for _ in 0..PROCESSES {
        processes.push(launch(&nodes, &path).await);
    }
    let mut faults = Faults::default();
    while !faults.has_all() || !history.is_long_enough() {
        sleep(millis(500)).await;
        let chosen = usize::try_from(random(4)).unwrap_or(0);
        let key = KEYS[usize::try_from(random(3)).unwrap_or(0)];
        match random(6) {
            0 | 1 => {
                processes[chosen].kill();
                faults.kills += 1;
                processes[chosen] = launch(&nodes, &path).await;
            }
            2 | 3 => {
                processes[chosen].stop();
                sleep(millis(1_500)).await;
                processes[chosen].resume();
                faults.stops += 1;
            }
            4 => {
                cluster.fail_over(key).await;
                cluster.settled().await;
                faults.failovers += 1;
            }
            _ => {
                let old = cluster.kill_master(key).await;
                cluster.another_master(key, old).await;
                // Not before: it comes back with nothing, as a replica of the new one.
                cluster.node(old).restart().await;
                cluster.settled().await;
                faults.dead_masters += 1;
            }
        }
    }
    drop(processes);
    let summary = history.check();
    println!("{summary:?}, {faults:?}");
    assert!(summary.beside_others > 20, "{summary:?}");
}
