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

use chrono::Utc;
use croner::Cron;
use croner::parser::{CronParser, Seconds};
use redis_locked::{LockError, Locker, redis_locked};
use tokio::signal::unix::{SignalKind, signal};
use tokio_cron_scheduler::{Job, JobScheduler};
use tokio_util::task::TaskTracker;

const JOB: &str = "clean_up";
const SCHEDULE: &str = "* * * * * *";

/// The job. True where it ran; where another machine has it, `skip` returns the default, false.
///
/// - `key` names the job and the tick, so that one machine per tick gets it. A key without the tick
///   would only keep two machines from running at the same time: the second, a little later, would
///   run the tick again.
/// - `min_hold` keeps the key when the job is done, for machines that come later: those that poll at
///   another moment, or whose clock is up to a minute late.
/// - `ttl` is as long, which is also the longest that the job may take. If the machine dies at it,
///   nobody repeats this tick; the next is not concerned, as it has another key.
///
/// If a run must not overlap with the next tick's either, have it call a function that is
/// annotated with `key = "{JOB}"`.
#[redis_locked(key = "{JOB}:{tick}", ttl = "1m", min_hold = "1m", skip)]
async fn clean_up(tick: i64) -> Result<bool, LockError> {
    println!("{tick} begun");
    tokio::time::sleep(Duration::from_millis(400)).await; // what there is to do
    println!("{tick} done");
    Ok(true)
}

/// The tick that is due: the last at or before now. The scheduler looks at the clock twice a second,
/// on each machine at another moment, so that the time when it calls is not the same everywhere. Both
/// are in UTC.
fn due(schedule: &Cron) -> Option<i64> {
    let tick = schedule.find_previous_occurrence(&Utc::now(), true).ok()?;
    Some(tick.timestamp())
}

async fn ask_for(tick: i64) {
    match clean_up(tick).await {
        Ok(true) => {}
        Ok(false) => println!("{tick} elsewhere"),
        // Redis is down, or the job took longer than its ttl: the next tick may do better.
        Err(error) => eprintln!("{tick} failed: {error}"),
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned());
    let locker = Locker::connect(&url).await?;
    locker.install()?;

    // As the scheduler reads it: both the day of the month and that of the week have to fit.
    let parser = CronParser::builder().seconds(Seconds::Required);
    let schedule = parser.dom_and_dow(true).build().parse(SCHEDULE)?;
    let mut terminate = signal(SignalKind::terminate())?; // before the first job can begin
    let mut scheduler = JobScheduler::new().await?;
    let running = TaskTracker::new();
    let tracker = running.clone();
    let job = Job::new_async(SCHEDULE, move |_, _| {
        let tick = due(&schedule); // before the task waits for a thread
        Box::pin(tracker.track_future(async move {
            if let Some(tick) = tick {
                ask_for(tick).await;
            }
        }))
    })?;
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
