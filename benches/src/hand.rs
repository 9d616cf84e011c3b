//! Waiting for the lock by hand, in the way of the line and with nothing around it: a script that takes
//! a seat, one that passes the lock on to the first in line and rings its bell, and a connection that
//! hears the bell. The scripts are the library's, or the shortest that do this much.

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

/// These files of the library as one, in the order of its `script.rs`.
macro_rules! library {
    ($($file:literal)*) => {
        concat!($(include_str!(
            concat!("../../lock-runtime/src/store/scripts/", $file, ".lua")
        )),*)
    };
}
const LOOK: &str =
    library!("look" "short_look" "holders" "clock" "places" "pass_on" "sit" "look_in_line");
const RELEASE: &str = library!(
    "release" "short_release" "holders" "clock" "places" "pass_on" "open_door" "release_in_line"
);

/// For how many milliseconds the library has a counter, a seat, and a lock that is passed on.
const COUNTER: &str = "2592000000";
const SEAT: &str = "8000";
const RESERVED: &str = "2000";

/// Which scripts are sent.
#[derive(Debug, Clone, Copy)]
pub enum Scripts {
    /// Those that the library sends.
    Library,
    /// They see to nothing but that the lock is passed on.
    Short,
}

/// One who can hold a lock and wait for it.
#[derive(Clone)]
pub struct Hand {
    /// Acquires and releases.
    pub raw: Raw,
    scripts: Scripts,
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
    pub async fn connect(client: &Client, scripts: Scripts) -> Self {
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
        let (take_a_seat, pass_on) = match scripts {
            Scripts::Library => (LOOK, RELEASE),
            Scripts::Short => (TAKE_A_SEAT, PASS_ON),
        };
        let (take_a_seat, pass_on) = (load(take_a_seat).await, load(pass_on).await);
        Self {
            raw,
            scripts,
            bell,
            take_a_seat,
            pass_on,
            rung,
            _hearing: hearing,
        }
    }

    /// What a holder writes into the key.
    #[must_use]
    pub fn value() -> String {
        format!("{};host:1234", Raw::token())
    }

    /// Takes a seat.
    ///
    /// # Panics
    ///
    /// When the server does not answer.
    pub async fn sit(&mut self, key: &str, value: &str) {
        let mut seat = of_line(&self.take_a_seat, key, value);
        match self.scripts {
            Scripts::Library => seat
                .arg(ttl())
                .arg(&[COUNTER, "0", &self.bell, "1", RESERVED, SEAT, "", "0"]),
            Scripts::Short => seat.arg(&self.bell),
        };
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
    pub async fn pass_on(&mut self, key: &str, value: &str) {
        let mut pass_on = of_line(&self.pass_on, key, value);
        match self.scripts {
            Scripts::Library => pass_on.arg(&["0", COUNTER, "0"]),
            Scripts::Short => pass_on.arg(ttl()),
        };
        let answer: Value = pass_on
            .query_async(&mut self.raw.connection)
            .await
            .expect("passed on");
        assert_eq!(answer, Value::Int(1), "the lock was held");
    }
}

/// A script with the key, its side keys, and who it is about.
fn of_line(script: &str, key: &str, value: &str) -> redis::Cmd {
    let mut command = redis::cmd("EVALSHA");
    command.arg(script).arg(4).arg(key);
    for side in ["line", "seats", "fence"] {
        command.arg(format!("{{{key}}}:{side}"));
    }
    command.arg(value);
    command
}

fn ttl() -> String {
    TTL.as_millis().to_string()
}
