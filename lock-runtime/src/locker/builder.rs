//! The settings of a locker.

#[cfg(feature = "tls")]
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::Locker;
use crate::error::LockError;
use crate::hold::{Common, LONGEST_TIME, Settings};
use crate::store::Store;
use crate::store::alerts::Alerts;
use crate::store::memory::MemoryStore;
#[cfg(feature = "tls")]
use crate::store::redis::Pem;
use crate::store::redis::{Access, Credentials, Provider, RedisStore, Replicas, Servers, Timeouts};
use crate::telemetry;

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
    pub(super) prefix: String,
    owner: Option<String>,
    default_ttl: Duration,
    names: Vec<&'static str>,
    pub(crate) timeouts: Timeouts,
    pub(super) server_timeout: Duration,
    replicas: Option<Replicas>,
    pub(super) lazy: bool,
    pub(crate) access: Access,
    #[cfg(feature = "sentinel")]
    pub(crate) sentinel_login: Option<Credentials>,
}

impl Default for LockerBuilder {
    fn default() -> Self {
        Self {
            prefix: String::new(),
            owner: None,
            default_ttl: Duration::from_secs(30),
            names: Vec::new(),
            timeouts: Timeouts {
                connection: Duration::from_secs(2),
                response: Duration::from_secs(1),
            },
            server_timeout: Duration::from_millis(100),
            replicas: None,
            lazy: false,
            access: Access::default(),
            #[cfg(feature = "sentinel")]
            sentinel_login: None,
        }
    }
}

impl LockerBuilder {
    /// The prefix of each key in Redis, such as `"billing:"`. By default, there is none.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The name of the holder, for people who look: a part of each key's value. By default, it is the
    /// host's name and the process's id, as in `web-3:812`.
    ///
    /// An owner that is blank or has control characters is refused when connecting, or else by each
    /// request. Errors and logs show its first 100 characters.
    pub fn owner(mut self, owner: impl Into<String>) -> Self {
        self.owner = Some(owner.into());
        self
    }

    /// The ttl of requests that give none, at least 10 ms. By default 30 s.
    pub fn default_ttl(mut self, ttl: Duration) -> Self {
        self.default_ttl = ttl;
        self
    }

    /// Shows the metrics of locks with these names at zero from now on. Otherwise they are shown from the
    /// first request for each name on. Without the cargo feature `metrics`, this does nothing.
    ///
    /// It is for locks that are wanted seldom, such as that of a nightly job: a rate can't see the first
    /// increase of a counter whose zero was never shown. The name of an annotated function's lock is its
    /// argument `name`, by default the template of its key. For requests by hand, it is what
    /// [`LockRequest::name`](crate::LockRequest::name) gives.
    pub fn names(mut self, names: impl IntoIterator<Item = &'static str>) -> Self {
        self.names.extend(names);
        self
    }

    /// Lets the locker connect with its first request, not when it is made: for services that must
    /// start while Redis is down.
    ///
    /// `connect`, `connect_cluster`, `connect_sentinel` and `connect_quorum` then check the URLs and the
    /// settings, send nothing, and return at once. What they would have found out is said by the
    /// requests instead: that nobody answers, that the credentials are refused, that a server is a node
    /// of a cluster, or that two URLs of a quorum lead to one server. A server that runs no scripts is
    /// found by the first release, and the key then stays until its ttl is over.
    ///
    /// ```
    /// # use redis_locked_runtime as redis_locked;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), redis_locked::LockError> {
    /// let builder = redis_locked::Locker::builder().prefix("billing:").lazy();
    /// let locker = builder.connect("redis://127.0.0.1:6379").await?; // also while Redis is down
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// [`Locker::connect_lazy`] does the same for one server, without an `await`.
    pub fn lazy(mut self) -> Self {
        self.lazy = true;
        self
    }

