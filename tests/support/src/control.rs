//! The connection by which the helpers themselves ask a server.

use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex as StdMutex;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Cmd, FromRedisValue, RedisResult};
use tokio::sync::Mutex;

use crate::lock::lock;

/// Much longer than any server takes, also on a machine that runs too many tests at once.
const LIMIT: Duration = Duration::from_secs(20);

/// One connection, kept, so that asking leaves few traces; what it leaves is noted, so that tests
/// count and see only what the code under test sent.
pub(crate) struct Control {
    client: redis::Client,
    connection: Mutex<Option<MultiplexedConnection>>,
    sent: StdMutex<BTreeMap<String, u64>>,
    addresses: StdMutex<HashSet<String>>,
}

impl Control {
    pub(crate) fn new(client: &redis::Client) -> Self {
        let info = client.get_connection_info().clone();
        let settings = info.redis_settings().clone().set_skip_set_lib_name();
        let client = redis::Client::open(info.set_redis_settings(settings)).expect("the same url");
        Self {
            client,
            connection: Mutex::default(),
            sent: StdMutex::default(),
            addresses: StdMutex::default(),
        }
    }

    pub(crate) async fn query<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        let mut kept = self.connection.lock().await;
        if let Some(mut connection) = kept.take() {
            let answer = self.send(&mut connection, command).await;
            if !matches!(&answer, Err(error) if error.is_io_error()) {
                *kept = Some(connection);
                return answer;
            }
        }
        // The server has been restarted, the clients killed or the runtime dropped.
        let mut connection = self.connect().await?;
        let answer = self.send(&mut connection, command).await;
        *kept = Some(connection);
        answer
    }

    async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        let mut connection = connect(&self.client).await?;
        let own: String = self
            .send(&mut connection, redis::cmd("CLIENT").arg("INFO"))
            .await?;
        if let Some(address) = field(&own, "addr") {
            lock(&self.addresses).insert(address.to_owned());
        }
        Ok(connection)
    }

    async fn send<T: FromRedisValue>(
        &self,
        connection: &mut MultiplexedConnection,
        command: &Cmd,
    ) -> RedisResult<T> {
        let answer = command.query_async(connection).await;
        self.note(name(command));
        answer
    }

    /// Counts a command as sent by us.
    pub(crate) fn note(&self, name: String) {
        *lock(&self.sent).entry(name).or_default() += 1;
    }

    /// Whether a client at this address is one of ours.
    pub(crate) fn is_own(&self, address: &str) -> bool {
        lock(&self.addresses).contains(address)
    }

    /// How often we sent each command, under the names of `INFO commandstats`.
    pub(crate) fn sent(&self) -> BTreeMap<String, u64> {
        lock(&self.sent).clone()
    }

    pub(crate) fn forget_sent(&self) {
        lock(&self.sent).clear();
    }
}

/// Connects with time limits that no loaded machine reaches.
pub(crate) async fn connect(client: &redis::Client) -> RedisResult<MultiplexedConnection> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(LIMIT))
        .set_response_timeout(Some(LIMIT));
    client
        .get_multiplexed_async_connection_with_config(&config)
        .await
}

/// The value of `name=value` in a line of `CLIENT LIST`.
pub(crate) fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.split_whitespace()
        .find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))
}

fn name(command: &Cmd) -> String {
    let mut arguments = command.args_iter().filter_map(|argument| match argument {
        redis::Arg::Simple(bytes) => Some(String::from_utf8_lossy(bytes).to_lowercase()),
        _ => None,
    });
    let name = arguments.next().unwrap_or_default();
    match arguments.next() {
        Some(sub) if ["client", "config", "script"].contains(&name.as_str()) => {
            format!("{name}|{sub}")
        }
        _ => name,
    }
}
