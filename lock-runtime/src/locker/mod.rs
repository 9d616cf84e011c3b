//! The configured handle that grants locks, and which one applies.

mod builder;
mod connect;
mod holders;
mod quorum;
#[cfg(simulation)]
mod simulated;

use std::fmt;
use std::future::Future;
use std::sync::{Arc, OnceLock};

use tokio::time::Instant;

use crate::error::LockError;
use crate::hold::Common;
use crate::key::record_key;
use crate::request::{LockRequest, NoLocker, whole_key};
use crate::store::LastRun;
use crate::store::redis::Servers;
pub use builder::LockerBuilder;
pub use holders::Holder;

static INSTALLED: OnceLock<Locker> = OnceLock::new();
static FROM_ENVIRONMENT: OnceLock<Locker> = OnceLock::new();

tokio::task_local! {
    static SCOPED: Locker;
}

/// The handle that grants locks: a store and its defaults. It is cheap to clone, and clones are the same
/// locker, so an `Arc<Locker>` is not needed. Where one is there, `locker = …` takes it as well.
///
/// ```no_run
/// # use redis_locked_runtime as redis_locked;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), redis_locked::LockError> {
/// let locker = redis_locked::Locker::connect("redis://127.0.0.1:6379").await?;
/// locker.install()?; // what annotated functions use from now on
/// // …
/// locker.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Locker {
    common: Arc<Common>,
}

impl Locker {
    /// Connects to one Redis server, with the defaults of [`builder`](Self::builder).
    ///
    /// The connection opens itself again whenever it breaks.
    ///
    /// # Errors
    ///
    /// Those of [`LockerBuilder::connect`].
    pub async fn connect(url: &str) -> Result<Self, LockError> {
        Self::builder().connect(url).await
    }

    /// Like [`connect`](Self::connect), but connects with the first request: for services that must
    /// start while Redis is down. Until Redis is up, requests fail with `Backend`, unless their
    /// `retries` or `wait` outlast it.
    ///
    /// ```
    /// # use redis_locked_runtime as redis_locked;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), redis_locked::LockError> {
    /// let locker = redis_locked::Locker::connect_lazy("redis://127.0.0.1:6379")?;
    /// locker.install()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// With other settings, or on several servers: [`LockerBuilder::lazy`].
    ///
    /// # Errors
    ///
    /// `Backend` when the URL cannot be used.
    pub fn connect_lazy(url: &str) -> Result<Self, LockError> {
        Self::builder().connect_later(url)
    }

    /// A locker with other defaults.
    pub fn builder() -> LockerBuilder {
        LockerBuilder::default()
    }

