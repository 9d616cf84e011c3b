//! Runs an `async fn` only while it holds a lock in Redis.
//!
//! ```no_run
//! use redis_locked::{LockError, Locker, redis_locked};
//!
//! #[redis_locked(key = "report:{tenant}", ttl = "5s", retries = 3)]
//! async fn build_report(tenant: &str) -> Result<String, LockError> {
//!     Ok(format!("the report of {tenant}"))
//! }
//!
//! #[tokio::main]
//! async fn main() -> Result<(), LockError> {
//!     let locker = Locker::connect("redis://127.0.0.1:6379").await?;
//!     locker.install()?; // what annotated functions use from now on
//!     println!("{}", build_report("acme").await?);
//!     locker.shutdown().await; // waits until no release is pending
//!     Ok(())
//! }
//! ```
//!
//! Calls with the same tenant run one at a time, on whatever machines; those with different tenants
//! don't exclude each other. [`redis_locked`] lists the arguments. All that the attribute does can
//! be done by hand: [`Locker::lock`] makes a [`LockRequest`], which [runs](LockRequest::run) a body
//! or [acquires](LockRequest::acquire) a [`LockGuard`].
//!
//! # Which ttl, and whether to renew
//!
//! The ttl is how long the key outlives a process that dies. Without `renew` it is also the longest
//! that the body may run: take several times what it usually needs. Renew when the body may take
//! longer than the others should wait for a dead process, or nobody knows how long it takes; then
//! the ttl only has to be one and a half times the breaks in the connection that are to be survived.
//! [More](guide::ttl).
//!
//! ```
//! # use redis_locked::{LockError, redis_locked};
//! #[redis_locked(key = "import", ttl = "10s", renew, max_hold = "2h")]
//! async fn import() -> Result<(), LockError> {
//!     // … minutes or an hour …
//! #   Ok(())
//! }
//! ```
//!
//! # Errors
//!
//! The function's error type takes a [`LockError`] through `From`: [`LockError`] itself,
//! `anyhow::Error`, or an enum of one's own.
//!
//! ```
//! # use redis_locked::{LockError, redis_locked};
//! #[derive(Debug)]
//! enum BillingError {
//!     Lock(LockError),
//!     NoAddress,
//! }
//!
//! impl From<LockError> for BillingError {
//!     fn from(error: LockError) -> Self {
//!         Self::Lock(error)
//!     }
//! }
//!
//! #[redis_locked(key = "invoice:{order}", retries = 3)]
//! async fn bill(order: u64) -> Result<(), BillingError> {
//!     Err(BillingError::NoAddress)
//! }
//!
//! # async fn caller() -> Result<(), BillingError> {
//! match bill(7).await {
//!     Err(BillingError::Lock(error)) if error.is_busy() => { /* someone else bills it */ }
//!     Err(BillingError::Lock(error)) if error.is_lost() => { /* cut off: it may be half done */ }
//!     other => other?,
//! }
//! # Ok(())
//! # }
//! ```
//!
//! [`LockError::Busy`] means that another holder has the key, [`LockError::Backend`] that Redis
//! failed; in both cases none of the body ran. With [`LockError::Lost`], a part of it may have run.
//! Where busy is no error, write `skip`; where the return type has no room for an error,
//! `or_else = |error| …`.
//!
//! # Cancellation
//!
//! The future of an annotated function may be dropped at any time, by `select!` or `timeout` as
//! well: its body's state is dropped first, then the lock is released in the background, whether or
//! not Redis had granted it yet. Those releases need the runtime: await [`Locker::shutdown`] before
//! it ends. A call right after a cut-off may still find the lock busy.
//!
//! A body that is cut off ends where it awaits. What it must not leave half done belongs between
//! two awaits or into a transaction. With `on_lost = finish` it runs to its end, without the lock.
//! A body that blocks its thread cannot be cut off, which is not all that [a lock can't
//! do](guide::limits). Where a late write would do harm, send a [fencing token](FencingToken)
//! along, and [have it checked](guide::fencing).
//!
//! # Testing
//!
//! [`Locker::in_memory`] needs no Redis and runs on tokio's clock, also a paused one (with a
//! real Redis, every time limit of a connection would be over at once on it);
//! [`Locker::scope`] gives each test a locker of its own, where [`Locker::install`] works once per
//! process.
//!
//! ```
//! # use redis_locked::{LockError, Locker, redis_locked};
//! # use std::time::Duration;
//! #[redis_locked(key = "nightly", ttl = "10s")]
//! async fn nightly() -> Result<(), LockError> {
//!     tokio::time::sleep(Duration::from_secs(60)).await;
//!     Ok(())
//! }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() {
//! // In a #[tokio::test(start_paused = true)]:
//! let error = Locker::in_memory().scope(nightly()).await.unwrap_err();
//! assert!(error.is_lost());
//! # }
//! ```
//!
//! Code that must only run under a lock says so with [`Lease::assert_held`].
//!
//! # The guide
//!
//! - [Which ttl, and renew or not?](guide::ttl)
//! - [What if Redis fails over?](guide::failover)
//! - [When do I need fencing, and how does the resource check it?](guide::fencing)
//! - [How does a job run once per tick?](guide::jobs)
//! - [Wait or retry?](guide::waiting)
//! - [What about many machines, and deploys?](guide::deploy)
//! - [Which servers and services?](guide::servers)
//! - [What can't a lock do?](guide::limits)
//! - [Coming from another library, in Java, Go, Python or Rust](guide::coming)

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(any(doc, doctest))]
pub mod guide;

pub use redis_locked_macros::redis_locked;
#[doc(hidden)]
pub use redis_locked_runtime::private as __private;
pub use redis_locked_runtime::{
    Backoff, Credentials, FencingToken, Lease, LockError, LockGuard, LockRequest, Locker,
    LockerBuilder, LostReason, OnLost,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
