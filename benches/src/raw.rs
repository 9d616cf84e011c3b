//! The lock by hand: `SET NX PX`, then `EVALSHA` of the release script, on one connection.

use std::mem::take;

use futures_util::stream::{FuturesUnordered, StreamExt as _};
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, Pipeline, Value};
use tokio::sync::{mpsc, oneshot};

use crate::TTL;

/// How many pipelines are under way at once, and how many commands each has at most: those with which it
/// was the fastest on two cores.
const PIPELINES: usize = 4;
const LONGEST: usize = 16;

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
    /// Where commands are left that are to go out together.
    pipelines: Option<mpsc::UnboundedSender<Left>>,
}

type Left = (Cmd, oneshot::Sender<Value>);

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
            pipelines: None,
        }
    }

    /// The same, with the commands of all callers gathered: one pipeline for whatever came in meanwhile.
    #[must_use]
    pub fn in_pipelines(&self) -> Self {
        let (pipelines, left) = mpsc::unbounded_channel();
        tokio::spawn(send_together(left, self.connection.clone()));
        Self {
            pipelines: Some(pipelines),
            ..self.clone()
        }
    }

    /// Whether the commands of all callers go out together.
    #[must_use]
    pub fn gathers(&self) -> bool {
        self.pipelines.is_some()
    }

    async fn ask(&mut self, command: Cmd) -> Value {
        let Some(pipelines) = &self.pipelines else {
            let answer = command.query_async(&mut self.connection).await;
            return answer.expect("the server answers");
        };
        let (answer, answered) = oneshot::channel();
        assert!(pipelines.send((command, answer)).is_ok(), "it is taken");
        answered.await.expect("the server answers")
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
        self.ask(set).await == Value::Okay
    }

    /// Releases it.
    ///
    /// # Panics
    ///
    /// When it was not held.
    pub async fn release(&mut self, key: &str, token: &str) {
        let mut release = redis::cmd("EVALSHA");
        release.arg(&self.release).arg(1).arg(key).arg(token);
        assert_eq!(self.ask(release).await, Value::Int(1), "the lock was held");
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

async fn send_together(mut left: mpsc::UnboundedReceiver<Left>, connection: MultiplexedConnection) {
    let mut under_way = FuturesUnordered::new();
    let mut gathered = Vec::new();
    loop {
        tokio::select! {
            Some(()) = under_way.next() => {}
            count = left.recv_many(&mut gathered, LONGEST), if under_way.len() < PIPELINES => {
                if count == 0 {
                    return;
                }
                under_way.push(send(connection.clone(), take(&mut gathered)));
            }
        }
    }
}

async fn send(mut connection: MultiplexedConnection, left: Vec<Left>) {
    let mut pipeline = Pipeline::with_capacity(left.len());
    let mut callers = Vec::with_capacity(left.len());
    for (command, answer) in left {
        pipeline.add_command(command);
        callers.push(answer);
    }
    let answers = connection.send_packed_commands(&pipeline, 0, callers.len());
    for (caller, answer) in callers
        .into_iter()
        .zip(answers.await.expect("the server answers"))
    {
        caller.send(answer).expect("its caller waits");
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
