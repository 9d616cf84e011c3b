//! The connection on which Redis tells that a key was changed.
//!
//! `CLIENT TRACKING` makes the server remember which keys a connection has read, and push an
//! invalidation when one of them is changed, deleted or expired by anyone
//! (<https://redis.io/docs/latest/develop/reference/client-side-caching/>). The waiting attempt
//! reads the key that is busy, so the head of a line needs no polling. The connection is one of its
//! own, since redis-rs does not turn tracking on again when it opens a managed one anew.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use redis::{Cmd, ErrorKind, PushInfo, PushKind, RedisError, RedisResult, Value};

use super::connection::{Connection, Timeouts};
use super::link::Link;
use super::servers::Servers;
use crate::store::alerts::Alerts;
use crate::store::failure::may_pass;

pub(super) struct Tracking {
    connection: Connection,
    timeouts: Timeouts,
    pub(super) alerts: Arc<Alerts>,
    /// The server, or something before it, does not offer tracking.
    refused: AtomicBool,
}

impl Tracking {
    pub(super) fn new(servers: &Servers, timeouts: Timeouts, alerts: Arc<Alerts>) -> Arc<Self> {
        Arc::new_cyclic(|this: &Weak<Self>| {
            let this = this.clone();
            let heard = move |number, push| {
                this.upgrade().ok_or(())?.heard(number, &push);
                Ok(())
            };
            // What was registered on it rings no more: all have to ask, and register again.
            let gone = {
                let alerts = Arc::clone(&alerts);
                move || alerts.ring_all()
            };
            Self {
                connection: servers.tracking(timeouts, heard, gone),
                timeouts,
                alerts,
                refused: AtomicBool::new(false),
            }
        })
    }

    /// The tracking connection; `None` where tracking is refused.
    pub(super) async fn link(&self) -> RedisResult<Option<Link>> {
        if self.refused.load(Ordering::Relaxed) {
            return Ok(None);
        }
        match self.connection.open().await {
            Ok(()) => Ok(Some(Link::new(self.connection.clone(), self.timeouts))),
            Err(error) if is_refusal(&error) => {
                if !self.refused.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "Redis does not offer CLIENT TRACKING here: waiting for a lock asks again \
                         and again, at growing pauses"
                    );
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    pub(super) fn close(&self) {
        self.connection.close();
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
                _ => self.alerts.ring_all(),
            },
            // One that opens itself again: nobody else tells those who wait.
            PushKind::Disconnection if !self.connection.broken(number) => {
                self.alerts.ring_all();
            }
            _ => {}
        }
    }
}

/// Turns tracking on for a connection; once more does no harm.
pub(super) fn track() -> Cmd {
    let mut command = redis::cmd("CLIENT");
    command.arg("TRACKING").arg("ON").arg("NOLOOP");
    command
}

/// Whether the server answered, and would answer so again.
fn is_refusal(error: &RedisError) -> bool {
    let misconfigured = matches!(
        error.kind(),
        ErrorKind::AuthenticationFailed
            | ErrorKind::InvalidClientConfig
            | ErrorKind::Parse
            | ErrorKind::UnexpectedReturnType
            | ErrorKind::MasterNameNotFoundBySentinel
    );
    !error.is_io_error() && !misconfigured && !may_pass(error) && error.code() != Some("NOAUTH")
}
