//! A holder that stands still past its ttl, and a table that refuses what it writes then.
//!
//! ```sh
//! cargo run -p redis-locked-recipe-fencing
//! ```
//!
//! Locks are in memory, or in the Redis of `REDIS_URL`.

use std::env;
use std::error::Error;
use std::thread;

use redis_locked::Locker;
use redis_locked_recipe_fencing::{TTL, change, open, set};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let locker = match env::var("REDIS_URL") {
        Ok(url) => Locker::connect(&url).await?,
        Err(_) => Locker::in_memory(),
    };
    let path = env::temp_dir().join(format!("redis-locked-fencing-{}.db", std::process::id()));
    let database = open(&path)?;
    set(&locker, &database, "acme", 100).await?;

    let (has_read, read) = oneshot::channel();
    let late = tokio::task::spawn_blocking({
        let (locker, database) = (locker.clone(), open(&path)?);
        move || {
            Handle::current().block_on(change(&locker, &database, "acme", |balance| {
                println!("the first holder reads {balance}, and stands still");
                let _ = has_read.send(());
                thread::sleep(2 * TTL);
                println!("the first holder goes on, and writes {}", balance + 10);
                balance + 10
            }))
        }
    });
    read.await?;
    let balance = change(&locker, &database, "acme", |balance| balance - 30).await?;
    println!("the second holder has written {balance}");
    match late.await? {
        Err(error) => println!("refused: {error}"),
        Ok(balance) => println!("{balance} was written, and the second holder's change is lost"),
    }
    locker.shutdown().await;
    drop(database);
    std::fs::remove_file(&path)?;
    Ok(())
}
