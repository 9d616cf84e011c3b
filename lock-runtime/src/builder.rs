//! The settings of a locker, and the servers it connects to.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;

use crate::error::LockError;
use crate::locker::{Locker, Settings};
use crate::store::alerts::Alerts;
use crate::store::memory::MemoryStore;
use crate::store::quorum::QuorumStore;
use crate::store::redis::{RedisStore, Replicas, Servers, Timeouts};
use crate::store::{Store, StoreError};

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
    pub(crate) timeouts: Timeouts,
    server_timeout: Duration,
    replicas: Option<Replicas>,
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
            server_timeout: Duration::from_millis(100),
            replicas: None,
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

    /// How long each server of a quorum may take to answer. By default 100 ms.
    ///
    /// A server that hangs costs each operation up to this, so choose it far below the ttls.
    pub fn server_timeout(mut self, timeout: Duration) -> Self {
        self.server_timeout = timeout;
        self
    }

    /// Has this many replicas confirm each lock, within this time: one that they do not is
    /// released, and is `Backend`, so that no failover to one of them loses a lock that was granted.
    ///
    /// Costs a `WAIT` with each command that acquires or extends, which holds up the connection for
    /// as long as the replicas take. A failover to a replica that is not among those that confirmed
    /// can still lose the lock: ask for all of them, or fence what the lock protects.
    pub fn replicas(mut self, count: u32, timeout: Duration) -> Self {
        self.replicas = Some(Replicas { count, timeout });
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
        let server = Servers::one(url, self.timeouts).map_err(|error| failed(error.into()))?;
        let store = self.store(server, Arc::default());
        store.connect().await.map_err(failed)?;
        Ok(self.build(Arc::new(store)))
    }

    /// Connects to several independent Redis servers, at best an odd number from three: a lock is
    /// held while more than half of them grant it (the Redlock algorithm).
    ///
    /// A minority of servers may be down, hang or lose their data. Each operation asks all of them
    /// side by side. `fenced` is refused: the servers could not agree on a growing number.
    ///
    /// # Errors
    ///
    /// `InvalidRequest` without a URL; `Backend` when a URL cannot be used, or when no majority of
    /// the servers answers within the connection and response timeouts.
    pub async fn connect_quorum<U: AsRef<str>>(
        self,
        urls: impl IntoIterator<Item = U>,
    ) -> Result<Locker, LockError> {
        let started = Instant::now();
        let failed =
            |error: StoreError| LockError::backend(None, "connected", 1, started.elapsed(), error);
        let alerts = Arc::default();
        let servers = urls
            .into_iter()
            .map(|url| {
                let server = Servers::one(url.as_ref(), self.timeouts)?;
                Ok(self.store(server, Arc::clone(&alerts)))
            })
            .collect::<Result<Vec<_>, redis::RedisError>>()
            .map_err(|error| failed(error.into()))?;
        if servers.is_empty() {
            return Err(LockError::InvalidRequest {
                key: None,
                problem: "a quorum needs the URLs of its servers".into(),
            });
        }
        let answers = join_all(servers.iter().map(RedisStore::connect)).await;
        let errors: Vec<_> = answers.into_iter().filter_map(Result::err).collect();
        if 2 * (servers.len() - errors.len()) <= servers.len() {
            return Err(failed(StoreError::no_majority(errors, servers.len())));
        }
        let servers = servers.into_iter().map(|server| Arc::new(server) as _);
        let quorum = QuorumStore::new(servers.collect(), alerts, self.server_timeout);
        Ok(self.build(Arc::new(quorum)))
    }

    /// A locker on a `redis` client. Connects with the first request.
    #[must_use]
    pub fn from_client(self, client: redis::Client) -> Locker {
        self.on(Servers::One(client))
    }

    pub(crate) fn on(self, servers: Servers) -> Locker {
        let store = self.store(servers, Arc::default());
        self.build(Arc::new(store))
    }

    fn store(&self, servers: Servers, alerts: Arc<Alerts>) -> RedisStore {
        RedisStore::new(servers, self.timeouts, self.replicas, alerts)
    }

    /// A locker whose locks are in this process's memory.
    #[must_use]
    pub fn in_memory(self) -> Locker {
        self.build(Arc::new(MemoryStore::default()))
    }

    fn build(self, store: Arc<dyn Store>) -> Locker {
        let settings = Settings {
            prefix: self.prefix,
            owner: self.owner.unwrap_or_else(host_and_process),
            default_ttl: self.default_ttl,
        };
        Locker::new(store, settings, self.timeouts.response)
    }
}

fn host_and_process() -> String {
    let host = gethostname::gethostname();
    format!("{}:{}", host.to_string_lossy(), std::process::id())
}
