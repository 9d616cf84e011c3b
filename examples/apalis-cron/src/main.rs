//! A job of apalis' cron that is due every second on each machine, and runs on one of them each time.
//! Where it fails, apalis tries again; where its machine dies, another's next tick runs it.
//!
//! ```sh
//! cargo run -p redis-locked-recipe-apalis-cron    # in several terminals, with a Redis on this machine
//! redis-cli SADD orders 7 8 9
//! redis-cli LRANGE reports 0 -1
//! ```

use std::env;
use std::io;
use std::process;
use std::str::FromStr;

use apalis::layers::WorkerBuilderExt;
use apalis::layers::retry::RetryPolicy;
use apalis::prelude::{BoxDynError, Data, Event, EventListenerExt, WorkerBuilder};
use apalis_cron::{CronScheduler, Tick};
use cron::Schedule;
use redis::AsyncCommands;
use redis::aio::ConnectionManager;
use redis_locked::{Locker, redis_locked};
use tokio::signal::unix::{SignalKind, signal};

const SCHEDULE: &str = "* * * * * *";
/// How often apalis tries again where the job failed. Tries of other machines count as well: their next ticks.
const RETRIES: usize = 2;

/// The job. Where another machine runs it, or has done so in this second, `skip` returns `Ok(())`: for
/// apalis, this tick is done.
///
/// An `Err` leaves the second open. So apalis' retry runs the job again, and no other machine meanwhile.
///
/// For a nightly job, write `once_per = "1d"` and `ttl = "30s"`, and let the schedule call it every ten
/// minutes from two o'clock on. The tick says when it was due on this machine. Each has its own ticks, so
/// don't make a key of it.
#[redis_locked(key = "report", once_per = "1s", ttl = "2s", renew, skip)]
async fn report(tick: Tick, shop: Data<ConnectionManager>) -> Result<(), BoxDynError> {
    let mut shop = ConnectionManager::clone(&shop);
    let orders: u64 = shop.scard("orders").await?;
    let (due, me) = (tick.get_timestamp(), process::id());
    let line = format!("{due}: {orders} orders, by {me}");
    Ok(shop.rpush("reports", line).await?)
}

#[tokio::main]
async fn main() -> Result<(), BoxDynError> {
    let url = env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned());
    let locker = Locker::connect(&url).await?;
    locker.install()?;
    let client = redis::Client::open(url)?;
    let shop = ConnectionManager::new(client).await?;

    let mut terminate = signal(SignalKind::terminate())?;
    let worker = WorkerBuilder::new(format!("machine-{}", process::id()))
        .backend(CronScheduler::new(Schedule::from_str(SCHEDULE)?))
        .retry(RetryPolicy::retries(RETRIES))
        .data(shop)
        .on_event(|_, event| match event {
            Event::Start => println!("waits for its ticks"),
            Event::Error(error) => println!("failed: {error}"),
            _ => {}
        })
        .build(report);
    // The job that runs then is ended first.
    worker
        .run_until(async move {
            terminate.recv().await;
            Ok::<_, io::Error>(())
        })
        .await?;
    locker.shutdown().await;
    Ok(())
}
