//! One replica leads: it runs a loop that must not run twice. The others stand by, and one of them takes
//! over when the leader ends, dies, or cannot reach Redis.
//!
//! ```sh
//! cargo run -p redis-locked-recipe-leader    # in several terminals, with a Redis on this machine
//! REDIS_URL=redis://10.0.0.1:6379 cargo run -p redis-locked-recipe-leader
//! ```

use std::env;
use std::error::Error;
use std::process;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis_locked::{LockError, Locker, redis_locked};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::sleep;
use tokio::{pin, select};
use tokio_util::sync::CancellationToken;

/// How long the others may be without a leader when it dies.
const TTL: Duration = Duration::from_secs(3);

/// Leads until it is told to stop, or its lock is lost: then it is cut off where it awaits.
///
/// - `wait` stands by, in a line: whoever came first leads next.
/// - `renew` keeps the lock, for as long as this process lives and reaches Redis.
/// - `max_idle` gives the lead up if the loop hangs, on a request that never answers.
#[redis_locked(key = "leader", ttl = TTL, renew, wait, max_idle = "1m")]
async fn lead(stop: &CancellationToken, leads: &AtomicBool) -> Result<(), LockError> {
    leads.store(true, Ordering::Relaxed);
    println!("leads");
    let mut count = 0;
    while !stop.is_cancelled() {
        count += 1;
        sleep(Duration::from_millis(100)).await; // one step of the work
        println!("step {count}");
        select! {
            () = stop.cancelled() => {}
            () = sleep(Duration::from_millis(100)) => {}
        }
    }
    println!("steps down after step {count}");
    Ok(()) // the lock is released, and the next one leads at once
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = env::var("REDIS_URL").unwrap_or_else(|_| "redis://127.0.0.1:6379".to_owned());
    // A process that starts while Redis is down stands by until it is up.
    let locker = Locker::connect_lazy(&url)?;
    locker.install()?;

    let mut terminate = signal(SignalKind::terminate())?;
    let (stop, leads) = (CancellationToken::new(), AtomicBool::new(false));
    println!("process {} stands by", process::id());
    while !stop.is_cancelled() {
        let leading = lead(&stop, &leads);
        pin!(leading);
        let ended = select! {
            ended = &mut leading => ended,
            _ = terminate.recv() => {
                stop.cancel();
                if !leads.load(Ordering::Relaxed) {
                    break; // it stands by: what is dropped gives its place in the line back
                }
                leading.await // it leads, and ends its step first
            }
        };
        leads.store(false, Ordering::Relaxed);
        if let Err(error) = ended {
            // It has lost the lead, and stands by again, behind the others.
            eprintln!("{error}");
            println!("leads no more");
            sleep(Duration::from_millis(100)).await;
        }
    }
    locker.shutdown().await;
    Ok(())
}
