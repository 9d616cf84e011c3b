//! Locks on Redis: one server, or several that act as one.

#[cfg(feature = "cluster")]
mod cluster;
mod commands;
mod connection;
mod link;
mod reopening;
mod script;
#[cfg(feature = "sentinel")]
mod sentinel;
mod servers;
mod tls;
mod tracking;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{BoxFuture, join_all};

use super::alerts::Alerts;
use super::{Alert, Answer, Asking, Attempted, Entry, Extension, Released, Store, StoreError};
use commands::{acquire, acquire_by_script, attempted, extend, extend_one, release};
use connection::Connection;
pub(crate) use connection::Timeouts;
use link::Link;
pub(crate) use link::Replicas;
pub(crate) use script::Script;
#[cfg(feature = "sentinel")]
pub(crate) use sentinel::{Login, Sentinels};
pub(crate) use servers::Servers;
pub(crate) use tls::Tls;
#[cfg(feature = "tls")]
pub(crate) use tls::{choose_crypto, describe as describe_tls};
use tracking::Tracking;

pub(crate) struct RedisStore {
    servers: Servers,
    timeouts: Timeouts,
    replicas: Option<Replicas>,
    /// Whether those who ask several servers leave when a majority has answered.
    one_of_several: bool,
    connection: Connection,
    tracking: Arc<Tracking>,
}

impl RedisStore {
    pub(crate) fn new(
        servers: Servers,
        mut timeouts: Timeouts,
        replicas: Option<Replicas>,
        alerts: Arc<Alerts>,
    ) -> Self {
        // A command that replicas have to confirm is answered only then.
        timeouts.response += replicas.map_or(Duration::ZERO, |replicas| replicas.timeout);
        Self {
            connection: servers.connection(timeouts),
            tracking: Tracking::new(&servers, timeouts, alerts),
            servers,
            timeouts,
            replicas,
            one_of_several: false,
        }
    }

    /// For one of several servers, whose answers nobody may be there to hear.
    pub(crate) fn one_of_several(self) -> Self {
        Self {
            one_of_several: true,
            ..self
        }
    }

    /// Opens the connection, and fails when Redis does not answer on it.
    pub(crate) async fn connect(&self) -> Result<(), StoreError> {
        Ok(self.link().check().await?)
    }

    /// For scripts that are to take effect even if nobody hears the answer.
    fn link_for_scripts(&self) -> Link {
        self.link().with_whole_scripts(self.one_of_several)
    }

    fn link(&self) -> Link {
        Link::new(self.connection.clone(), self.timeouts)
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.servers.fmt(f)
    }
}

impl Store for RedisStore {
    fn acquire(
        &self,
        entry: Arc<Entry>,
        ttl: Duration,
        asking: Asking,
    ) -> BoxFuture<'static, Attempted> {
        let mut link = self.link().with_replicas(self.replicas);
        if asking == Asking::Watching {
            let (tracking, replicas) = (Arc::clone(&self.tracking), self.replicas);
            return Box::pin(async move {
                let tracked = match tracking.link().await {
                    Ok(tracked) => tracked,
                    // Nothing was sent.
                    Err(error) => {
                        return Attempted {
                            outcome: Err(error.into()),
                            settled: true,
                        };
                    }
                };
                let rings = tracked.is_some();
                if let Some(tracked) = tracked {
                    link = tracked.with_replicas(replicas);
                }
                let outcome = acquire_by_script(&mut link, &entry, ttl, rings).await;
                attempted(&link, outcome)
            });
        }
        Box::pin(async move {
            let outcome = acquire(&mut link, &entry, ttl, asking).await;
            attempted(&link, outcome)
        })
    }

    fn release(&self, entry: Arc<Entry>, keep: Option<Duration>) -> Answer<Released> {
        let link = self.link_for_scripts();
        Box::pin(async move { release(link, &entry, keep).await })
    }

    fn extend(&self, batch: Vec<(Arc<Entry>, Duration)>) -> BoxFuture<'static, Vec<Extension>> {
        let link = self.link_for_scripts().with_replicas(self.replicas);
        Box::pin(async move {
            if !link.is_spread() {
                return extend(link, &batch).await;
            }
            let one = |(entry, ttl): &(Arc<Entry>, Duration)| {
                extend_one(link.clone(), Arc::clone(entry), *ttl)
            };
            join_all(batch.iter().map(one)).await
        })
    }

    fn settles_within(&self) -> Duration {
        self.timeouts.response
    }

    fn alert(&self, key: &str) -> Alert {
        self.tracking.alerts.alert(key)
    }

    fn close(&self) {
        self.tracking.close();
        self.connection.close();
    }
}

#[cfg(test)]
mod tests;
