//! The other crates, each used as its documentation shows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use distributed_lock_core::traits::{
    DistributedLock as _, DistributedReaderWriterLock as _, DistributedSemaphore as _,
    LockHandle as _, LockProvider as _, ReaderWriterLockProvider as _, SemaphoreProvider as _,
};
use distributed_lock_redis::RedisLockProvider;
use redis_027::aio::MultiplexedConnection as OldConnection;
use redis_lock::LockAcrossOptions;
use redis_locked::Locker;
use redis_locked_test_support::Server;
use rslock::LockManager;
use tokio::sync::Mutex;

use crate::TTL;
use crate::ours;
use crate::raw::{Raw, without_delay};

/// How long one waits at most.
const WAIT: Duration = Duration::from_secs(60);

/// Who locks.
#[derive(Clone)]
pub enum Contender {
    /// redis-locked, through the attribute.
    Ours,
    /// redis-locked, through a locker that is not installed.
    Locker(Locker),
    /// Commands by hand.
    Raw(Raw),
    /// rslock 0.10.
    Rslock(LockManager),
    /// redis-lock 0.5, which takes each connection in a mutex.
    RedisLock {
        /// Used by one at a time.
        connection: Arc<Mutex<OldConnection>>,
        /// The pause between attempts.
        retry: Duration,
    },
    /// distributed-lock-redis 0.2.
    Distributed(Arc<RedisLockProvider>),
}

impl Contender {
    /// All of them, ours first, raw commands second. [`ours::install`] must have been called.
    ///
    /// # Panics
    ///
    /// When the server does not answer.
    pub async fn all(server: &Server) -> Vec<Self> {
        vec![
            Self::Ours,
            Self::Raw(Raw::connect(&server.client()).await),
            Self::rslock(&server.url()),
            Self::redis_lock(&server.url()).await,
            Self::distributed(&server.url()).await,
        ]
    }

    /// rslock with its own defaults, on a connection with our settings.
    ///
    /// # Panics
    ///
    /// When the URL is none.
    #[must_use]
    pub fn rslock(url: &str) -> Self {
        let client = redis::Client::open(url).expect("a valid url");
        Self::Rslock(LockManager::from_clients(vec![without_delay(&client)]))
    }

    /// redis-lock with its own pause between attempts.
    ///
    /// # Panics
    ///
    /// When the server does not answer.
    pub async fn redis_lock(url: &str) -> Self {
        let client = redis_027::Client::open(url).expect("a valid url");
        let connection = client.get_multiplexed_async_connection().await;
        let connection = Arc::new(Mutex::new(connection.expect("connects")));
        Self::RedisLock {
            connection,
            retry: redis_lock::DEFAULT_RETRY_DELAY,
        }
    }

    /// distributed-lock-redis with its own defaults.
    ///
    /// # Panics
    ///
    /// When the server does not answer.
    pub async fn distributed(url: &str) -> Self {
        let provider = RedisLockProvider::builder().url(url).expiry(TTL);
        let provider = provider.min_validity(TTL / 2).build().await;
        Self::Distributed(Arc::new(provider.expect("connects")))
    }

    /// The same, with pauses of about a millisecond between attempts where it has any.
    #[must_use]
    pub fn hurried(&self) -> Option<Self> {
        match self {
            Self::Ours | Self::Locker(_) | Self::Raw(_) | Self::Distributed(_) => None,
            Self::Rslock(manager) => {
                let mut manager = manager.clone();
                // A pause at random below this, in whole milliseconds: 0 or 1.
                manager.set_retry(3, Duration::from_millis(2));
                Some(Self::Rslock(manager))
            }
            Self::RedisLock { connection, .. } => Some(Self::RedisLock {
                connection: Arc::clone(connection),
                retry: Duration::from_millis(1),
            }),
        }
    }

