//! The record of runs, when the master of their slot is killed.

use redis_locked::LockerBuilder;
use redis_locked_test_support::Cluster;

use crate::failover::{Fleet, KEY};

async fn fleet(cluster: &Cluster) -> Fleet {
    Fleet::new(|builder: LockerBuilder| builder.connect_cluster(cluster.urls())).await
}

#[tokio::test]
async fn a_success_counts_at_the_new_master() {
    let cluster = Cluster::start().await;
    let fleet = fleet(&cluster).await;
    fleet
        .a_success_counts_at_the_new_master(async {
            let old = cluster.kill_master(KEY).await;
            cluster.another_master(KEY, old).await;
        })
        .await;
}

#[tokio::test]
async fn runs_that_end_while_there_is_no_master_have_a_true_record() {
    let cluster = Cluster::start().await;
    let fleet = fleet(&cluster).await;
    let old = cluster.master_of(KEY).await;
    let kills = async {
        cluster.kill_master(KEY).await;
    };
    let fails_over = async {
        cluster.another_master(KEY, old).await;
    };
    fleet.runs_end_with_a_true_record(kills, fails_over).await;
}
