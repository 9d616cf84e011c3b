//! The configured handle that grants locks, and which one applies.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::builder::LockerBuilder;
use crate::error::LockError;
use crate::keeper::Keeper;
use crate::queue::Queue;
use crate::request::LockRequest;
use crate::store::Store;
use crate::store::redis::Servers;
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
    settings: Settings,
}

/// What a locker adds to its requests.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) prefix: String,
    pub(crate) owner: String,
    pub(crate) default_ttl: Duration,
}

impl Locker {
    pub(crate) fn new(store: Arc<dyn Store>, settings: Settings) -> Self {
        Self {
            inner: Arc::new(Inner {
                keeper: Keeper::new(Arc::clone(&store)),
                queue: Queue::default(),
                store,
                settings,
            }),
        }
    }

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
    pub fn scope<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
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
        let server =
            Servers::one(&url, &defaults.tls, defaults.timeouts).map_err(|error| NoLocker {
                problem: "none is in scope or installed, and REDIS_URL is not the URL of a Redis",
                source: Some(Box::new(error)),
            })?;
        Ok(FROM_ENVIRONMENT.get_or_init(|| defaults.on(server)).clone())
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
        &self.inner.settings.owner
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.inner.settings.prefix
    }

    pub(crate) fn default_ttl(&self) -> Duration {
        self.inner.settings.default_ttl
    }

    /// The value that a key has while the holder with this token has it.
    pub(crate) fn value(&self, token: [u8; TOKEN_LEN]) -> String {
        let owner = &self.inner.settings.owner;
        let mut value = String::with_capacity(TOKEN_LEN + 1 + owner.len());
        value.push_str(str::from_utf8(&token).expect("base64"));
        value.push(';');
        value.push_str(owner);
        value
    }
}

impl fmt::Debug for Locker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Locker")
            .field("store", &self.inner.store)
            .field("settings", &self.inner.settings)
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
