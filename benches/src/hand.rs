//! Waiting for the lock by hand, by the same protocol and with nothing around it: a connection
//! with `CLIENT TRACKING`, one script that takes the lock or reads who has it, a release.

use std::sync::Arc;
use std::time::Instant;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ProtocolVersion, PushInfo, PushKind, Value};
use tokio::sync::Notify;

use crate::TTL;
use crate::raw::{Raw, without_delay};

const TAKE_OR_READ: &str = "\
if redis.call('set', KEYS[1], ARGV[1], 'nx', 'px', ARGV[2]) then
  return 1
end
redis.call('get', KEYS[1])
return -redis.call('pttl', KEYS[1])";

/// One who can hold a lock and wait for it.
#[derive(Clone)]
pub struct Hand {
    /// Releases.
    pub raw: Raw,
    tracking: MultiplexedConnection,
    take_or_read: String,
    freed: Arc<Notify>,
}

impl Hand {
    /// Opens the two connections, and loads the scripts.
    ///
    /// # Panics
    ///
    /// When the server does not answer.
    pub async fn connect(client: &Client) -> Self {
        let freed = Arc::new(Notify::new());
        let heard = {
            let freed = Arc::clone(&freed);
            move |push: PushInfo| {
                if push.kind == PushKind::Invalidate {
                    freed.notify_one();
                }
                Ok::<(), ()>(())
            }
        };
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(TTL));
        let config = config.set_push_sender(heard);
        let info = without_delay(client).get_connection_info().clone();
        let settings = info.redis_settings().clone();
        let info = info.set_redis_settings(settings.set_protocol(ProtocolVersion::RESP3));
        let tracking = Client::open(info).expect("a valid url");
        let tracking = tracking.get_multiplexed_async_connection_with_config(&config);
        let mut tracking = tracking.await.expect("connects");
        let mut on = redis::cmd("CLIENT");
        on.arg("TRACKING").arg("ON").arg("NOLOOP");
        on.exec_async(&mut tracking).await.expect("tracks");
        let mut load = redis::cmd("SCRIPT");
        load.arg("LOAD").arg(TAKE_OR_READ);
        Self {
            raw: Raw::connect(client).await,
            take_or_read: load.query_async(&mut tracking).await.expect("loads"),
            tracking,
            freed,
        }
    }

    /// Waits until the lock is taken: when that was.
    ///
    /// # Panics
    ///
    /// When the server does not answer.
    pub async fn wait(&mut self, key: &str, token: &str) -> Instant {
        loop {
            let mut take = redis::cmd("EVALSHA");
            take.arg(&self.take_or_read).arg(1).arg(key).arg(token);
            take.arg(TTL.as_millis().to_string());
            let answer: Value = take.query_async(&mut self.tracking).await.expect("asks");
            if answer == Value::Int(1) {
                return Instant::now();
            }
            self.freed.notified().await;
        }
    }
}
