//! Connecting to what holds the keys: one server, a cluster, or the master that sentinels watch.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Locker;
use super::builder::LockerBuilder;
use crate::error::LockError;
use crate::store::StoreError;
use crate::store::redis::{RedisStore, Servers};

impl LockerBuilder {
    /// Connects to one Redis server. With the cargo feature `tls`, `rediss://` URLs work too.
    ///
    /// Let tokio's clock run: on a paused one (`start_paused`), every time limit is over at once. Tests
    /// on a paused clock use [`in_memory`](Locker::in_memory).
    ///
    /// # Errors
    ///
    /// `Backend` when the URL cannot be used, or when Redis does not answer within the connection
    /// and response timeouts, refuses the credentials, or runs no scripts. `InvalidRequest` when the
    /// server is a node of a cluster that has only a part of the keys. If the user may not ask for that
    /// (`CLUSTER SLOTS`), requests for the other keys fail, and say so.
    pub async fn connect(self, url: &str) -> Result<Locker, LockError> {
        let servers = Servers::one(url, &self.access, self.timeouts);
        self.connect_to(servers).await
    }

    /// Connects to a Redis Cluster, by the URLs of some of its nodes; one that answers is enough.
    ///
    /// The credentials in the URLs are those of all nodes. A lock's key and its fencing counter are
    /// in one slot, so that a lock needs one master only. The part of a key between `{` and `}` decides
    /// on the slot, as usual. The locker follows slots that move and masters that change. A caller that
    /// waits is woken by the node that has the key, as on a single server.
    ///
    /// A failover takes the cluster's `cluster-node-timeout` and about a second. Meanwhile, requests
    /// for keys of that master fail with `Backend`, unless their `retries` or `wait` outlast it. Like
    /// every failover, it can lose a lock that was granted just before: see
    /// [`replicas`](Self::replicas).
    ///
    /// While a slot moves, a `fenced` request waits or fails until both the key's counter and the slot
    /// have moved, which usually takes some milliseconds.
    ///
    /// Needs the cargo feature `cluster`.
    ///
    /// # Errors
    ///
    /// `InvalidRequest` without a URL; `Backend` when a URL cannot be used, or when no node answers
    /// within the connection and response timeouts, refuses the credentials or is no node of a
    /// cluster.
    ///
    /// ```no_run
    /// # use redis_locked_runtime as redis_locked;
    /// # async fn connect() -> Result<(), redis_locked::LockError> {
    /// let locker = redis_locked::Locker::builder()
    ///     .connect_cluster(["redis://10.0.0.1:6379", "redis://10.0.0.2:6379"])
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "cluster")]
    pub async fn connect_cluster<U: AsRef<str>>(
        self,
        urls: impl IntoIterator<Item = U>,
    ) -> Result<Locker, LockError> {
        let mut urls = urls.into_iter().peekable();
        if urls.peek().is_none() {
            return Err(unnamed("a cluster needs the URLs of some of its nodes"));
        }
        let servers = Servers::cluster(urls, &self.access);
        self.connect_to(servers).await
    }

    /// Connects to the master that sentinels watch under this name, such as `"mymaster"`, by the
    /// URLs of the sentinels.
    ///
    /// Credentials and database in the URLs are those of the servers. The servers are reached with TLS
    /// if the sentinels are. [`sentinel_login`](Self::sentinel_login) gives the credentials of the
    /// sentinels. The locker asks the sentinels each time it opens a connection. It opens a new one when
    /// the last one broke, or turns out to lead to a replica. So it follows a failover. Until the
    /// sentinels have seen that the master is down (`down-after-milliseconds`) and have promoted a
    /// replica, requests fail with `Backend`, unless their `retries` or `wait` outlast it.
    ///
    /// Like every failover, it can lose a lock that was granted just before. A master that is cut off may
    /// go on granting locks to clients on its side: see [`replicas`](Self::replicas), and
    /// `min-replicas-to-write` in the server's settings.
    ///
    /// Needs the cargo feature `sentinel`.
    ///
    /// # Errors
    ///
    /// `InvalidRequest` without a URL; `Backend` when a URL cannot be used, or when no sentinel
    /// answers within the connection timeout, none knows the name, or the master does not answer or
    /// refuses the credentials.
    ///
    /// ```no_run
    /// # use redis_locked_runtime as redis_locked;
    /// # async fn connect() -> Result<(), redis_locked::LockError> {
    /// let sentinels = ["redis://10.0.0.1:26379", "redis://10.0.0.2:26379"];
    /// let locker = redis_locked::Locker::builder()
    ///     .connect_sentinel(sentinels, "mymaster")
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    #[cfg(feature = "sentinel")]
    pub async fn connect_sentinel<U: AsRef<str>>(
        self,
        urls: impl IntoIterator<Item = U>,
        master: &str,
    ) -> Result<Locker, LockError> {
        let mut urls = urls.into_iter().peekable();
        if urls.peek().is_none() {
            return Err(unnamed("it needs the URLs of the sentinels"));
        }
        let login = self.sentinel_login.as_ref();
        let servers = Servers::sentinel(urls, login, master, &self.access, self.timeouts);
        self.connect_to(servers).await
    }

    /// Makes the locker of a server without connecting to it.
    pub(super) fn connect_later(self, url: &str) -> Result<Locker, LockError> {
        let servers = Servers::one(url, &self.access, self.timeouts);
        let store = self.unconnected(servers)?;
        Ok(self.build(Arc::new(store)))
    }

    fn unconnected(&self, servers: redis::RedisResult<Servers>) -> Result<RedisStore, LockError> {
        self.check()?;
        let servers = servers.map_err(unusable)?;
        Ok(self.lining_up(servers))
    }

    async fn connect_to(self, servers: redis::RedisResult<Servers>) -> Result<Locker, LockError> {
        let store = self.unconnected(servers)?;
        if self.lazy {
            return Ok(self.build(Arc::new(store)));
        }
        let started = Instant::now();
        let failed = |error: StoreError| error.into_error(None, "connected", 1, started.elapsed());
        let profile = store.connect(&self.prefix).await.map_err(failed)?;
        if profile.is_partial {
            return Err(part_of_cluster(&store));
        }
        Ok(self.build(Arc::new(store)))
    }

    /// A locker on a client of the crate [`redis`](crate::redis). It has the client's address, credentials,
    /// certificates and TCP settings, and none of the builder's. It connects with the first request, and
    /// checks nothing before.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "it becomes the locker's")]
    pub fn from_client(self, client: redis::Client) -> Locker {
        let servers = Servers::of_client(&client, self.timeouts);
        self.on(servers)
    }
}

/// A URL or a certificate can't be used: nothing was tried.
pub(super) fn unusable(error: redis::RedisError) -> LockError {
    StoreError::from(error).into_error(None, "connected", 0, Duration::ZERO)
}

pub(super) fn part_of_cluster(store: &RedisStore) -> LockError {
    let problem = format!(
        "{store:?} is a node of a cluster, and has a part of the keys only; use \
         `LockerBuilder::connect_cluster`, or the tool's --cluster"
    );
    LockError::not_set_up(problem)
}

#[cfg(any(feature = "cluster", feature = "sentinel"))]
fn unnamed(problem: &str) -> LockError {
    LockError::not_set_up(problem)
}
