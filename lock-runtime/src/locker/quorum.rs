//! Connecting to several independent servers.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::FuturesUnordered;
use futures_util::{Stream, StreamExt as _};
use tokio::time::{Instant, timeout_at};

use super::Locker;
use super::builder::LockerBuilder;
use super::connect::{part_of_cluster, unusable};
use crate::error::LockError;
use crate::store::StoreError;
use crate::store::alerts::Alerts;
use crate::store::quorum::{QuorumStore, majority};
use crate::store::redis::{Profile, RedisStore, Servers};

impl LockerBuilder {
    /// Connects to several independent Redis servers, at best three or five. A lock is held while
    /// more than half of them grant it (the Redlock algorithm). The servers do not replicate each other, so
    /// no failover can lose a lock.
    ///
    /// All servers are asked side by side. A minority of them may be down, hang, answer late or lose
    /// its data. The lock is granted, extended and released all the same, each operation at most
    /// [`server_timeout`](Self::server_timeout) later. Without a majority, requests fail with
    /// `Backend`. The log tells when a server begins to fail, and when it answers again.
    ///
    /// What it cannot promise:
    ///
    /// - A server that forgets its keys can grant them twice. A server that was restarted should stay
    ///   away for the longest ttl in use, or write each command to disk (`appendfsync always`).
    /// - The clocks of the servers have to run at about the same speed, to 1 % and 2 ms. They must not be
    ///   stepped, since Redis' expiries follow the system's clock.
    /// - A server that a release does not reach keeps the key until its ttl is over, and counts as
    ///   busy meanwhile.
    /// - A server that lost the key of a held lock does not get it again. A lock that is renewed for
    ///   hours is lost when a majority was restarted meanwhile, though one after the other.
    /// - A lock is on the servers that granted it. If they were the smallest possible majority and one of
    ///   them fails, the extension or the release has no majority, though other servers are up.
    /// - Callers that ask at the same moment may get some of the servers each, and none of them the
    ///   majority. All of them give back what they got; `wait` and `retries` then pause for different
    ///   times. Many callers that ask again and again without a pause can keep one another from the lock.
    /// - There are no fencing tokens: the servers could not agree on a growing number, so requests
    ///   with `fenced` are refused.
    ///
    /// # Errors
    ///
    /// `InvalidRequest` without a URL, when two URLs lead to one server, or when a URL leads to a replica
    /// or to a node of a cluster that has only a part of the keys. That is found out from the servers
    /// that answer; which server one is, by `INFO`. `Backend` when a URL cannot be used, or when no
    /// majority of the servers answers within the connection and response timeouts and runs scripts.
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
        let alerts = Arc::default();
        let servers = urls
            .into_iter()
            .map(|url| {
                let server = Servers::one(url.as_ref(), &self.access, self.timeouts)?;
                let store = self.store(server, Arc::clone(&alerts));
                Ok(Arc::new(store.one_of_several()))
            })
            .collect::<Result<Vec<_>, redis::RedisError>>()
            .map_err(unusable)?;
        check(&servers)?;
        let started = Instant::now();
        let failed = |error: StoreError| error.into_error(None, "connected", 1, started.elapsed());
        // An answer that replicas have to confirm comes only then.
        let patience = self.server_timeout + self.confirming();
        if self.lazy {
            return Ok(self.quorum(servers, alerts, patience));
        }
        let mut connecting: FuturesUnordered<_> = servers
            .iter()
            .cloned()
            .map(|server| {
                let prefix = &self.prefix;
                async move {
                    let profile = server.connect(prefix).await;
                    profile.map(|profile| (server, profile))
                }
            })
            .collect();
        let mut members = Members::default();
        let mut errors = Vec::new();
        let mut until = None;
        while let Some(answer) = next(&mut connecting, until).await {
            match answer {
                Ok((server, profile)) => members.add(&server, profile)?,
                Err(error) => errors.push(error),
            }
            if members.count >= majority(servers.len()) {
                // The others have as long as in any operation.
                until.get_or_insert_with(|| Instant::now() + patience);
            }
        }
        drop(connecting);
        if members.count < majority(servers.len()) {
            return Err(failed(StoreError::no_majority(errors, servers.len())));
        }
        Ok(self.quorum(servers, alerts, patience))
    }

    fn quorum(
        self,
        servers: Vec<Arc<RedisStore>>,
        alerts: Arc<Alerts>,
        patience: Duration,
    ) -> Locker {
        let servers = servers.into_iter().map(|server| server as _);
        self.build(Arc::new(QuorumStore::new(servers, alerts, patience)))
    }
}

/// The next of the answers, unless the time comes first.
async fn next<S: Stream + Unpin>(answers: &mut S, until: Option<Instant>) -> Option<S::Item> {
    match until {
        Some(until) => timeout_at(until, answers.next()).await.ok()?,
        None => answers.next().await,
    }
}

/// The servers that have answered.
#[derive(Default)]
struct Members {
    count: usize,
    /// Their addresses, by what they call themselves.
    known: HashMap<String, String>,
}

impl Members {
    /// Refuses a server whose vote would not be one of its own.
    fn add(&mut self, server: &RedisStore, profile: Profile) -> Result<(), LockError> {
        let invalid = |problem: String| Err(LockError::not_set_up(problem));
        if profile.is_partial {
            return Err(part_of_cluster(server));
        }
        if profile.is_replica {
            return invalid(format!(
                "{server:?} is a replica, which only repeats what its master says; leave it out"
            ));
        }
        let name = format!("{server:?}");
        if let Some(id) = profile.run_id
            && let Some(other) = self.known.insert(id, name)
        {
            return invalid(format!(
                "{other} and {server:?} are one server, which would vote twice; leave one out"
            ));
        }
        self.count += 1;
        Ok(())
    }
}

/// Refuses what would be no quorum.
fn check(servers: &[Arc<RedisStore>]) -> Result<(), LockError> {
    let invalid = |problem: String| Err(LockError::not_set_up(problem));
    if servers.is_empty() {
        return invalid("a quorum needs the URLs of its servers".into());
    }
    let mut seen = HashSet::new();
    for server in servers {
        let name = format!("{server:?}");
        if seen.contains(&name) {
            return invalid(format!(
                "{name} is named twice, and would vote twice; leave one out"
            ));
        }
        seen.insert(name);
    }
    Ok(())
}
