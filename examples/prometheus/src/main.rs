//! A worker whose locks Prometheus watches: it serves the metrics of `redis-locked` over HTTP while
//! its jobs compete for their locks, in this process and with every other that shares the Redis.
//!
//! ```sh
//! REDIS_URL=redis://127.0.0.1:6379 cargo run -p redis-locked-recipe-prometheus -- 127.0.0.1:9100
//! curl http://127.0.0.1:9100/metrics
//! ```
//!
//! `docs/metrics.md` says what to ask of them, and when to be woken.

use std::env;
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};
use redis_locked::{LockError, Locker, redis_locked};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;
use tokio::time::sleep;

/// Each tenant's reports are built one at a time; who wants the same one waits.
#[redis_locked(key = "report:{tenant}", ttl = "10s", wait = "5s")]
async fn build_report(tenant: &str) -> Result<(), LockError> {
    sleep(Duration::from_millis(20)).await;
    Ok(())
}

/// One worker of all cleans up; the others have better things to do.
#[redis_locked(key = "cleanup", ttl = "10s", skip)]
async fn clean_up() -> Result<(), LockError> {
    sleep(Duration::from_millis(60)).await;
    Ok(())
}

/// Some files are larger than the ttl allows for.
#[redis_locked(key = "import", ttl = "200ms", retries = 2)]
async fn import(size: Duration) -> Result<(), LockError> {
    sleep(size).await;
    Ok(())
}

/// It is due once a day, and has to be seen to be missed.
#[redis_locked(key = "nightly", ttl = "10m", skip)]
async fn nightly() -> Result<(), LockError> {
    println!("it is tomorrow");
    Ok(())
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// In seconds, the ttls among them. With buckets, quantiles can be computed over all processes;
/// without, the exporter would compute them for each.
const BUCKETS: [f64; 10] = [0.001, 0.005, 0.02, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0];

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let listen = env::args().nth(1).context("where to serve the metrics?")?;
    let listen: SocketAddr = listen.parse().context("not an address and a port")?;
    let url = env::var("REDIS_URL").context("REDIS_URL is not set")?;

    // Before the first lock: what was counted by nobody is not made up for.
    PrometheusBuilder::new()
        .with_http_listener(listen)
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &BUCKETS)?
        .install()?;
    let locker = Locker::builder().names(["nightly"]).connect(&url).await?;
    locker.install()?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    println!("metrics at http://{listen}/metrics");

    let mut jobs = JoinSet::new();
    for tenant in ["acme", "acme", "globex", "globex"] {
        jobs.spawn(again_and_again("report", async || {
            build_report(tenant).await
        }));
    }
    for _ in 0..2 {
        jobs.spawn(again_and_again("cleanup", clean_up));
    }
    jobs.spawn(async {
        loop {
            sleep(DAY).await;
            tell("nightly", nightly().await);
        }
    });
    jobs.spawn(async {
        let sizes = [50, 100, 50, 400].map(Duration::from_millis);
        for size in sizes.into_iter().cycle() {
            tell("import", import(size).await);
        }
    });

    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    // Cuts the jobs off, which releases their locks in the background: the second waits for that. How
    // to let them end first is in `cron`.
    jobs.shutdown().await;
    locker.shutdown().await;
    Ok(())
}

async fn again_and_again(job: &str, run: impl AsyncFn() -> Result<(), LockError>) {
    loop {
        tell(job, run().await);
        sleep(Duration::from_millis(30)).await;
    }
}

fn tell(job: &str, result: Result<(), LockError>) {
    if let Err(error) = result {
        eprintln!("{job}: {error}");
    }
}
