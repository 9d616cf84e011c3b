//! Locks on Redis: one server, or several that act as one.

mod access;
#[cfg(any(feature = "cluster", feature = "sentinel"))]
mod address_map;
mod cause;
#[cfg(feature = "tls")]
mod certificates;
#[cfg(feature = "cluster")]
mod cluster;
mod commands;
mod connect;
mod connection;
mod credentials;
mod failure;
#[cfg(all(feature = "cluster", feature = "sentinel"))]
pub(crate) mod masters;
mod not_redis;
mod operation;
mod profile;
mod reconnecting;
mod refusal;
#[cfg(feature = "cluster")]
mod route;
mod script;
#[cfg(feature = "sentinel")]
mod sentinel;
mod servers;
mod settings;
mod tls;
mod tracking;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;

use super::alerts::{Alert, Alerts};
use super::{Acquired, Answer, Asking, Attempted, Entry, Extension, Released, Store, StoreError};
use crate::random::random;
pub(crate) use access::Access;
#[cfg(feature = "tls")]
pub(crate) use certificates::Pem;
use commands::Found;
use connection::Connection;
pub use credentials::Credentials;
pub(crate) use credentials::Provider;
use operation::Operation;
pub(crate) use profile::Profile;
use profile::refuses_scripts;
pub(crate) use servers::Servers;
#[cfg(simulation)]
pub(crate) use servers::{Dial, Single};
pub(crate) use settings::{Replicas, Timeouts};
use tracking::Tracking;

pub(crate) struct RedisStore {
    servers: Servers,
    /// Where they are.
    place: Arc<str>,
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
            place: servers.place().into(),
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

    /// Opens the connection, and fails when Redis does not answer on it, or runs no scripts for a
    /// key with this prefix. Answers what the server is, where it is one.
    pub(crate) async fn connect(&self, prefix: &str) -> Result<Profile, StoreError> {
        let profile = self.look(prefix).await;
        profile.map_err(|error| error.at(&self.place))
    }

    async fn look(&self, prefix: &str) -> Result<Profile, StoreError> {
        self.operation().check().await?;
        // The last of a lock's commands: where it can't be had, no key may be set. Nobody has this
        // value, so whatever the key holds is left alone.
        let absent = Entry {
            key: format!("{prefix}redis-locked-connects"),
            value: format!("{:032x}", random::<u128>()),
            counter: None,
        };
        if let Err(error) = commands::release(self.lasting(), &absent, None).await
            && error.source.downcast_ref().is_some_and(refuses_scripts)
        {
            return Err(error.of_scripts());
        }
        Ok(match self.connection.to_one_server().await? {
            Some(mut server) => Profile::of(&mut server, self.one_of_several).await,
            None => Profile::default(),
        })
    }

    fn operation(&self) -> Operation {
        Operation::new(self.connection.clone(), self.timeouts)
    }

    /// For scripts that are to take effect even if nobody hears the answer.
    fn lasting(&self) -> Operation {
        self.operation().with_whole_scripts(self.one_of_several)
    }
}

async fn acquire(
    operation: &mut Operation,
    entry: &Entry,
    ttl: Duration,
    asking: Asking,
    tracking: Option<&Tracking>,
) -> Result<(Acquired, Found), StoreError> {
    let Some(tracking) = tracking else {
        return commands::acquire(operation, entry, ttl, asking).await;
    };
    let tracked = tracking.take_over(operation).await;
    let outcome = commands::acquire_by_script(operation, entry, ttl, tracked.is_ok()).await;
    if let (Err(Some(error)), Ok(_)) = (tracked, &outcome) {
        tracking.tell_missing(error);
    }
    outcome
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
        let mut operation = self.operation().with_replicas(self.replicas);
        let tracking = (asking == Asking::Watching).then(|| Arc::clone(&self.tracking));
        let votes = self.one_of_several;
        let place = Arc::clone(&self.place);
        Box::pin(async move {
            let tracking = tracking.as_deref();
            let acquired = acquire(&mut operation, &entry, ttl, asking, tracking).await;
            let outcome = acquired.and_then(|(acquired, found)| {
                // Each attempt of a quorum has its own value. Where nothing that was sent here can
                // have set it, it came by another of the addresses.
                let is_second_vote = votes && found == Found::Ours && operation.is_settled();
                if is_second_vote {
                    return Err(StoreError::voted_before());
                }
                Ok(acquired)
            });
            Attempted {
                outcome: outcome.map_err(|error| error.at(&place)),
                settled: operation.is_settled(),
            }
        })
    }

    fn release(&self, entry: Arc<Entry>, keep: Option<Duration>) -> Answer<Released> {
        let operation = self.lasting();
        let place = Arc::clone(&self.place);
        Box::pin(async move {
            let released = commands::release(operation, &entry, keep).await;
            released.map_err(|error| error.at(&place))
        })
    }

    fn extend(&self, batch: Vec<(Arc<Entry>, Duration)>) -> BoxFuture<'static, Vec<Extension>> {
        let operation = self.lasting().with_replicas(self.replicas);
        let place = Arc::clone(&self.place);
        Box::pin(async move {
            let answers = commands::extend(operation, batch).await;
            let at = |answer: Extension| answer.map_err(|error| error.at(&place));
            answers.into_iter().map(at).collect()
        })
    }

    fn place(&self) -> String {
        self.place.as_ref().to_owned()
    }

    /// As long as an attempt may take, and then as long as the kernel goes on delivering what a
    /// connection holds that was given up.
    fn settles_within(&self) -> Duration {
        2 * self.timeouts.total()
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