    /// A locker on a client of the crate `redis`, with the defaults of [`builder`](Self::builder). It
    /// connects with the first request.
    ///
    /// The client has to be of the version that this crate depends on, which it re-exports:
    ///
    /// ```
    /// # use redis_locked_runtime as redis_locked;
    /// use redis_locked::{Locker, redis};
    ///
    /// # fn main() -> Result<(), redis::RedisError> {
    /// let client = redis::Client::open("redis://127.0.0.1:6379")?;
    /// let locker = Locker::from_client(client);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn from_client(client: redis::Client) -> Self {
        Self::builder().from_client(client)
    }

    /// A locker whose locks are in this process's memory, on tokio's clock. It is for tests of your own
    /// functions, also under `tokio::time::pause`, and for programs of which only one process runs.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::builder().in_memory()
    }

    /// Makes this the locker of all annotated functions that name no other. Call it once, when the program
    /// starts.
    ///
    /// # Errors
    ///
    /// `InvalidRequest` when one is installed already.
    pub fn install(&self) -> Result<(), LockError> {
        INSTALLED.set(self.clone()).map_err(|_| {
            LockError::not_set_up(
                "another is installed already; install one, at the start of the program, \
                     and use `Locker::scope` or `locker = …` for others",
            )
        })
    }

    /// Runs a future in which annotated functions use this locker. Of several scopes, the innermost counts.
    ///
    /// A task that the future spawns is outside of the scope. Give it a scope of its own:
    /// `tokio::spawn(locker.scope(future))`.
    ///
    /// ```
    /// # use redis_locked_runtime as redis_locked;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let locker = redis_locked::Locker::in_memory();
    /// locker.scope(async { /* call annotated functions */ }).await;
    /// # }
    /// ```
    pub fn scope<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        SCOPED.scope(self.clone(), future)
    }

    /// A request for the lock of this key, to which the locker's prefix is added.
    ///
    /// The key may be any text that is not empty. Some names are refused, since the library keeps keys of
    /// these names beside a lock's key: names that have a part in braces and end in `:fence`, `:line`,
    /// `:seats` or `:last`, such as `{z}:fence`.
    pub fn lock(&self, key: impl Into<String>) -> LockRequest {
        LockRequest::new(Ok(self.common()), key.into())
    }

    /// A request for the locks of all of these keys, from 1 to 64: all or none, in whatever order they are
    /// named. Two such requests that have keys in common never wait for each other.
    ///
    /// The keys are had one after the other, in the order of their bytes; one that is named twice counts
    /// once. They may lie anywhere in a cluster, and on a quorum. With `wait`, each is waited for in its own
    /// line, `wait` limits the whole, and those that are there are extended meanwhile. With `retries`, an
    /// attempt asks for all, and gives back what it got before it pauses. The turn begins when the last
    /// is there: from then on count `max_hold` and `min_hold`.
    ///
    /// The guard has them all: it is held as long as each of them is, its deadline is the earliest, and
    /// [`keys`](crate::Lease::keys) names them. The release of all is sent at once. Errors name the key that
    /// they are about.
    ///
    /// A request for several keys takes what one for a single key takes, each of its keys by itself:
    /// [`permits(3)`](LockRequest::permits) lets in three at each key. [`fenced`](LockRequest::fenced),
    /// [`coalesce`](LockRequest::coalesce), [`once_per`](LockRequest::once_per) and
    /// [`record`](LockRequest::record) are of one key, and refused here.
    ///
    /// ```
    /// # use redis_locked_runtime as redis_locked;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), redis_locked::LockError> {
    /// use std::time::Duration;
    /// let locker = redis_locked::Locker::in_memory();
    /// let (from, to) = ("7", "42");
    /// let accounts = [format!("account:{from}"), format!("account:{to}")];
    /// let both = locker.lock_all(accounts).wait(Duration::from_secs(10)).acquire().await?;
    /// assert_eq!(both.keys().collect::<Vec<_>>(), ["account:42", "account:7"]);
    /// let error = locker.lock("account:7").acquire().await.unwrap_err();
    /// assert!(error.is_busy());
    /// both.release().await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn lock_all(&self, keys: impl IntoIterator<Item = impl Into<String>>) -> LockRequest {
        let keys = keys.into_iter().map(Into::into);
        LockRequest::of_all(Ok(self.common()), keys.collect())
    }

    /// Who holds this key at the moment, the first to end in front: nobody, one, or several with
    /// [`permits`](crate::LockRequest::permits) or [`shared`](crate::LockRequest::shared), of whom no more
    /// than the first 1,000 are told. It takes nothing, and costs one command.
    ///
    /// What it says may be over when it is heard: ask for the lock to know whether it is free. A place
    /// that is kept for its [`min_hold`](crate::LockRequest::min_hold) is among them.
    ///
    /// ```
    /// # use redis_locked_runtime as redis_locked;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), redis_locked::LockError> {
    /// let locker = redis_locked::Locker::builder().owner("web-1").in_memory();
    /// let export = locker.lock("export").permits(3).acquire().await?;
    /// let holders = locker.holders("export").await?;
    /// assert_eq!(holders.len(), 1);
    /// assert_eq!(holders[0].owner.as_deref(), Some("web-1"));
    /// # drop(export);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// `Backend` when Redis could not be asked, `InvalidRequest` for an empty key or the name of a side
    /// key, and on a quorum, whose servers need not agree.
    ///
    /// # Cancellation
    ///
    /// Dropping the future does nothing.
    pub async fn holders(&self, key: impl Into<String>) -> Result<Vec<Holder>, LockError> {
        holders::holders(&self.common, key.into()).await
    }

    /// What is known of the last run of this key's lock, without the prefix, that was asked for with
    /// [`once_per`](LockRequest::once_per) or [`record`](LockRequest::record). `None` where none was, or
    /// the record's time is over. Sends one command.
    ///
    /// A run that is under way, or died, stands before one that ended: [`LastRun::running`] tells the two
    /// apart.
    ///
    /// # Errors
    ///
    /// `Backend` when Redis could not be asked, or holds something else in the record's place;
    /// `InvalidRequest` on a quorum, which keeps no records, and for a key that can have none.
    ///
    /// # Cancellation
    ///
    /// Dropping the future does nothing.
    ///
    /// ```
    /// # use redis_locked_runtime as redis_locked;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), redis_locked::LockError> {
    /// # const DAY: std::time::Duration = std::time::Duration::from_secs(86_400);
    /// let locker = redis_locked::Locker::in_memory();
    /// assert_eq!(locker.last_run("nightly").await?, None);
    /// let running = locker.lock("nightly").once_per(DAY).acquire().await?;
    /// assert!(locker.last_run("nightly").await?.unwrap().running);
    /// running.release().await?;
    /// let last = locker.last_run("nightly").await?.unwrap();
    /// assert_eq!(last.last_success, last.ended);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn last_run(&self, key: &str) -> Result<Option<LastRun>, LockError> {
        let store = &self.common.store;
        if let Some(reason) = store.refuses_records() {
            return Err(LockError::invalid(key, reason));
        }
        let whole = whole_key(&self.common, key)?;
        let Some(record) = record_key(&whole) else {
            let problem = "its braces allow no record in the same cluster slot, so it has none";
            return Err(LockError::invalid(key, problem));
        };
        let asked = Instant::now();
        let answer = store.last_run(whole, record).await;
        answer.map_err(|error| error.into_error(Some(key), "looked up", 1, asked.elapsed()))
    }

    /// Waits until no release is pending, and closes the connection. Keys under `min_hold` stay.
    ///
    /// Usually that takes one round trip. If the answer to an acquisition was lost, the command may still
    /// arrive, and its release is pending for twice the connection and response timeouts together, 6 s
    /// by default. While Redis is down, a release is pending until its key has expired, so put a
    /// `timeout` around this.
    ///
    /// Call it at the end of the program, when nothing holds a lock any more. A body that still runs goes
    /// on and keeps its lock; the next use of the locker connects again.
    pub async fn shutdown(&self) {
        self.common.keeper.settle().await;
        self.common.store.close();
    }

    /// The locker that applies where none is named.
    pub(crate) fn ambient() -> Result<Self, NoLocker> {
        if let Ok(scoped) = SCOPED.try_with(Clone::clone) {
            return Ok(scoped);
        }
        if let Some(installed) = INSTALLED.get().or_else(|| FROM_ENVIRONMENT.get()) {
            return Ok(installed.clone());
        }
        let url = std::env::var("REDIS_URL").map_err(|missing| match missing {
            std::env::VarError::NotPresent => NoLocker {
                problem: "none is in scope or installed, and REDIS_URL is not set",
                source: None,
            },
            bad @ std::env::VarError::NotUnicode(_) => NoLocker {
                problem: "none is in scope or installed, and REDIS_URL is not text",
                source: Some(Box::new(bad)),
            },
        })?;
        let defaults = Self::builder();
        let server =
            Servers::one(&url, &defaults.access, defaults.timeouts).map_err(|error| NoLocker {
                problem: "none is in scope or installed, and REDIS_URL is not the URL of a Redis",
                source: Some(Box::new(error)),
            })?;
        Ok(FROM_ENVIRONMENT.get_or_init(|| defaults.on(server)).clone())
    }

    /// What its requests share.
    pub(crate) fn common(&self) -> Arc<Common> {
        Arc::clone(&self.common)
    }
}

impl fmt::Debug for Locker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.common.fmt(f)
    }
}
