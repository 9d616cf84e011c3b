//! Locks on several independent servers: held while a majority grants them.
//!
//! The Redlock algorithm
//! (<https://redis.io/docs/latest/develop/clients/patterns/distributed-locks/>). All servers are
//! asked side by side, for a short time, so that a minority that is down, hangs or answers late
//! costs at most that time.

mod attempt;
mod verdict;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::{Instant, timeout_at};

use super::alerts::Alerts;
use super::{Alert, Answer, Asking, Attempted, Entry, Extension, Released, Store, StoreError};

pub(crate) struct QuorumStore {
    servers: Servers,
    /// Rung for each of the servers.
    alerts: Arc<Alerts>,
}

#[derive(Clone)]
struct Servers {
    all: Arc<[Server]>,
    /// How long an operation waits for those that do not answer.
    patience: Duration,
}

struct Server {
    store: Arc<dyn Store>,
    /// Whether it failed when it was last waited for.
    failing: AtomicBool,
}

impl QuorumStore {
    pub(crate) fn new(
        servers: impl IntoIterator<Item = Arc<dyn Store>>,
        alerts: Arc<Alerts>,
        patience: Duration,
    ) -> Self {
        let server = |store| Server {
            store,
            failing: AtomicBool::new(false),
        };
        let all = servers.into_iter().map(server).collect();
        Self {
            servers: Servers { all, patience },
            alerts,
        }
    }
}

impl Server {
    fn store(&self) -> &dyn Store {
        &*self.store
    }

    fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Its answer, with its name in an error.
    fn heard<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
        let failing = answer.is_err();
        if self.failing.swap(failing, Ordering::Relaxed) != failing {
            match &answer {
                Ok(_) => tracing::info!(server = ?self.store, "server of the quorum answers again"),
                Err(error) => tracing::warn!(
                    server = ?self.store,
                    error = error as &dyn std::error::Error,
                    "server of the quorum fails; locks are granted while a majority answers"
                ),
            }
        }
        answer.map_err(|error| error.of(&self.store))
    }
}

impl Servers {
    fn majority(&self) -> usize {
        majority(self.all.len())
    }

    fn limit(&self) -> Instant {
        Instant::now() + self.patience
    }

    /// How long to wait for servers whose answers decide nothing: a command has been sent by then.
    fn grace(&self) -> Duration {
        self.patience / 10
    }

    async fn ask<T>(
        &self,
        server: &Server,
        answer: Answer<T>,
        limit: Instant,
    ) -> Result<T, StoreError> {
        let late = |_| Err(StoreError::late(self.patience));
        server.heard(timeout_at(limit, answer).await.unwrap_or_else(late))
    }

    async fn release(
        &self,
        server: &Server,
        entry: &Arc<Entry>,
        keep: Option<Duration>,
        limit: Instant,
    ) -> Result<Released, StoreError> {
        let answer = server.store().release(Arc::clone(entry), keep);
        self.ask(server, answer, limit).await
    }
}

pub(crate) fn majority(servers: usize) -> usize {
    servers / 2 + 1
}

impl fmt::Debug for QuorumStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a majority of ")?;
        let stores = self.servers.all.iter().map(|server| &server.store);
        f.debug_list().entries(stores).finish()
    }
}

impl Store for QuorumStore {
    fn acquire(
        &self,
        entry: Arc<Entry>,
        ttl: Duration,
        asking: Asking,
    ) -> BoxFuture<'static, Attempted> {
        let servers = self.servers.clone();
        Box::pin(async move { servers.acquire(entry, ttl, asking).await })
    }

    fn release(&self, entry: Arc<Entry>, keep: Option<Duration>) -> Answer<Released> {
        let servers = self.servers.clone();
        Box::pin(async move { servers.release_all(entry, keep).await })
    }

    fn extend(&self, batch: Vec<(Arc<Entry>, Duration)>) -> BoxFuture<'static, Vec<Extension>> {
        let servers = self.servers.clone();
        Box::pin(async move { servers.extend(batch).await })
    }

    fn alert(&self, key: &str) -> Alert {
        self.alerts.alert(key)
    }

    fn settles_within(&self) -> Duration {
        let each = self.servers.all.iter();
        each.map(|server| server.store().settles_within())
            .max()
            .unwrap_or_default()
    }

    fn spends_tokens(&self) -> bool {
        true
    }

    fn refuses_fencing(&self) -> Option<&'static str> {
        Some(
            "several servers cannot agree on one growing number, so a quorum has no fencing \
             tokens; leave out `fenced`, or use one server, a cluster or sentinels",
        )
    }

    fn close(&self) {
        for server in self.servers.all.iter() {
            server.store().close();
        }
    }
}
