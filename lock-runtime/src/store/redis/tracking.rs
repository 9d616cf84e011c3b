//! The connection on which Redis tells that a key was changed.
//!
//! `CLIENT TRACKING` makes the server remember which keys a connection has read, and push an
//! invalidation when one of them is changed, deleted or expired by anyone
//! (<https://redis.io/docs/latest/develop/reference/client-side-caching/>). The waiting attempt
//! reads the key that is busy, so the head of a line needs no polling. The connection is one of its
//! own, since redis-rs does not turn tracking on again when it opens a managed one anew.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ErrorKind, PushInfo, PushKind, RedisError, RedisResult, Value};

use super::link::{Link, Timeouts};
use super::reopening::Reopening;
use super::servers::Servers;
use crate::store::alerts::Alerts;
use crate::store::failure::may_pass;

pub(super) struct Tracking {
    connection: Arc<Reopening>,
    timeouts: Timeouts,
    pub(super) alerts: Arc<Alerts>,
    /// The server, or something before it, does not offer tracking.
    refused: AtomicBool,
}

impl Tracking {
    pub(super) fn new(servers: Servers, timeouts: Timeouts, alerts: Arc<Alerts>) -> Arc<Self> {
        Arc::new_cyclic(|this: &Weak<Self>| {
            let this = this.clone();
            let open = move |number| {
                let opened = open(servers.clone(), timeouts, this.clone(), number);
                Box::pin(opened) as _
            };
            Self {
                connection: Arc::new(Reopening::new(open)),
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
        match self.connection.get().await {
            Ok(_) => Ok(Some(Link::new(
                self.connection.clone().into(),
                self.timeouts,
            ))),
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
            PushKind::Disconnection => {
                self.connection.broken(number);
                self.alerts.ring_all();
            }
            _ => {}
        }
    }
}

async fn open(
    servers: Servers,
    timeouts: Timeouts,
    listener: Weak<Tracking>,
    number: u64,
) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(timeouts.connection))
        .set_response_timeout(Some(timeouts.response))
        .set_push_sender(move |push| {
            let listener = listener.upgrade().ok_or(())?;
            listener.heard(number, &push);
            Ok::<_, ()>(())
        });
    let mut connection = servers.open_for_pushes(config).await?;
    let mut tracking = redis::cmd("CLIENT");
    tracking.arg("TRACKING").arg("ON").arg("NOLOOP");
    tracking.query_async::<()>(&mut connection).await?;
    Ok(connection)
}

/// Whether the server answered, and would answer so again.
fn is_refusal(error: &RedisError) -> bool {
    let misconfigured = matches!(
        error.kind(),
        ErrorKind::AuthenticationFailed | ErrorKind::InvalidClientConfig | ErrorKind::Parse
    );
    !error.is_io_error() && !misconfigured && !may_pass(error) && error.code() != Some("NOAUTH")
}
