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
//!     locker.install()?; // annotated functions use it from now on
//!     println!("{}", build_report("acme").await?);
//!     locker.shutdown().await; // waits until no release is pending
//!     Ok(())
//! }
//! ```
//!
//! Calls for the same tenant run one at a time, on whatever machines. Calls for different tenants
//! don't exclude each other. The body is cut off after 5 s, its `ttl`; without a `ttl`, it is cut off
//! after 30 s. With `renew`, it may run for as long as it takes.
//!
//! [`redis_locked`] lists the arguments. Everything that the attribute does can be done by hand:
//! [`Locker::lock`] makes a [`LockRequest`], which [runs](LockRequest::run) a body or
//! [acquires](LockRequest::acquire) a [`LockGuard`].
//!
//! # Which ttl, and whether to renew
//!
//! The ttl is how long the key outlives a process that dies. Without `renew` it is also the longest
//! that the body may run: choose several times what it usually needs. Use `renew` if the body may
//! take longer than the others should wait for a dead process, or if nobody knows how long it takes.
//! Then choose a ttl of one and a half times the longest break of the connection that is to be
//! survived. [More](guide::ttl).
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
//! The function's error type must have `From<LockError>`. It may be [`LockError`] itself,
//! `anyhow::Error`, or an enum of your own.
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
//! [`LockError::Busy`] means that another holder has the key. [`LockError::Backend`] means that Redis
//! failed. In both cases, nothing of the body ran. With [`LockError::Lost`], a part of it may have
//! run. If a busy lock is no error for you, write `skip`. If the return type has no room for an error, write
//! `or_else = |error| …`.
//!
//! # When the lock ends
//!
//! The lock ends when the function returns. A handle, a stream or a response that it returns is used
//! without the lock, and so is a task that it has spawned.
//!
//! You may drop the future of an annotated function at any time, for example by `select!` or
//! `timeout`. Its body's state is dropped first; then the lock is released in the background, even if
//! Redis had not granted it yet. Those releases need the runtime: await [`Locker::shutdown`] before
//! the runtime ends. A call right after a cut-off may still find the lock busy.
//!
//! A body that is cut off ends where it awaits. Put what must not be left half done between two
//! awaits, or into a transaction. With `on_lost = finish`, the body runs to its end without the lock.
//! A body that blocks its thread cannot be cut off. [What else a lock can't do](guide::limits). If a
//! late write would do harm, send a [fencing token](FencingToken) with it, and [have it
//! checked](guide::fencing).
//!
//! # Testing
//!
//! [`Locker::in_memory`] needs no Redis. It runs on tokio's clock, which a test may pause. (On a paused
//! clock, every time limit of a connection to a real Redis would be over at once.) [`Locker::scope`]
//! gives each test a locker of its own, whereas [`Locker::install`] works once per process.
//! [More](guide::testing).
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
//! Code that must run only under a lock says so with [`Lease::assert_held`].
//!
//! # The guide
//!
//! - [Which ttl, and renew or not?](guide::ttl)
//! - [How does a job run once per night, hour or other period?](guide::jobs)
//! - [What if the job needs the number of its tick?](guide::ticks)
//! - [How does one process lead, or consume alone?](guide::leader)
//! - [How does a web handler lock?](guide::web)
//! - [Wait or retry?](guide::waiting)
//! - [How many at a time?](guide::several)
//! - [How do I lock several keys at once?](guide::keys)
//! - [How are durations written, and where do they come from?](guide::durations)
//! - [In which order do attributes stand?](guide::order)
//! - [How do I test my own functions?](guide::testing)
//! - [What about many machines, and deploys?](guide::deploy)
//! - [Which servers and services?](guide::servers)
//! - [What if Redis fails over?](guide::failover)
//! - [When do I need fencing, and how does the resource check it?](guide::fencing)
//! - [What can't a lock do?](guide::limits)
//! - [Coming from another library, in Java, Go, Python or Rust](guide::coming)

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(any(doc, doctest))]
pub mod guide;

pub use redis_locked_macros::redis_locked;
#[doc(hidden)]
pub use redis_locked_runtime::private as __private;
/// The crate `redis`, version 1, of which [`Locker::from_client`] takes a client. Name it through here, and it has
/// the version that fits. A new major version of `redis` comes with a breaking version of this crate only.
#[doc(no_inline)]
pub use redis_locked_runtime::redis;
pub use redis_locked_runtime::{
    Backoff, Credentials, FencingToken, Holder, LastRun, Lease, LockError, LockGuard, LockRequest,
    Locker, LockerBuilder, LostReason, OnLost, Outcome, Plain, Recorded, RunResult,
};

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
