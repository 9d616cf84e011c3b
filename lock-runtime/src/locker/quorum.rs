//! Connecting to several independent servers.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use tokio::time::{Instant, timeout};

use super::Locker;
use super::builder::LockerBuilder;
use crate::error::LockError;
use crate::store::StoreError;
use crate::store::quorum::{QuorumStore, majority};
use crate::store::redis::{RedisStore, Servers};

impl LockerBuilder {
    /// Connects to several independent Redis servers, at best three or five: a lock is held while
    /// more than half of them grant it (the Redlock algorithm). No replication is between them, so
    /// no failover can lose a lock.
    ///
    /// All servers are asked side by side. A minority of them may be down, hang, answer late or lose
    /// its data: the lock is granted, extended and released all the same, each operation at most
    /// [`server_timeout`](Self::server_timeout) later. Without a majority, requests fail with
    /// `Backend`. The log tells when a server begins to fail, and when it answers again.
    ///
    /// What it cannot promise:
    ///
    /// - A server that forgets its keys can grant them twice. A server that was restarted should stay
    ///   away for the longest ttl in use, or write each command to disk (`appendfsync always`).
    /// - The clocks of the servers have to run at about the same speed, to 1 % and 2 ms. Steps count:
    ///   Redis' expiries follow the system's clock.
    /// - A server that a release does not reach keeps the key until its ttl is over, and counts as
    ///   busy meanwhile.
    /// - A server that lost the key of a held lock does not get it again. A lock that is renewed for
    ///   hours is lost when a majority was restarted meanwhile, though one after the other.
    /// - A lock is on the servers that granted it. Where they were the barest majority, one of them that
    ///   fails leaves the extension or the release without a majority, though others are up.
    /// - Those who ask at the same moment may get a part of the servers each, and nobody the majority.
    ///   All give back; `wait` and `retries` then pause for different times. Many who ask again and
    ///   again without a pause can keep one another from the lock.
    /// - There are no fencing tokens: the servers could not agree on a growing number, so requests
    ///   with `fenced` are refused.
    ///
    /// # Errors
    ///
    /// `InvalidRequest` without a URL, or when two of them name the same server; `Backend` when a
    /// URL cannot be used, or when no majority of the servers answers within the connection and
    /// response timeouts.
    ///
    /// ```no_run
    /// # use redis_locked_runtime as redis_locked;
    /// # async fn connect() -> Result<(), redis_locked::LockError> {
    /// let urls = ["redis://10.0.0.1:6379", "redis://10.0.0.2:6379", "redis://10.0.0.3:6379"];
    /// let locker = redis_locked::Locker::builder().connect_quorum(urls).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn connect_quorum<U: AsRef<str>>(
        self,
        urls: impl IntoIterator<Item = U>,
    ) -> Result<Locker, LockError> {
        self.check()?;
        let started = Instant::now();
        let failed = |error: StoreError| error.into_error(None, "connected", 1, started.elapsed());
        let alerts = Arc::default();
        let servers = urls
            .into_iter()
            .map(|url| {
                let server = Servers::one(url.as_ref(), &self.tls, self.timeouts)?;
                let store = self.store(server, Arc::clone(&alerts));
                Ok(Arc::new(store.one_of_several()))
            })
            .collect::<Result<Vec<_>, redis::RedisError>>()
            .map_err(|error| failed(error.into()))?;
        check(&servers)?;
        // An answer that replicas have to confirm comes only then.
        let patience = self.server_timeout + self.confirming();
        let mut connecting: FuturesUnordered<_> = servers
            .iter()
            .cloned()
            .map(|server| async move { server.connect().await.map_err(|error| error.of(&server)) })
            .collect();
        let (mut connected, mut errors) = (0, Vec::new());
        while let Some(answer) = connecting.next().await {
            match answer {
                Ok(()) => connected += 1,
                Err(error) => errors.push(error),
            }
            if connected == majority(servers.len()) {
                // The others have as long as in any operation.
                let others = async { while connecting.next().await.is_some() {} };
                let _ = timeout(patience, others).await;
                let servers = servers.into_iter().map(|server| server as _);
                return Ok(self.build(Arc::new(QuorumStore::new(servers, alerts, patience))));
            }
        }
        Err(failed(StoreError::no_majority(errors, servers.len())))
    }
}

/// Refuses what would be no quorum.
fn check(servers: &[Arc<RedisStore>]) -> Result<(), LockError> {
    let invalid = |problem: String| Err(LockError::InvalidRequest { key: None, problem });
    if servers.is_empty() {
        return invalid("a quorum needs the URLs of its servers".into());
    }
    let mut seen = HashSet::new();
    for server in servers {
        let name = format!("{server:?}");
        if seen.contains(&name) {
            return invalid(format!(
                "{name} is named twice, and would vote for both; leave one out"
            ));
        }
        seen.insert(name);
    }
    Ok(())
}
