//! What can't be locked.

use std::future::Future;
use std::pin::Pin;

use redis_locked::{LockError, redis_locked};

#[redis_locked(key = "k")]
fn not_async() -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "k")]
fn returns_a_future() -> Pin<Box<dyn Future<Output = ()>>> {
    Box::pin(async {})
}

#[redis_locked(key = "k")]
async fn never() -> ! {
    loop {}
}

struct Shop;

#[redis_locked(key = "k")]
impl Shop {
    async fn sell(&self) {}
}

#[redis_locked(key = "k")]
trait Job {
    #[redis_locked(key = "k")]
    async fn run(&self) -> Result<(), LockError>;
}

#[redis_locked(key = "k")]
unsafe impl Send for Shop {}

#[redis_locked(key = "k")]
pub struct Thing {
    name: String,
}

#[redis_locked(key = "k")]
mod jobs {}

macro_rules! job {
    ($ret:ty) => {
        #[redis_locked(key = "k")]
        async fn made_by_a_macro() -> $ret {
            loop {}
        }
    };
}

job!(!);

#[tokio::main]
#[redis_locked(key = "k")]
async fn main() -> Result<(), LockError> {
    Ok(())
}
