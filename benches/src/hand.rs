//! Waiting for the lock by hand, in the way of the line and with nothing around it: a script that takes
//! a seat, one that passes the lock on to the first in line and rings its bell, and a connection that
//! hears the bell.

use std::sync::Arc;
use std::time::Instant;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, ProtocolVersion, PushInfo, PushKind, Value};
use tokio::sync::Notify;

use crate::TTL;
use crate::raw::{Raw, without_delay};

const TAKE_A_SEAT: &str = "\
redis.call('zadd', KEYS[2], redis.call('zcard', KEYS[2]) + 1, ARGV[1])
redis.call('hset', KEYS[3], ARGV[1], ARGV[2])";

const PASS_ON: &str = "\
if redis.call('get', KEYS[1]) ~= ARGV[1] then
  return 0
end
local first = redis.call('zrange', KEYS[2], 0, 0)[1]
local bell = first and redis.call('hget', KEYS[3], first)
if not bell or redis.call('pubsub', 'numsub', bell)[2] == 0 then
  return redis.call('del', KEYS[1])
end
redis.call('set', KEYS[1], first, 'px', ARGV[2])
redis.call('zrem', KEYS[2], first)
redis.call('hdel', KEYS[3], first)
redis.call('publish', bell, first)
return 1";

/// One who can hold a lock and wait for it.
#[derive(Clone)]
pub struct Hand {
    /// Acquires and releases.
    pub raw: Raw,
    bell: String,
    take_a_seat: String,
    pass_on: String,
    rung: Arc<Notify>,
    /// Open for as long as the bell is to be heard.
    _hearing: MultiplexedConnection,
}

impl Hand {
    /// Opens the two connections, and loads the scripts.
    ///
    /// # Panics
    ///
    /// When the server does not answer.
    pub async fn connect(client: &Client) -> Self {
        let rung = Arc::new(Notify::new());
        let heard = {
            let rung = Arc::clone(&rung);
            move |push: PushInfo| {
                if push.kind == PushKind::Message {
                    rung.notify_one();
                }
                Ok::<(), ()>(())
            }
        };
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(TTL));
        let config = config.set_push_sender(heard);
        let info = without_delay(client).get_connection_info().clone();
        let settings = info.redis_settings().clone();
        let info = info.set_redis_settings(settings.set_protocol(ProtocolVersion::RESP3));
        let hearing = Client::open(info).expect("a valid url");
        let hearing = hearing.get_multiplexed_async_connection_with_config(&config);
        let mut hearing = hearing.await.expect("connects");
        let bell = format!("bell:{}", Raw::token());
        hearing.subscribe(&bell).await.expect("hears the bell");
        let raw = Raw::connect(client).await;
        let load = async |script: &str| {
            let mut load = redis::cmd("SCRIPT");
            load.arg("LOAD").arg(script);
            let hash: String = load
                .query_async(&mut raw.connection.clone())
                .await
                .expect("loads");
            hash
        };
        let (take_a_seat, pass_on) = (load(TAKE_A_SEAT).await, load(PASS_ON).await);
        Self {
            raw,
            bell,
            take_a_seat,
            pass_on,
            rung,
            _hearing: hearing,
        }
    }

    /// Takes a seat.
    ///
    /// # Panics
    ///
    /// When the server does not answer.
    pub async fn sit(&mut self, key: &str, token: &str) {
        let mut seat = of_line(&self.take_a_seat, key, token);
        seat.arg(&self.bell);
        seat.exec_async(&mut self.raw.connection)
            .await
            .expect("sits");
    }

    /// Waits until the lock is passed on: when that was.
    pub async fn wait(&self) -> Instant {
        self.rung.notified().await;
        Instant::now()
    }

    /// Passes the lock on to who waits.
    ///
    /// # Panics
    ///
    /// When it was not held.
    pub async fn pass_on(&mut self, key: &str, token: &str) {
        let mut pass_on = of_line(&self.pass_on, key, token);
        pass_on.arg(TTL.as_millis().to_string());
        let answer: Value = pass_on
            .query_async(&mut self.raw.connection)
            .await
            .expect("passed on");
        assert_eq!(answer, Value::Int(1), "the lock was held");
    }
}

/// A script with the key, its two side keys, and who it is about.
fn of_line(script: &str, key: &str, token: &str) -> redis::Cmd {
    let mut command = redis::cmd("EVALSHA");
    command.arg(script).arg(3).arg(key);
    command.arg(format!("{{{key}}}:line"));
    command.arg(format!("{{{key}}}:seats")).arg(token);
    command
}
