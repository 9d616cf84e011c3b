//! Locks on several independent servers: held while a majority grants them.
//!
//! The Redlock algorithm
//! (<https://redis.io/docs/latest/develop/clients/patterns/distributed-locks/>). All servers are
//! asked side by side, for a short time, so that a minority that is down, hangs or answers late
//! costs at most that time.

mod attempt;
mod servers;
#[cfg(test)]
mod tests;
mod verdict;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::alerts::{Alert, Alerts};
use super::{Answer, Asking, Attempted, Entry, Extension, Holder, Released, Store};
pub(crate) use servers::majority;
use servers::{Server, Servers};

pub(crate) struct QuorumStore {
    servers: Servers,
    /// Rung for each of the servers.
    alerts: Arc<Alerts>,
}

impl QuorumStore {
    pub(crate) fn new(
        servers: impl IntoIterator<Item = Arc<dyn Store>>,
        alerts: Arc<Alerts>,
        patience: Duration,
    ) -> Self {
        Self {
            servers: Servers::new(servers, patience),
            alerts,
        }
    }
}

impl fmt::Debug for QuorumStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a majority of ")?;
        let stores = self.servers.all.iter().map(Server::store);
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
        // The lines of several servers could disagree.
        let asking = asking.without_line();
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

    fn place(&self) -> String {
        let each = self.servers.all.iter().map(|server| server.store().place());
        format!("the quorum of {}", each.collect::<Vec<_>>().join(", "))
    }

    fn settles_within(&self) -> Duration {
        let each = self.servers.all.iter();
        let each = each.map(|server| server.store().settles_within());
        each.max().unwrap_or_default()
    }

    fn spends_tokens(&self) -> bool {
        true
    }

    fn refuses_coalescing(&self) -> Option<&'static str> {
        Some(
            "the lines of several servers can disagree on whether somebody waits, so a quorum has \
             no `coalesce`; leave it out, or lock on one server",
        )
    }

    fn refuses_places(&self) -> Option<&'static str> {
        Some(
            "each of several servers could let in others, and none would have a majority, so a \
             quorum has no `permits` and no `shared`; leave them out, or use one server, a cluster or \
             sentinels",
        )
    }

    fn holders(&self, _key: String) -> Result<Answer<Vec<Holder>>, &'static str> {
        Err(
            "each of several servers may name another, as long as nobody has a majority; ask one \
             server, or look with `redis-locked show --quorum`",
        )
    }

    fn refuses_fencing(&self) -> Option<&'static str> {
        Some(
            "several servers cannot agree on one growing number, so a quorum has no fencing \
             tokens; leave out `fenced`, or use one server, a cluster or sentinels",
        )
    }

    fn refuses_records(&self) -> Option<&'static str> {
        Some(
            "several servers cannot agree on what ran last, so a quorum keeps no records; leave out \
             `once_per` and `record`, or use one server, a cluster or sentinels",
        )
    }

    fn close(&self) {
        for server in self.servers.all.iter() {
            server.store().close();
        }
    }
}
