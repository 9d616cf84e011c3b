//! One server, and processes that wait in line for one key: they, their connections and what the server
//! keeps of the line are broken.

use std::time::Duration;

use redis_locked_test_support::{Process, Server, until};

use crate::load::Load;
use crate::worker::Topology;

const SERVERS: &str = "one server, 4 processes in line for one key, ttl 2 s";
const KEY: &str = "job:1";
const LIMIT: Duration = Duration::from_secs(30);

pub(crate) async fn run(rounds: usize) {
    let server = Server::start().await;
    let topology = Topology {
        kind: "line",
        urls: vec![server.url()],
        replicas: 0,
    };
    let (fault, mut load) = ("none, for 2 s", start(&topology).await);
    for _ in 0..rounds {
        load.fault(tokio::time::sleep(Duration::from_secs(2))).await;
    }
    println!("{}", load.finish(SERVERS, fault).await);

    let (fault, mut load) = ("kill -9 of a process in line", start(&topology).await);
    for _ in 0..rounds {
        loop {
            let killed = load.another().await;
            if !load.fault(dies_with_the_key(&server, &killed)).await {
                break;
            }
            // That is the row below.
            load.forget_fault();
        }
    }
    println!("{}", load.finish(SERVERS, fault).await);

    let (fault, mut load) = (
        "a process in line stands still for 5 s",
        start(&topology).await,
    );
    for _ in 0..rounds {
        let still = load.another().await;
        load.fault(async {
            still.stop();
            tokio::time::sleep(Duration::from_secs(5)).await;
            still.resume();
        })
        .await;
    }
    println!("{}", load.finish(SERVERS, fault).await);

    let (fault, mut load) = ("kill -9 of the holder", start(&topology).await);
    for _ in 0..rounds {
        loop {
            let killed = load.another().await;
            until(LIMIT, "it has the key", async || {
                has_the_key(&server, &killed).await
            })
            .await;
            if load.fault(dies_with_the_key(&server, &killed)).await {
                break;
            }
            load.forget_fault();
        }
    }
    println!("{}", load.finish(SERVERS, fault).await);

    let (fault, mut load) = ("all connections are closed", start(&topology).await);
    for _ in 0..rounds {
        load.fault(server.kill_clients()).await;
    }
    println!("{}", load.finish(SERVERS, fault).await);

    let (fault, mut load) = ("the line and the seats are deleted", start(&topology).await);
    for _ in 0..rounds {
        load.fault(async {
            server.del(&format!("{{{KEY}}}:line")).await;
            server.del(&format!("{{{KEY}}}:seats")).await;
        })
        .await;
    }
    println!("{}", load.finish(SERVERS, fault).await);

    let (fault, mut load) = ("`SCRIPT FLUSH`", start(&topology).await);
    for _ in 0..rounds {
        load.fault(server.flush_scripts()).await;
    }
    println!("{}", load.finish(SERVERS, fault).await);
}

async fn start(topology: &Topology) -> Load {
    Load::start(topology, &[KEY.to_owned()], &[]).await
}

async fn has_the_key(server: &Server, process: &Process) -> bool {
    let value = server.get(KEY).await.unwrap_or_default();
    value.ends_with(&format!(":{}", process.id()))
}

/// Kills it: whether it had the key then.
async fn dies_with_the_key(server: &Server, process: &Process) -> bool {
    process.kill();
    has_the_key(server, process).await
}
