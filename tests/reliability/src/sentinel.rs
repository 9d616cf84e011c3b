//! A master with two replicas that three sentinels watch.

use redis_locked_test_support::Sentinels;

use crate::load::Load;
use crate::worker::Topology;

const SERVERS: &str = "3 sentinels, a master, 2 replicas, `down-after-milliseconds` 1 s";
const WITH_REPLICAS: &str = "the same, with `replicas(2)`";

pub(crate) async fn run(rounds: usize) {
    for (servers, replicas) in [(SERVERS, 0), (WITH_REPLICAS, 2)] {
        let sentinels = Sentinels::start().await;
        let topology = Topology {
            kind: "sentinel",
            urls: sentinels.urls(),
            replicas,
        };
        let keys = ["job:1".to_owned(), "job:2".to_owned()];

        let mut load = Load::start(&topology, &keys, &[]).await;
        for _ in 0..rounds {
            load.fault(async {
                let killed = sentinels.kill_master().await;
                sentinels.another_master(killed).await;
                // Two replicas can confirm only when there are two.
                sentinels.server(killed).restart().await;
            })
            .await;
            sentinels.settled().await;
        }
        println!("{}", load.finish(servers, "kill -9 of the master").await);

        let mut load = Load::start(&topology, &keys, &[]).await;
        for _ in 0..rounds {
            load.fault(sentinels.fail_over()).await;
            sentinels.settled().await;
        }
        println!("{}", load.finish(servers, "`SENTINEL FAILOVER`").await);
    }
}
