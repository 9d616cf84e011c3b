//! The configured handle that grants locks, and which one applies.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;

use crate::error::LockError;
use crate::keeper::Keeper;
use crate::queue::Queue;
use crate::request::LockRequest;
use crate::store::memory::MemoryStore;
use crate::store::redis::{RedisStore, Timeouts, client};
use crate::store::{Store, StoreError};
use crate::token::TOKEN_LEN;

static INSTALLED: OnceLock<Locker> = OnceLock::new();
static FROM_ENVIRONMENT: OnceLock<Locker> = OnceLock::new();

tokio::task_local! {
    static SCOPED: Locker;
}

/// The handle that grants locks: a store and its defaults. Cheap to clone; clones are the same
/// locker.
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
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    keeper: Keeper,
    queue: Queue,
    prefix: String,
    owner: String,
    default_ttl: Duration,
}

impl Locker {
    /// Connects to one Redis server, with the defaults of [`builder`](Self::builder).
    ///
    /// The connection opens itself again whenever it breaks.
    ///
    /// # Errors
    ///
    /// `Backend` when the URL cannot be used, or when Redis does not answer within the connection
    /// and response timeouts or refuses the credentials.
    pub async fn connect(url: &str) -> Result<Self, LockError> {
        Self::builder().connect(url).await
    }

    /// A locker with other defaults.
    pub fn builder() -> LockerBuilder {
        LockerBuilder::default()
    }

    /// A locker on a `redis` client, with the defaults of [`builder`](Self::builder). Connects
    /// with the first request.
    #[must_use]
    pub fn from_client(client: redis::Client) -> Self {
        Self::builder().from_client(client)
    }

    /// A locker whose locks are in this process's memory, on tokio's clock: for tests of one's own
    /// functions, also under `tokio::time::pause`, and for programs that run once.
    #[must_use]
    pub fn in_memory() -> Self {
        Self::builder().in_memory()
    }

    /// Makes this the locker of all annotated functions that name no other. Call it once, at the
    /// start of the program.
    ///
    /// # Errors
    ///
    /// `InvalidRequest` when one is installed already.
    pub fn install(&self) -> Result<(), LockError> {
        INSTALLED
            .set(self.clone())
            .map_err(|_| LockError::InvalidRequest {
                key: None,
                problem: "another is installed already; install one, at the start of the program, \
                      and use `Locker::scope` or `locker = …` for others"
                    .into(),
            })
    }

    /// Runs a future in which annotated functions use this locker; the innermost scope counts.
    ///
    /// Seen by all that the future awaits in place, not by tasks that it spawns.
    ///
    /// ```
    /// # use redis_locked_runtime as redis_locked;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// let locker = redis_locked::Locker::in_memory();
    /// locker.scope(async { /* call annotated functions */ }).await;
    /// # }
    /// ```
    pub fn scope<F: Future>(&self, future: F) -> impl Future<Output = F::Output> {
        SCOPED.scope(self.clone(), future)
    }

    /// A request for the lock of this key, to which the locker's prefix is added.
    ///
    /// The key may have any bytes that a string can; an empty one is refused.
    pub fn lock(&self, key: impl Into<String>) -> LockRequest {
        LockRequest::new(Ok(self.clone()), key.into())
    }

    /// Waits until no release is pending, and closes the connection. Keys under `min_hold` stay.
    ///
    /// Call it at the end of the program, when nothing holds a lock any more. What still does goes
    /// on; the next use connects again.
    pub async fn shutdown(&self) {
        self.inner.keeper.settle().await;
        self.inner.store.close();
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
        let client = client(&url, defaults.timeouts).map_err(|error| NoLocker {
            problem: "none is in scope or installed, and REDIS_URL is not the URL of a Redis",
            source: Some(Box::new(error)),
        })?;
        Ok(FROM_ENVIRONMENT
            .get_or_init(|| defaults.from_client(client))
            .clone())
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    pub(crate) fn store(&self) -> &dyn Store {
        &*self.inner.store
    }

    pub(crate) fn keeper(&self) -> &Keeper {
        &self.inner.keeper
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.inner.queue
    }

    pub(crate) fn owner(&self) -> &str {
        &self.inner.owner
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.inner.prefix
    }

    pub(crate) fn default_ttl(&self) -> Duration {
        self.inner.default_ttl
    }

    /// The value that a key has while the holder with this token has it.
    pub(crate) fn value(&self, token: [u8; TOKEN_LEN]) -> String {
        let owner = &self.inner.owner;
        let mut value = String::with_capacity(TOKEN_LEN + 1 + owner.len());
        value.extend(token.map(char::from));
        value.push(';');
        value.push_str(owner);
        value
    }
}

impl fmt::Debug for Locker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locker")
            .field("store", &self.inner.store)
            .field("prefix", &self.inner.prefix)
            .field("owner", &self.inner.owner)
            .field("default_ttl", &self.inner.default_ttl)
            .finish_non_exhaustive()
    }
}

