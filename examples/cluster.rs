//! Three checkouts sell the same few seats, with the locks on a Redis Cluster; meanwhile a master
//! of the cluster is killed. No seat is sold twice, and the sale goes on by itself.
//!
//! ```sh
//! cargo run --example cluster --features cluster    # starts a cluster of its own for a minute
//! REDIS_CLUSTER_URLS="redis://10.0.0.1:6379 redis://10.0.0.2:6379" \
//!     cargo run --example cluster --features cluster
//! ```
//!
//! The first needs `redis-server` on the path, or in `REDIS_SERVER`.

use std::collections::BTreeMap;
use std::env;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use redis_locked::{FencingToken, Lease, LockError, Locker, redis_locked};
use redis_locked_test_support::Cluster;
use tokio::task::JoinSet;

const SEATS: usize = 12;
const CHECKOUTS: [&str; 3] = ["web", "phone", "desk"];

/// The shop's database. Like every place that must not take a write of someone who lost the lock,
/// it remembers the last fencing token, and refuses smaller ones.
#[derive(Default)]
struct Seats(Mutex<BTreeMap<usize, (FencingToken, &'static str)>>);

impl Seats {
    fn sell(&self, seat: usize, to: &'static str, token: FencingToken) -> Option<&'static str> {
        let mut sold = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match sold.get(&seat) {
            Some((last, owner)) if *last >= token || *owner != to => Some(owner),
            _ => {
                sold.insert(seat, (token, to));
                None
            }
        }
    }
}

/// Each seat has a lock of its own, on whichever node has its slot. `wait` outlasts a failover:
/// the waiter is woken when the lock is released, and asks again while its node is gone.
#[redis_locked(key = "seat:{seat}", ttl = "20s", wait = "60s", fenced, bind = lease)]
async fn sell(seat: usize, to: &'static str, seats: &Seats) -> Result<bool, LockError> {
    tokio::time::sleep(Duration::from_millis(150)).await; // the card is charged
    let token = fencing_token(&lease);
    Ok(seats.sell(seat, to, token).is_none())
}

fn fencing_token(lease: &Lease) -> FencingToken {
    lease.fencing_token().expect("asked for with `fenced`")
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let (urls, ours) = if let Ok(urls) = env::var("REDIS_CLUSTER_URLS") {
        (urls.split_whitespace().map(str::to_owned).collect(), None)
    } else {
        println!("Starting a cluster (set REDIS_CLUSTER_URLS for one of yours) …");
        let cluster = Cluster::start().await;
        (cluster.urls(), Some(cluster))
    };
    let locker = Locker::builder().prefix("cinema:").connect_cluster(urls);
    locker.await?.install()?;

    let start = Instant::now();
    let seats = Arc::new(Seats::default());
    let mut calls = JoinSet::new();
    for checkout in CHECKOUTS {
        for seat in 0..SEATS {
            let seats = Arc::clone(&seats);
            calls.spawn(async move { (seat, checkout, sell(seat, checkout, &seats).await) });
        }
    }
    if let Some(cluster) = &ours {
        cluster.kill_master("cinema:seat:0").await;
        println!("{:4.1?}  a master was killed", start.elapsed());
    }
    let mut sold = 0;
    while let Some(call) = calls.join_next().await {
        let (seat, checkout, outcome) = call?;
        let at = start.elapsed();
        match outcome {
            Ok(true) => {
                sold += 1;
                println!("{at:4.1?}  seat {seat} is sold by {checkout}");
            }
            Ok(false) => {} // another checkout was first
            Err(error) => println!("{at:4.1?}  {checkout} could not sell seat {seat}: {error}"),
        }
    }
    println!("{:4.1?}  {sold} of {SEATS} seats are sold", start.elapsed());
    Ok(if sold == SEATS {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
