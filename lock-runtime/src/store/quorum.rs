//! Locks on several independent servers: held while a majority grants them.
//!
//! The Redlock algorithm
//! (<https://redis.io/docs/latest/develop/clients/patterns/distributed-locks/>). All servers are
//! asked side by side, each for a short time, so that a minority that is down, hangs or answers
//! late costs at most that time.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, join_all};
use futures_util::stream::FuturesUnordered;
use tokio::time::{sleep, timeout};

use super::alerts::Alerts;
use super::{
    Acquired, Alert, Answer, Asking, Entry, Extended, Extension, Holder, Released, Store,
    StoreError,
};

/// After a vote that nobody won, the longest pause of a waiter before its next. Those who collided
/// draw different pauses, or they would collide again.
const SPLIT_PAUSE: Duration = Duration::from_millis(20);

pub(crate) struct QuorumStore {
    servers: Servers,
    /// Rung for each of the servers.
    alerts: Arc<Alerts>,
}

#[derive(Clone)]
struct Servers {
    all: Arc<[Arc<dyn Store>]>,
    /// How long each may take.
    patience: Duration,
}

impl QuorumStore {
    pub(crate) fn new(
        servers: Vec<Arc<dyn Store>>,
        alerts: Arc<Alerts>,
        patience: Duration,
    ) -> Self {
        Self {
            servers: Servers {
                all: servers.into(),
                patience,
            },
            alerts,
        }
    }
}

impl Servers {
    fn majority(&self) -> usize {
        majority(self.all.len())
    }

    /// A server's answer, if it comes in time.
    async fn within<T>(&self, answer: Answer<T>) -> Result<T, StoreError> {
        let patience = self.patience;
        match timeout(patience, answer).await {
            Ok(answer) => answer,
            Err(_) => Err(StoreError::late(patience)),
        }
    }

    async fn acquire(
        self,
        entry: Arc<Entry>,
        ttl: Duration,
        asking: Asking,
    ) -> Result<Acquired, StoreError> {
        let mut votes: FuturesUnordered<_> = self
            .all
            .iter()
            .map(|server| self.within(server.acquire(Arc::clone(&entry), ttl, asking)))
            .collect();
        let mut granted = Vec::new();
        let mut busy = Vec::new();
        let mut errors = Vec::new();
        // Who has the majority need not hear the rest; nor who cannot get it any more.
        while granted.len() < self.majority() && granted.len() + votes.len() >= self.majority() {
            match votes.next().await {
                Some(Ok(Acquired::Granted { since, .. })) => granted.push(since),
                Some(Ok(Acquired::Busy(holder))) => busy.push(holder),
                Some(Err(error)) => errors.push(error),
                None => break,
            }
        }
        drop(votes);
        if granted.len() >= self.majority() {
            let first = granted.iter().min().copied();
            return Ok(Acquired::Granted {
                since: first.expect("a majority is not empty"),
                fence: None,
                in_doubt: !errors.is_empty(),
            });
        }
        // Whoever cannot be reached now has the key until its ttl is over, or never had it.
        drop(self.release_all(&entry, None).await);
        if errors.len() > self.all.len() - self.majority() {
            return Err(StoreError::no_majority(errors, self.all.len()));
        }
        if !granted.is_empty() && asking == Asking::Watching {
            sleep(SPLIT_PAUSE.mul_f64(rand::random())).await;
        }
        let holder = busy
            .into_iter()
            .flatten()
            .max_by_key(|holder: &Holder| holder.left);
        Ok(Acquired::Busy(holder))
    }

    async fn release_all(
        &self,
        entry: &Arc<Entry>,
        keep: Option<Duration>,
    ) -> Vec<Result<Released, StoreError>> {
        let release = |server: &Arc<dyn Store>| server.release(Arc::clone(entry), keep);
        join_all(self.all.iter().map(|server| self.within(release(server)))).await
    }

    async fn extend(self, batch: Vec<(Arc<Entry>, Duration)>) -> Vec<Extension> {
        let asked = self.all.iter().map(|server| {
            let answers = server.extend(batch.clone());
            async {
                let late = |_| batch.iter().map(|_| Err(StoreError::late(self.patience)));
                let answers = timeout(self.patience, answers).await;
                answers.unwrap_or_else(|elapsed| late(elapsed).collect())
            }
        });
        let mut servers: Vec<_> = join_all(asked)
            .await
            .into_iter()
            .map(Vec::into_iter)
            .collect();
        let mut votes_for_one = || servers.iter_mut().filter_map(Iterator::next).collect();
        batch.iter().map(|_| extended(votes_for_one())).collect()
    }
}

fn majority(servers: usize) -> usize {
    servers / 2 + 1
}

fn extended(votes: Vec<Extension>) -> Extension {
    let servers = votes.len();
    let mut since = Vec::new();
    let mut errors = Vec::new();
    let mut refusal = Extended::Gone;
    for vote in votes {
        match vote {
            Ok(Extended::Since(instant)) => since.push(instant),
            Ok(Extended::Gone) => {}
            Ok(Extended::TakenOver) => refusal = Extended::TakenOver,
            Err(error) => errors.push(error),
        }
    }
    if since.len() >= majority(servers) {
        let first = since.into_iter().min();
        return Ok(Extended::Since(first.expect("a majority is not empty")));
    }
    if since.len() + errors.len() >= majority(servers) {
        return Err(StoreError::no_majority(errors, servers));
    }
    Ok(refusal)
}

fn released(votes: Vec<Result<Released, StoreError>>) -> Result<Released, StoreError> {
    let servers = votes.len();
    let mut done = 0;
    let mut errors = Vec::new();
    let mut refusal = Released::Gone;
    for vote in votes {
        match vote {
            Ok(Released::Done) => done += 1,
            Ok(Released::Gone) => {}
            Ok(Released::TakenOver) => refusal = Released::TakenOver,
            Err(error) => errors.push(error),
        }
    }
    if done >= majority(servers) {
        return Ok(Released::Done);
    }
    if done + errors.len() >= majority(servers) {
        return Err(StoreError::no_majority(errors, servers));
    }
    Ok(refusal)
}

impl fmt::Debug for QuorumStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a majority of ")?;
        f.debug_list().entries(self.servers.all.iter()).finish()
    }
}

impl Store for QuorumStore {
    fn acquire(&self, entry: Arc<Entry>, ttl: Duration, asking: Asking) -> Answer<Acquired> {
        Box::pin(self.servers.clone().acquire(entry, ttl, asking))
    }

    fn release(&self, entry: Arc<Entry>, keep: Option<Duration>) -> Answer<Released> {
        let servers = self.servers.clone();
        Box::pin(async move { released(servers.release_all(&entry, keep).await) })
    }

    fn extend(&self, batch: Vec<(Arc<Entry>, Duration)>) -> BoxFuture<'static, Vec<Extension>> {
        Box::pin(self.servers.clone().extend(batch))
    }

    fn alert(&self, key: &str) -> Alert {
        self.alerts.alert(key)
    }

    fn refuses_fencing(&self) -> Option<&'static str> {
        Some(
            "several servers cannot agree on one growing number, so a quorum has no fencing \
             tokens; leave out `fenced`, or use one server, a cluster or sentinels",
        )
    }

    fn close(&self) {
        for server in self.servers.all.iter() {
            server.close();
        }
    }
}
