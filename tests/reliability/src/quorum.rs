//! Five servers that know nothing of one another.

use std::time::Duration;

use redis_locked_test_support::{Proxy, Server};
use tokio::time::sleep;

use crate::load::Load;
use crate::worker::Topology;

const SERVERS: &str = "quorum of 5, `server_timeout` 300 ms";
/// How long a fault lasts. Also the ttl of the locks: a server that has forgotten its keys stays
/// away for as long, as the docs of `connect_quorum` demand.
const FAULT: Duration = Duration::from_secs(2);

enum Fault {
    None,
    Stop,
    Kill,
    LoseRequests,
    LoseAnswers,
}

pub(crate) async fn run(rounds: usize) {
    let mut servers = Vec::new();
    let mut proxies = Vec::new();
    for _ in 0..5 {
        let server = Server::start().await;
        proxies.push(server.proxy().await);
        servers.push(server);
    }
    let topology = Topology {
        kind: "quorum",
        urls: proxies.iter().map(Proxy::url).collect(),
        replicas: 0,
    };
    let keys = ["job:1".to_owned(), "job:2".to_owned()];
    for (fault, count, name) in [
        (Fault::None, 0, "none, for 2 s"),
        (Fault::Stop, 1, "one stands still for 2 s"),
        (Fault::Stop, 2, "two stand still for 2 s"),
        (Fault::Stop, 3, "three stand still for 2 s"),
        (
            Fault::Kill,
            1,
            "kill -9 of one, back without data after 2 s",
        ),
        (
            Fault::Kill,
            2,
            "kill -9 of two, back without data after 2 s",
        ),
        (Fault::LoseRequests, 1, "nothing gets to one for 2 s"),
        (Fault::LoseAnswers, 1, "nothing comes from one for 2 s"),
        (Fault::LoseRequests, 2, "nothing gets to two for 2 s"),
        (Fault::LoseAnswers, 2, "nothing comes from two for 2 s"),
    ] {
        let mut load = Load::start(&topology, &keys, &[]).await;
        for round in 0..rounds {
            // Other ones each time.
            let numbers: Vec<_> = (round..round + count).map(|number| number % 5).collect();
            load.fault(async {
                for number in &numbers {
                    fault.begin(&servers[*number], &proxies[*number]);
                }
                sleep(FAULT).await;
                for number in &numbers {
                    fault.end(&servers[*number], &proxies[*number]).await;
                }
            })
            .await;
        }
        println!("{}", load.finish(SERVERS, name).await);
    }
}

impl Fault {
    fn begin(&self, server: &Server, proxy: &Proxy) {
        match self {
            Self::None => {}
            Self::Stop => server.stop_process(),
            Self::Kill => server.kill(),
            // Held back, as TCP does: it comes when the network is whole again.
            Self::LoseRequests => proxy.stall_requests(true),
            Self::LoseAnswers => proxy.stall_answers(true),
        }
    }

    async fn end(&self, server: &Server, proxy: &Proxy) {
        match self {
            Self::None => {}
            Self::Stop => server.continue_process(),
            Self::Kill => server.restart().await,
            Self::LoseRequests => proxy.stall_requests(false),
            Self::LoseAnswers => proxy.stall_answers(false),
        }
    }
}
