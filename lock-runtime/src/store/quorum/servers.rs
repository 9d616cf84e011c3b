//! The servers of a quorum, and how one of them is asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::store::{Entry, Released, Store, StoreError};

#[derive(Clone)]
pub(super) struct Servers {
    pub(super) all: Arc<[Server]>,
    /// How long an operation waits for those that do not answer.
    pub(super) patience: Duration,
}

pub(super) struct Server {
    store: Arc<dyn Store>,
    /// Whether it failed when it was last waited for.
    failing: AtomicBool,
}

impl Server {
    pub(super) fn new(store: Arc<dyn Store>) -> Self {
        Self {
            store,
            failing: AtomicBool::new(false),
        }
    }

    pub(super) fn store(&self) -> &dyn Store {
        &*self.store
    }

    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// What is said of it when it has not answered.
    pub(super) fn late(&self, patience: Duration) -> StoreError {
        StoreError::late(patience).at(&self.store.place())
    }

    /// Its answer, which tells whether it fails.
    pub(super) fn heard<T>(&self, answer: Result<T, StoreError>) -> Result<T, StoreError> {
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
        answer
    }
}

impl Servers {
    pub(super) fn new(
        servers: impl IntoIterator<Item = Arc<dyn Store>>,
        patience: Duration,
    ) -> Self {
        let all = servers.into_iter().map(Server::new).collect();
        Self { all, patience }
    }

    pub(super) fn majority(&self) -> usize {
        majority(self.all.len())
    }

    pub(super) fn limit(&self) -> Instant {
        Instant::now() + self.patience
    }

    /// How long to wait for servers whose answers decide nothing: a command has been sent by then.
    pub(super) fn grace(&self) -> Duration {
        self.patience / 10
    }

    pub(super) async fn release(
        &self,
        server: &Server,
        entry: &Arc<Entry>,
        keep: Option<Duration>,
        limit: Instant,
    ) -> Result<Released, StoreError> {
        let answer = server.store().release(Arc::clone(entry), keep);
        let late = |_| Err(server.late(self.patience));
        server.heard(timeout_at(limit, answer).await.unwrap_or_else(late))
    }
}

pub(crate) fn majority(servers: usize) -> usize {
    servers / 2 + 1
}
