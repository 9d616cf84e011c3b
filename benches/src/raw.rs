//! The lock by hand: `SET NX PX`, then `EVALSHA` of the release script, on one connection.

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Value};

use crate::TTL;

/// The script of <https://redis.io/docs/latest/develop/clients/patterns/distributed-locks/>.
const RELEASE: &str = "\
if redis.call('get', KEYS[1]) == ARGV[1] then
  return redis.call('del', KEYS[1])
else
  return 0
end";

/// One connection, and the hash of the release script.
#[derive(Clone)]
pub struct Raw {
    /// Shared by all clones.
    pub connection: MultiplexedConnection,
    release: String,
}

impl Raw {
    /// Connects, and loads the script.
    ///
    /// # Panics
    ///
    /// When the server does not answer.
    pub async fn connect(client: &Client) -> Self {
        let config = AsyncConnectionConfig::new().set_response_timeout(Some(TTL));
        let client = without_delay(client);
        let connection = client.get_multiplexed_async_connection_with_config(&config);
        let mut connection = connection.await.expect("connects");
        let mut load = redis::cmd("SCRIPT");
        load.arg("LOAD").arg(RELEASE);
        let release = load.query_async(&mut connection).await.expect("loads");
        Self {
            connection,
            release,
        }
    }

    /// A value that nobody else has.
    #[must_use]
    pub fn token() -> String {
        format!("{:032x}", rand::random::<u128>())
    }

    /// Takes the lock if it is free.
    ///
    /// # Panics
    ///
    /// When the server does not answer.
    pub async fn try_acquire(&mut self, key: &str, token: &str) -> bool {
        let mut set = redis::cmd("SET");
        set.arg(key).arg(token).arg("NX").arg("PX");
        set.arg(TTL.as_millis().to_string());
        let answer: Value = set.query_async(&mut self.connection).await.expect("set");
        answer == Value::Okay
    }

    /// Releases it.
    ///
    /// # Panics
    ///
    /// When it was not held.
    pub async fn release(&mut self, key: &str, token: &str) {
        let mut release = redis::cmd("EVALSHA");
        release.arg(&self.release).arg(1).arg(key).arg(token);
        let answer: Value = release
            .query_async(&mut self.connection)
            .await
            .expect("released");
        assert_eq!(answer, Value::Int(1), "the lock was held");
    }

    /// The whole of an uncontended call.
    ///
    /// # Panics
    ///
    /// When the lock is not free.
    pub async fn call(&mut self, id: usize) {
        let key = format!("raw:{id}");
        let token = Self::token();
        assert!(self.try_acquire(&key, &token).await, "the lock was free");
        self.release(&key, &token).await;
    }
}

/// A client of the same server with `TCP_NODELAY`, as redis-locked sets it.
///
/// # Panics
///
/// Never: the client's address is valid.
#[must_use]
pub fn without_delay(client: &Client) -> Client {
    let info = client.get_connection_info().clone();
    let tcp = info.tcp_settings().clone().set_nodelay(true);
    Client::open(info.set_tcp_settings(tcp)).expect("the same address")
}
