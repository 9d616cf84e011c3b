//! The connection on which Redis tells that a key was changed.
//!
//! `CLIENT TRACKING` makes the server remember which keys a connection has read, and push an
//! invalidation when one of them is changed, deleted or expired by anyone
//! (<https://redis.io/docs/latest/develop/reference/client-side-caching/>). The waiting attempt
//! reads the key that is busy, so the head of a line needs no polling. The connection is one of its
//! own, since redis-rs does not turn tracking on again when it opens a managed one anew.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use redis::{PushInfo, PushKind, RedisError, Value};
use tokio::time::Instant;

#[cfg(feature = "cluster")]
use super::bells::Bells;
use super::connection::Connection;
use super::line::{Line, Stray};
use super::operation::Operation;
#[cfg(feature = "cluster")]
use super::refusal::is_without_right;
use super::refusal::is_without_tracking;
use super::servers::Servers;
use super::settings::Timeouts;
use crate::store::StoreError;
use crate::store::alerts::Alerts;

/// How long a refusal is taken for the last word.
const REFUSED_FOR: Duration = Duration::from_secs(60);

pub(super) struct Tracking {
    connection: Connection,
    /// Where a cluster's bells are heard: not on that connection.
    #[cfg(feature = "cluster")]
    bells: Option<Arc<Bells>>,
    /// How long opening it may take, so that an operation can still be answered without it.
    patience: Duration,
    pub(super) alerts: Arc<Alerts>,
    line: Option<Arc<Line>>,
    /// Gives back what was passed on to one who has left.
    on_stray: Box<dyn Fn(Stray) + Send + Sync>,
    missing: Mutex<Missing>,
}

/// What is known of a tracking connection that could not be had.
#[derive(Default)]
struct Missing {
    /// When the server, or something before it, refused to track, and the number of the connection
    /// for commands at that time: one that was opened later may lead to another server.
    refused: Option<(Instant, u64)>,
    is_told: bool,
}

impl Missing {
    /// Whether a refusal on the connection of this number still counts.
    fn is_refused(&self, number: u64) -> bool {
        self.refused
            .is_some_and(|(since, at)| at == number && since.elapsed() < REFUSED_FOR)
    }
}

impl Tracking {
    pub(super) fn new(
        servers: &Servers,
        timeouts: Timeouts,
        alerts: Arc<Alerts>,
        line: Option<Arc<Line>>,
        on_stray: impl Fn(Stray) + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new_cyclic(|weak: &Weak<Self>| {
            let this = weak.clone();
            let heard = move |number, push| {
                this.upgrade().ok_or(())?.heard(number, &push);
                Ok(())
            };
            #[cfg(feature = "cluster")]
            let bells = line.as_ref().and_then(|line| {
                let this = weak.clone();
                let heard = move |data: &[Value]| {
                    if let Some(this) = this.upgrade() {
                        this.rung(data);
                    }
                };
                servers.bells(timeouts, Arc::clone(line), heard)
            });
            // What was registered on it rings no more: all have to ask, and register again.
            let gone = {
                let (alerts, line) = (Arc::clone(&alerts), line.clone());
                move || all_look(&alerts, line.as_deref())
            };
            Self {
                connection: servers.tracking(timeouts, line.clone(), heard, gone),
                #[cfg(feature = "cluster")]
                bells,
                alerts,
                line,
                on_stray: Box::new(on_stray),
                patience: timeouts.connection,
                missing: Mutex::default(),
            }
        })
    }

    /// Moves the operation to the tracking connection, or says why not; nothing when tracking is
    /// known to be refused.
    pub(super) async fn take_over(
        &self,
        operation: &mut Operation,
    ) -> Result<(), Option<RedisError>> {
        let number = operation.connection_number();
        if self.missing().is_refused(number) {
            return Err(None);
        }
        let limit = Instant::now() + self.patience;
        let moved = operation.move_to(&self.connection, limit).await;
        let mut missing = self.missing();
        match moved {
            Ok(()) => {
                *missing = Missing::default();
                Ok(())
            }
            Err(error) => {
                missing.refused = is_without_tracking(&error).then(|| (Instant::now(), number));
                Err(Some(error))
            }
        }
    }

    /// The store answered on the other connection.
    pub(super) fn tell_missing(&self, error: RedisError) {
        let mut missing = self.missing();
        if std::mem::replace(&mut missing.is_told, true) {
            return;
        }
        let text = match missing.refused {
            Some(_) => "Redis does not offer CLIENT TRACKING here",
            None => "no second connection to Redis can be had for CLIENT TRACKING now",
        };
        drop(missing);
        let error = StoreError::from(error);
        tracing::warn!(
            error = &error as &dyn std::error::Error,
            "{text}: waiting for a lock asks again and again, at growing pauses"
        );
    }