/// Why no locker applies.
#[derive(Debug)]
pub(crate) struct NoLocker {
    problem: &'static str,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl NoLocker {
    pub(crate) fn into_error(self, key: String) -> LockError {
        LockError::NotConfigured {
            key,
            problem: self.problem,
            source: self.source,
        }
    }
}

/// Settings of a [`Locker`], from [`Locker::builder`].
///
/// ```
/// # use redis_locked_runtime as redis_locked;
/// use std::time::Duration;
/// let locker = redis_locked::Locker::builder()
///     .prefix("billing:")
///     .default_ttl(Duration::from_secs(10))
///     .in_memory();
/// ```
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it is asked for a locker"]
pub struct LockerBuilder {
    prefix: String,
    owner: Option<String>,
    default_ttl: Duration,
    timeouts: Timeouts,
}

impl Default for LockerBuilder {
    fn default() -> Self {
        Self {
            prefix: String::new(),
            owner: None,
            default_ttl: Duration::from_secs(30),
            timeouts: Timeouts {
                connection: Duration::from_secs(2),
                response: Duration::from_secs(1),
            },
        }
    }
}

impl LockerBuilder {
    /// What is put before each key in Redis, such as `"billing:"`. By default nothing.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Who holds the locks, for people who look: part of each value. By default the host's name
    /// and the process's id, as in `web-3:812`.
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.owner = Some(owner.into());
        self
    }

    /// The ttl of requests that give none, at least 10 ms. By default 30 s.
    pub fn default_ttl(mut self, ttl: Duration) -> Self {
        self.default_ttl = ttl;
        self
    }

    /// How long connecting may take. By default 2 s.
    pub fn connection_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.connection = timeout;
        self
    }

    /// How long Redis may take to answer a command. By default 1 s.
    ///
    /// A request takes at most this and the connection timeout together, for each attempt.
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.response = timeout;
        self
    }

    /// Connects to one Redis server.
    ///
    /// # Errors
    ///
    /// `Backend` when the URL cannot be used, or when Redis does not answer within the connection
    /// and response timeouts or refuses the credentials.
    pub async fn connect(self, url: &str) -> Result<Locker, LockError> {
        let started = Instant::now();
        let failed =
            |error: StoreError| LockError::backend(None, "connected", 1, started.elapsed(), error);
        let client = client(url, self.timeouts).map_err(|error| failed(error.into()))?;
        let store = RedisStore::new(client, self.timeouts);
        store.connect().await.map_err(failed)?;
        Ok(self.build(Arc::new(store)))
    }

    /// A locker on a `redis` client. Connects with the first request.
    #[must_use]
    pub fn from_client(self, client: redis::Client) -> Locker {
        let store = RedisStore::new(client, self.timeouts);
        self.build(Arc::new(store))
    }

    /// A locker whose locks are in this process's memory.
    #[must_use]
    pub fn in_memory(self) -> Locker {
        self.build(Arc::new(MemoryStore::default()))
    }

    fn build(self, store: Arc<dyn Store>) -> Locker {
        Locker {
            inner: Arc::new(Inner {
                keeper: Keeper::new(Arc::clone(&store), self.timeouts.response),
                store,
                queue: Queue::default(),
                prefix: self.prefix,
                owner: self.owner.unwrap_or_else(host_and_process),
                default_ttl: self.default_ttl,
            }),
        }
    }
}

fn host_and_process() -> String {
    let host = gethostname::gethostname();
    format!("{}:{}", host.to_string_lossy(), std::process::id())
}