    /// What to call it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Ours | Self::Locker(_) => "redis-locked",
            Self::Raw(raw) if raw.gathers() => "raw commands, gathered into pipelines by hand",
            Self::Raw(_) => "raw commands",
            Self::Rslock(_) => "rslock",
            Self::RedisLock { .. } => "redis-lock",
            Self::Distributed(_) => "distributed-lock-redis",
        }
    }

    /// One call under a lock that nobody else wants.
    ///
    /// # Panics
    ///
    /// When it could not lock.
    pub async fn call(&mut self, id: usize) {
        match self {
            Self::Ours => ours::call(id).await.expect("locks"),
            Self::Locker(locker) => {
                let request = locker.lock(format!("ours:{id}")).ttl(TTL);
                request.run(async {}).await.expect("locks");
            }
            Self::Raw(raw) => raw.call(id).await,
            Self::Rslock(manager) => {
                let guard = manager.acquire(format!("rslock:{id}").as_str(), TTL).await;
                guard.expect("locks").release().await;
            }
            Self::RedisLock { .. } => {
                self.queue(&id.to_string()).await;
            }
            Self::Distributed(provider) => {
                let lock = provider.create_lock(&id.to_string());
                let handle = lock.acquire(None).await.expect("locks");
                handle.release().await.expect("releases");
            }
        }
    }

    /// Why it can't wait for a lock, if it can't.
    #[must_use]
    pub fn cannot_wait(&self) -> Option<&'static str> {
        match self {
            Self::Raw(_) => Some("have no waiting"),
            Self::Distributed(_) => Some("can't wait: `acquire` fails at once while busy"),
            _ => None,
        }
    }

    /// One call under a lock that all want, in its own way of waiting: when it was entered.
    ///
    /// # Panics
    ///
    /// When it can't wait or could not lock.
    pub async fn queue(&mut self, name: &str) -> Instant {
        match self {
            Self::Ours => ours::queue(name).await.expect("locks"),
            Self::Locker(locker) => {
                let request = locker.lock(name).ttl(TTL).wait(WAIT);
                let entered = request.run(async { Instant::now() }).await;
                entered.expect("locks")
            }
            Self::Rslock(manager) => {
                let guard = manager
                    .acquire(format!("rslock:{name}").as_str(), TTL)
                    .await;
                let entered = Instant::now();
                guard.expect("locks").release().await;
                entered
            }
            Self::RedisLock { connection, retry } => {
                let options = LockAcrossOptions {
                    ttl: TTL,
                    retry: *retry,
                    duration: WAIT,
                };
                let body = async { Instant::now() };
                let connections = [Arc::clone(connection)];
                let entered = redis_lock::lock_across(&connections, name, body, options).await;
                entered.expect("locks")
            }
            Self::Raw(_) | Self::Distributed(_) => panic!("{} can't wait", self.name()),
        }
    }

    /// One call with one of [`PERMITS`](ours::PERMITS) places that all want, in its own way of waiting.
    ///
    /// # Panics
    ///
    /// When it has no such places or could not lock.
    pub async fn permit(&mut self) {
        match self {
            Self::Ours => ours::permit().await.expect("locks"),
            Self::Distributed(provider) => {
                let semaphore = provider.create_semaphore("permits", ours::PERMITS);
                let handle = semaphore.acquire(None).await.expect("locks");
                handle.release().await.expect("releases");
            }
            _ => panic!("{} has no permits", self.name()),
        }
    }

    /// One call under a lock that all share.
    ///
    /// # Panics
    ///
    /// When it has no such lock or could not lock.
    pub async fn share(&mut self) {
        match self {
            Self::Ours => ours::share().await.expect("locks"),
            Self::Distributed(provider) => {
                let lock = provider.create_reader_writer_lock("shared");
                let handle = lock.acquire_read(None).await.expect("locks");
                handle.release().await.expect("releases");
            }
            _ => panic!("{} has no shared locks", self.name()),
        }
    }
}
