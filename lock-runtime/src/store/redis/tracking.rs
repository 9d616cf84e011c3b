//! The connection on which Redis tells that a key was changed.
//!
//! `CLIENT TRACKING` makes the server remember which keys a connection has read, and push an
//! invalidation when one of them is changed, deleted or expired by anyone
//! (<https://redis.io/docs/latest/develop/reference/client-side-caching/>). The waiting attempt
//! reads the key that is busy, so the head of a line needs no polling. The connection is one of its
//! own, since redis-rs does not turn tracking on again when it opens a managed one anew.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared};
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ErrorKind, ProtocolVersion, PushInfo, PushKind, RedisError,
    RedisResult, Value,
};

use super::link::{Link, Timeouts};
use crate::store::alerts::Alerts;
use crate::store::failure::may_pass;

pub(super) struct Tracking {
    client: Client,
    timeouts: Timeouts,
    pub(super) alerts: Arc<Alerts>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    phase: Phase,
    /// How many connections were opened: tells one from the next.
    number: u64,
}

#[derive(Default)]
enum Phase {
    #[default]
    Closed,
    /// Being opened, or open.
    Open(Opening),
    /// The server, or something before it, does not offer tracking.
    Refused,
}

type Opening = Shared<BoxFuture<'static, RedisResult<MultiplexedConnection>>>;

/// The tracking connection, as one operation of the store uses it.
pub(super) struct Tracked {
    pub(super) link: Link,
    pub(super) number: u64,
}

impl Tracking {
    pub(super) fn new(client: Client, timeouts: Timeouts) -> Arc<Self> {
        Arc::new(Self {
            client,
            timeouts,
            alerts: Arc::default(),
            state: Mutex::default(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tracking connection; `None` where tracking is refused.
    pub(super) async fn tracked(self: Arc<Self>) -> RedisResult<Option<Tracked>> {
        let Some((number, opening)) = self.opening() else {
            return Ok(None);
        };
        match opening.await {
            Ok(connection) => Ok(Some(Tracked {
                link: Link::new(connection.into(), self.timeouts),
                number,
            })),
            Err(error) if is_refusal(&error) => {
                self.refused(number, &error);
                Ok(None)
            }
            Err(error) => {
                self.leave(number, Phase::Closed);
                Err(error)
            }
        }
    }

    /// The connection did not answer: the next attempt opens another.
    pub(super) fn broken(&self, number: u64) {
        self.leave(number, Phase::Closed);
    }

    pub(super) fn close(&self) {
        let mut state = self.state();
        if matches!(state.phase, Phase::Open(_)) {
            state.phase = Phase::Closed;
        }
    }

    fn opening(self: &Arc<Self>) -> Option<(u64, Opening)> {
        let mut state = self.state();
        match &state.phase {
            Phase::Refused => None,
            Phase::Open(opening) => Some((state.number, opening.clone())),
            Phase::Closed => {
                state.number += 1;
                let opening = self.open(state.number).boxed().shared();
                state.phase = Phase::Open(opening.clone());
                Some((state.number, opening))
            }
        }
    }

    fn open(
        self: &Arc<Self>,
        number: u64,
    ) -> impl Future<Output = RedisResult<MultiplexedConnection>> + use<> {
        let info = self.client.get_connection_info();
        let settings = info.redis_settings().clone();
        let info = info
            .clone()
            .set_redis_settings(settings.set_protocol(ProtocolVersion::RESP3));
        let this = Arc::downgrade(self);
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeouts.connection))
            .set_response_timeout(Some(self.timeouts.response))
            .set_push_sender(move |push| Self::heard(&this, number, &push));
        async move {
            let mut connection = Client::open(info)?
                .get_multiplexed_async_connection_with_config(&config)
                .await?;
            let mut tracking = redis::cmd("CLIENT");
            tracking.arg("TRACKING").arg("ON").arg("NOLOOP");
            tracking.query_async::<()>(&mut connection).await?;
            Ok(connection)
        }
    }

    /// Redis pushed something, or the connection ended; an error when nobody listens any more.
    fn heard(this: &Weak<Self>, number: u64, push: &PushInfo) -> Result<(), ()> {
        let this = this.upgrade().ok_or(())?;
        match push.kind {
            PushKind::Invalidate => match push.data.first() {
                Some(Value::Array(keys)) => {
                    for key in keys {
                        if let Value::BulkString(key) = key {
                            this.alerts.ring(&String::from_utf8_lossy(key));
                        }
                    }
                }
                // Everything: the database was flushed.
                _ => this.alerts.ring_all(),
            },
            PushKind::Disconnection => {
                this.leave(number, Phase::Closed);
                this.alerts.ring_all();
            }
            _ => {}
        }
        Ok(())
    }

    fn refused(&self, number: u64, error: &RedisError) {
        if self.leave(number, Phase::Refused) {
            tracing::warn!(
                error = error as &dyn std::error::Error,
                "Redis does not offer CLIENT TRACKING here: waiting for a lock asks again and \
                 again, at growing pauses"
            );
        }
    }

    /// False when another connection has taken the place of this one.
    fn leave(&self, number: u64, phase: Phase) -> bool {
        let mut state = self.state();
        let current = state.number == number && matches!(state.phase, Phase::Open(_));
        if current {
            state.phase = phase;
        }
        current
    }
}

/// Whether the server answered, and would answer so again.
fn is_refusal(error: &RedisError) -> bool {
    let misconfigured = matches!(
        error.kind(),
        ErrorKind::AuthenticationFailed | ErrorKind::InvalidClientConfig | ErrorKind::Parse
    );
    !error.is_io_error() && !misconfigured && !may_pass(error) && error.code() != Some("NOAUTH")
}
