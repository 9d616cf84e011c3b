//! The connection on which Redis tells that a key was changed.
//!
//! `CLIENT TRACKING` makes the server remember which keys a connection has read, and push an
//! invalidation when one of them is changed, deleted or expired by anyone
//! (<https://redis.io/docs/latest/develop/reference/client-side-caching/>). The waiting attempt
//! reads the key that is busy, so the head of a line needs no polling. The connection is one of its
//! own, since redis-rs does not turn tracking on again when it opens a managed one anew.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use redis::{ErrorKind, PushInfo, PushKind, RedisError, RedisResult, Value};

use super::connection::Connection;
use super::failure::may_pass;
use super::operation::Operation;
use super::servers::Servers;
use super::settings::Timeouts;
use crate::store::alerts::Alerts;

pub(super) struct Tracking {
    connection: Connection,
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
                alerts,
                refused: AtomicBool::new(false),
            }
        })
    }

    /// Moves the operation to the tracking connection; false where tracking is refused.
    pub(super) async fn take_over(&self, operation: &mut Operation) -> RedisResult<bool> {
        if self.refused.load(Ordering::Relaxed) {
            return Ok(false);
        }
        match operation.move_to(&self.connection).await {
            Ok(()) => Ok(true),
            Err(error) if is_refusal(&error) => {
                if !self.refused.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        error = &error as &dyn std::error::Error,
                        "Redis does not offer CLIENT TRACKING here: waiting for a lock asks again \
                         and again, at growing pauses"
                    );
                }
                Ok(false)
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
