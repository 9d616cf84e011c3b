//! The record of runs, when the master is killed.

use redis_locked::{Locker, LockerBuilder};
use redis_locked_test_support::Sentinels;

use crate::failover::{CONFIRMED, Fleet};

async fn fleet(sentinels: &Sentinels) -> Fleet {
    let connect = async |builder: LockerBuilder| {
        let connecting = builder.connect_sentinel(sentinels.urls(), sentinels.name());
        connecting.await.expect("they answer")
    };
    let (count, within) = CONFIRMED;
    Fleet {
        ours: connect(Locker::builder()).await,
        theirs: connect(Locker::builder()).await,
        confirming: connect(Locker::builder().replicas(count, within)).await,
    }
}

#[tokio::test]
async fn a_success_counts_at_the_new_master() {
    let sentinels = Sentinels::start().await;
    let fleet = fleet(&sentinels).await;
    fleet
        .a_success_counts_at_the_new_master(async {
            let old = sentinels.kill_master().await;
            sentinels.another_master(old).await;
        })
        .await;
}

#[tokio::test]
async fn runs_that_end_while_there_is_no_master_have_a_true_record() {
    let sentinels = Sentinels::start().await;
    let fleet = fleet(&sentinels).await;
    let old = sentinels.master().await;
    let kills = async {
        sentinels.kill_master().await;
    };
    let fails_over = async {
        sentinels.another_master(old).await;
    };
    fleet.runs_end_with_a_true_record(kills, fails_over).await;
}