    /// How long connecting may take. By default 2 s. A time over ten years counts as ten years.
    pub fn connection_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.connection = timeout.min(LONGEST_TIME);
        self
    }

    /// How long Redis may take to answer a command. By default 1 s.
    ///
    /// Each attempt of a request takes at most this and the connection timeout together. If a command is
    /// not answered in time and its connection had been silent for 5 s, the command is sent again on a new
    /// connection: something between, such as a load balancer, may have forgotten the old one.
    pub fn response_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.response = timeout.min(LONGEST_TIME);
        self
    }

    /// How long an operation waits for the servers of a quorum that do not answer. By default
    /// 100 ms.
    ///
    /// A server that hangs delays each operation by this time, so choose a time far below the ttls. A
    /// server that always answers later is as good as down, so choose a time above the network's round
    /// trip.
    pub fn server_timeout(mut self, timeout: Duration) -> Self {
        self.server_timeout = timeout.min(LONGEST_TIME);
        self
    }

    /// Has this many replicas confirm each lock, within this time, before it is granted, so that no
    /// failover to one of them loses it.
    ///
    /// If too few replicas confirm, the request fails with `Backend`, and the key is released. Extensions
    /// are confirmed too: if the replicas stop confirming, a lock that is renewed is lost at its deadline.
    ///
    /// Redis does not wait for its replicas. Without this setting, if a master dies right after it has
    /// granted a lock, the replica that takes over does not know the lock and grants it again. What this
    /// setting can't prevent:
    ///
    /// - A failover to a replica that is not among those that confirmed loses the lock. Ask for all
    ///   replicas that may take over, or fence what the lock protects.
    /// - Redis does not say which replicas confirmed, and a replica that confirmed and then lost its
    ///   data can still be promoted.
    /// - A master that is cut off from its replicas can grant no more locks. But a master that others
    ///   think dead can grant locks while it still reaches this many replicas. Choose the quorum of the
    ///   failover and the number here so that both can't happen at once.
    /// - A release is not confirmed. After a failover, a released key may be back until its ttl is over.
    ///   Nobody holds the lock twice, but callers wait that long.
    /// - The clocks of master and replicas have to agree, since a key expires at the same instant on
    ///   both. A replica whose clock is ahead frees a lock early once it is promoted.
    ///
    /// The price is a `WAIT` behind each command that acquires or extends. Redis blocks the whole
    /// connection for it, so commands of other locks queue behind it. Choose a time that is a few
    /// milliseconds longer than the replicas usually take.
    pub fn replicas(mut self, count: u32, timeout: Duration) -> Self {
        let timeout = timeout.min(LONGEST_TIME);
        self.replicas = Some(Replicas { count, timeout });
        self
    }

    /// User name and password for the sentinels themselves, if they require one. The credentials in the
    /// URLs are for the servers.
    ///
    /// Needs the cargo feature `sentinel`.
    #[cfg(feature = "sentinel")]
    pub fn sentinel_login(mut self, username: Option<&str>, password: &str) -> Self {
        self.sentinel_login = Some(match username {
            Some(username) => Credentials::new(username, password),
            None => Credentials::password(password),
        });
        self
    }

    /// Asks this function for the credentials whenever a connection is opened, instead of taking them from
    /// the URLs: for tokens that expire after some minutes, and passwords that are rotated.
    ///
    /// The credentials are for the servers, and for every kind of connection: to a single server, to each
    /// node of a cluster, to the master behind sentinels, to each server of a quorum. An open connection
    /// stays open when they change. If the server answers `NOAUTH` on it, it is opened again.
    ///
    /// The function may be called for several connections at once. For a node of a cluster, it is called
    /// once more after the connection was opened. Let it keep a token for as long as the token is good. The
    /// function and the connecting share the connection timeout. If the function fails or is late, the
    /// request fails with `Backend`, which has the function's words, and the next attempt calls it again.
    /// Its future is dropped if the opening of the connection is given up.
    ///
    /// ```no_run
    /// # use redis_locked_runtime as redis_locked;
    /// use redis_locked::{Credentials, Locker};
    ///
    /// # async fn connect() -> Result<(), redis_locked::LockError> {
    /// let locker = Locker::builder()
    ///     .credentials(|| async {
    ///         let password = std::fs::read_to_string("/run/secrets/redis")?;
    ///         Ok::<_, std::io::Error>(Credentials::new("jobs", password.trim_end()))
    ///     })
    ///     .connect("redis://redis.internal:6379")
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn credentials<F, A, E>(mut self, provider: F) -> Self
    where
        F: Fn() -> A + Send + Sync + 'static,
        A: Future<Output = Result<Credentials, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        self.access.credentials = Some(Provider::new(provider));
        self
    }

    /// Says how to reach servers whose announced addresses lead nowhere from here, or are not in their
    /// certificates: pairs of the announced `host:port` and the reachable one.
    ///
    /// Sentinels and the nodes of a cluster announce addresses. In containers or behind NAT, these often
    /// work only among the servers; an error then names them. Addresses that are not in the map are used
    /// as they are.
    ///
    /// ```no_run
    /// # use redis_locked_runtime as redis_locked;
    /// # async fn connect() -> Result<(), redis_locked::LockError> {
    /// let sentinels = ["redis://redis.example.com:26379"];
    /// let locker = redis_locked::Locker::builder()
    ///     .address_map([
    ///         ("172.18.0.2:6379", "redis.example.com:7001"),
    ///         ("172.18.0.3:6379", "redis.example.com:7002"),
    ///     ])
    ///     .connect_sentinel(sentinels, "mymaster")
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// An entry that is no `host:port` is `InvalidRequest` when connecting. Several calls add up. Needs
    /// the cargo feature `cluster` or `sentinel`.
    #[cfg(any(feature = "cluster", feature = "sentinel"))]
    pub fn address_map<A: Into<String>, R: Into<String>>(
        mut self,
        addresses: impl IntoIterator<Item = (A, R)>,
    ) -> Self {
        for (announced, reachable) in addresses {
            let map = &mut self.access.addresses;
            map.add(announced.into(), reachable.into());
        }
        self
    }

    /// The certificate authorities to trust with `rediss://` URLs, in PEM form: one certificate or several.
    /// By default the system's certificate authorities are trusted; this replaces them.
    ///
    /// Needs the cargo feature `tls`.
    #[cfg(feature = "tls")]
    pub fn root_certificate(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.access.tls.root = Some(Pem::Text(pem.into()));
        self
    }

    /// Like [`root_certificate`](Self::root_certificate), from a file that is read whenever a
    /// connection is opened: a renewed certificate is used without a restart.
    ///
    /// If the file can't be read, no connection is opened, and the `Backend` error names the file. Open
    /// connections stay open. (redis-rs opens a cluster's connections by itself. For them, files that
    /// have changed are read when a command fails.)
    ///
    /// Needs the cargo feature `tls`.
    #[cfg(feature = "tls")]
    pub fn root_certificate_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.access.tls.root = Some(Pem::File(path.into()));
        self
    }

    /// The client's certificate for `rediss://` URLs, if the servers ask for one, and its private key, both
    /// in PEM form. Certificates between it and its authority follow it in the first argument.
    ///
    /// ```no_run
    /// # use redis_locked_runtime as redis_locked;
    /// # async fn connect() -> Result<(), Box<dyn std::error::Error>> {
    /// let locker = redis_locked::Locker::builder()
    ///     .root_certificate(std::fs::read("ca.pem")?)
    ///     .client_certificate(std::fs::read("client.pem")?, std::fs::read("client.key")?)
    ///     .connect("rediss://redis.internal:6380")
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// Needs the cargo feature `tls`.
    #[cfg(feature = "tls")]
    pub fn client_certificate(
        mut self,
        chain: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Self {
        self.access.tls.client = Some((Pem::Text(chain.into()), Pem::Text(key.into())));
        self
    }

    /// Like [`client_certificate`](Self::client_certificate), from two files that are read whenever
    /// a connection is opened, as the file of [`root_certificate_file`](Self::root_certificate_file) is.
    ///
    /// Needs the cargo feature `tls`.
    #[cfg(feature = "tls")]
    pub fn client_certificate_files(
        mut self,
        chain: impl Into<PathBuf>,
        key: impl Into<PathBuf>,
    ) -> Self {
        let files = (Pem::File(chain.into()), Pem::File(key.into()));
        self.access.tls.client = Some(files);
        self
    }

    pub(crate) fn on(self, servers: Servers) -> Locker {
        let store = self.lining_up(servers);
        self.build(Arc::new(store))
    }

    pub(super) fn store(&self, servers: Servers, alerts: Arc<Alerts>) -> RedisStore {
        RedisStore::new(servers, self.timeouts, self.replicas, alerts, None)
    }

    /// A store of its own, where those who wait line up.
    pub(super) fn lining_up(&self, servers: Servers) -> RedisStore {
        let (prefix, alerts) = (self.prefix.as_str(), Arc::default());
        RedisStore::new(servers, self.timeouts, self.replicas, alerts, Some(prefix))
    }

    /// What is wrong with the settings.
    fn flaw(&self) -> Option<&'static str> {
        let owner = self.owner.as_deref()?;
        if owner.trim().is_empty() {
            return Some("its owner is empty or blank; name one, or leave it out");
        }
        let has_control = owner.contains(char::is_control);
        has_control.then_some("its owner has control characters; give one without them")
    }

    /// Refuses them before anything is sent.
    pub(super) fn check(&self) -> Result<(), LockError> {
        let invalid = |problem: String| LockError::not_set_up(problem);
        #[cfg(any(feature = "cluster", feature = "sentinel"))]
        if let Some(malformed) = &self.access.addresses.malformed {
            return Err(invalid(format!(
                "{malformed:?} in its `address_map` is no address; write host:port"
            )));
        }
        self.flaw()
            .map_or(Ok(()), |flaw| Err(invalid(flaw.to_owned())))
    }

    /// How long replicas may take to confirm a command.
    pub(super) fn confirming(&self) -> Duration {
        self.replicas
            .map_or(Duration::ZERO, |replicas| replicas.timeout)
    }

    /// A locker whose locks are in this process's memory.
    #[must_use]
    pub fn in_memory(self) -> Locker {
        self.build(Arc::new(MemoryStore::default()))
    }

    /// The same, with a clock that says this time now, and goes on with tokio's: for tests of what runs
    /// [once per period](crate::LockRequest::once_per), which could else begin just before midnight.
    ///
    /// ```
    /// # use redis_locked_runtime as redis_locked;
    /// use std::time::{Duration, SystemTime};
    /// let noon = SystemTime::UNIX_EPOCH + Duration::from_secs(20_000 * 86_400 + 43_200);
    /// let locker = redis_locked::Locker::builder().in_memory_at(noon);
    /// ```
    #[must_use]
    pub fn in_memory_at(self, now: SystemTime) -> Locker {
        self.build(Arc::new(MemoryStore::at(now)))
    }

    pub(crate) fn build(self, store: Arc<dyn Store>) -> Locker {
        telemetry::describe();
        for name in &self.names {
            telemetry::show(name);
        }
        let settings = Settings {
            flaw: self.flaw(),
            prefix: self.prefix,
            owner: self.owner.unwrap_or_else(host_and_process),
            default_ttl: self.default_ttl,
        };
        Locker {
            common: Arc::new(Common::new(store, settings)),
        }
    }
}

fn host_and_process() -> String {
    let host = gethostname::gethostname();
    format!("{}:{}", host.to_string_lossy(), std::process::id())
}
