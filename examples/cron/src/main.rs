//! A job of `tokio-cron-scheduler` that is due every second on each machine, and runs on one of
//! them each time. When a machine dies, the others go on.
//!
//! ```sh
//! cargo run -p redis-locked-recipe-cron    # in several terminals, with a Redis on this machine
//! REDIS_URL=redis://10.0.0.1:6379 cargo run -p redis-locked-recipe-cron
//! ```

use std::env;
use std::error::Error;
use std::process;
use std::time::Duration;

use redis_locked::{LockError, Locker, redis_locked};
use tokio::signal::unix::{SignalKind, signal};
use tokio_cron_scheduler::{Job, JobScheduler};
use tokio_util::task::TaskTracker;

const SCHEDULE: &str = "* * * * * *";

/// The job. True where it ran; where another machine runs it, or has done so in this second, `skip`
/// returns the default, false.
///
/// For a nightly job, write `once_per = "1d"` and `ttl = "30s"`, and let the schedule call it every ten
/// minutes from two o'clock on: what failed, or died with its machine, is run again by the next call.
#[redis_locked(key = "clean_up", once_per = "1s", ttl = "2s", renew, skip)]
async fn clean_up() -> Result<bool, LockError> {
    println!("begun");
    tokio::time::sleep(Duration::from_millis(400)).await; // what there is to do
    println!("done");
    Ok(true)
}

async fn ask() {
    match clean_up().await {
        Ok(true) => {}
        Ok(false) => println!("elsewhere"),
        // Redis is down: the next call may do better.
        Err(error) => eprintln!("failed: {error}"),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned());
    let locker = Locker::connect(&url).await?;
    locker.install()?;

    let mut terminate = signal(SignalKind::terminate())?; // before the first job can begin
    let mut scheduler = JobScheduler::new().await?;
    let running = TaskTracker::new();
    let tracker = running.clone();
    let job = Job::new_async(SCHEDULE, move |_, _| Box::pin(tracker.track_future(ask())))?;
    scheduler.add(job).await?;
    scheduler.start().await?;
    println!("process {} waits for its turns", process::id());

    terminate.recv().await;
    println!("ending when the last job has ended");
    scheduler.shutdown().await?; // it starts nothing more, but does not wait for what it started
    running.close();
    running.wait().await;
    locker.shutdown().await;
    Ok(())
}
