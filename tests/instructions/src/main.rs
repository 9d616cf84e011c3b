//! Calls an annotated function so many times, with locks in memory that nobody else wants.
//! `scripts/instructions.sh` counts the processor's instructions of a call by it.

use std::env;

use redis_locked::{LockError, Locker, redis_locked};
use tokio::runtime::Builder;

#[redis_locked(key = "job:{id}", ttl = "10s")]
async fn job(id: u32) -> Result<u32, LockError> {
    Ok(id)
}

fn main() -> Result<(), LockError> {
    let calls = env::args().nth(1).and_then(|calls| calls.parse().ok());
    let calls: u32 = calls.expect("how many calls");
    let runtime = Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime").block_on(async {
        Locker::in_memory().install()?;
        for id in 0..calls {
            assert_eq!(job(id).await?, id);
        }
        Ok(())
    })
}