    fn missing(&self) -> MutexGuard<'_, Missing> {
        self.missing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn close(&self) {
        self.connection.close();
        #[cfg(feature = "cluster")]
        if let Some(bells) = &self.bells {
            bells.close();
        }
    }

    fn rung(&self, data: &[Value]) {
        let stray = self.line.as_ref().and_then(|line| line.heard(data));
        stray.into_iter().for_each(&self.on_stray);
    }

    fn heard(&self, number: u64, push: &PushInfo) {
        match push.kind {
            PushKind::Invalidate => match push.data.first() {
                Some(Value::Array(keys)) => {
                    for key in keys {
                        if let Value::BulkString(key) = key {
                            self.alerts.ring(&String::from_utf8_lossy(key));
                        }
                    }
                }
                // Everything: the database was flushed.
                _ => all_look(&self.alerts, self.line.as_deref()),
            },
            // One that opens itself again: nobody else tells those who wait.
            PushKind::Disconnection if !self.connection.broken(number) => {
                all_look(&self.alerts, self.line.as_deref());
            }
            PushKind::Message => self.rung(&push.data),
            _ => {}
        }
    }

    /// The bell of this key, if it is heard, as far as that is known without asking.
    pub(super) fn bell(&self, key: &str) -> Option<String> {
        let line = self.line.as_ref()?;
        #[cfg(feature = "cluster")]
        if let Some(bells) = &self.bells {
            return line.channel_of(key).filter(|bell| bells.is_heard(bell));
        }
        #[cfg(not(feature = "cluster"))]
        let _ = key;
        let is_heard = self.connection.is_open() && line.is_heard_on(self.number());
        is_heard.then(|| line.channel.clone())
    }

    /// Has the bell of this key heard, for the operation that is under way.
    pub(super) async fn open_bell(
        &self,
        operation: &Operation,
        key: &str,
    ) -> Result<String, NoBell> {
        #[cfg(feature = "cluster")]
        if let (Some(bells), Some(line)) = (&self.bells, &self.line) {
            let bell = line.channel_of(key).ok_or(NoBell::Missing(None))?;
            let Err(error) = bells.subscribe(operation, key, &bell).await else {
                return Ok(bell);
            };
            return Err(match error.redis() {
                Some(refusal) if is_without_right(refusal) => NoBell::Refused(Some(error)),
                missing => NoBell::Missing(missing.cloned()),
            });
        }
        // The operation itself goes the other way.
        match self.take_over(&mut operation.clone()).await {
            Ok(()) => self.bell(key).ok_or(NoBell::Refused(None)),
            Err(error) => self.bell(key).ok_or(NoBell::Missing(error)),
        }
    }

    /// The server does not know that we hear this bell.
    pub(super) fn lose_bell(&self, bell: &str) {
        #[cfg(feature = "cluster")]
        if let Some(bells) = &self.bells {
            return bells.forget(bell);
        }
        #[cfg(not(feature = "cluster"))]
        let _ = bell;
        self.open_anew();
    }

    /// Tells a connection from the one that is opened after it.
    pub(super) fn number(&self) -> u64 {
        self.connection.number()
    }

    /// How long it may take to be opened.
    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// The connection is of no use: it says nothing, or the server does not know what it subscribed
    /// to.
    pub(super) fn open_anew(&self) {
        self.connection.broken(self.number());
    }
}

/// Why there is no bell.
pub(super) enum NoBell {
    /// It is refused, here and now; by which words, where they are known.
    Refused(Option<StoreError>),
    /// Where it would be heard can't be reached; nothing when that was known.
    Missing(Option<RedisError>),
}

/// What would have been heard meanwhile is lost.
fn all_look(alerts: &Alerts, line: Option<&Line>) {
    alerts.ring_all();
    if let Some(line) = line {
        line.ears.tell_all_to_look();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    #[tokio::test(start_paused = true)]
    async fn a_refusal_counts_for_a_minute_on_its_own_connection() {
        let mut missing = Missing::default();
        assert!(!missing.is_refused(1));
        missing.refused = Some((Instant::now(), 1));
        advance(REFUSED_FOR / 60 * 59).await;
        assert!(missing.is_refused(1) && !missing.is_refused(2));
        advance(REFUSED_FOR / 60).await;
        assert!(!missing.is_refused(1));
    }
}
