//! The record of runs, when the master is killed.

use redis_locked::LockerBuilder;
use redis_locked_test_support::Sentinels;

use crate::failover::Fleet;

async fn fleet(sentinels: &Sentinels) -> Fleet {
    Fleet::new(|builder: LockerBuilder| {
        builder.connect_sentinel(sentinels.urls(), sentinels.name())
    })
    .await
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
