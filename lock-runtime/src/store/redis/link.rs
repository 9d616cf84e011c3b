//! How commands get to the server, and how long that may take.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::ConnectionManager;
use redis::{Cmd, Pipeline, RedisResult, Value};
use tokio::time::{Instant, timeout_at};

use super::StoreError;
use super::reopening::Reopening;
use super::script::Script;

/// How long Redis may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    pub(crate) connection: Duration,
    pub(crate) response: Duration,
}

impl Timeouts {
    /// How long one operation may take: to connect, and to be answered.
    pub(crate) fn total(self) -> Duration {
        self.connection + self.response
    }
}

/// How many replicas have to confirm that they have a lock, and how long that may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Replicas {
    pub(crate) count: u32,
    pub(crate) timeout: Duration,
}

impl Replicas {
    /// Redis blocks the connection until so many replicas have all that was written on it before
    /// (<https://redis.io/docs/latest/commands/wait/>).
    fn wait(self) -> Cmd {
        let mut command = redis::cmd("WAIT");
        command.arg(self.count).arg(whole_millis(self.timeout));
        command
    }
}

/// A connection that is shared by all who clone it, and opens itself again.
#[derive(Clone)]
pub(super) enum Connection {
    Managed(ConnectionManager),
    Reopened(Arc<Reopening>),
}

impl From<Arc<Reopening>> for Connection {
    fn from(connection: Arc<Reopening>) -> Self {
        Self::Reopened(connection)
    }
}

impl Connection {
    async fn ask(&mut self, command: &Cmd) -> RedisResult<Value> {
        match self {
            Self::Managed(manager) => manager.send_packed_command(command).await,
            Self::Reopened(reopening) => {
                let (number, mut connection) = reopening.get().await?;
                let answer = connection.send_packed_command(command).await;
                reopening.check(number, &answer);
                answer
            }
        }
    }

    async fn ask_all(&mut self, pipeline: &Pipeline) -> RedisResult<Vec<Value>> {
        let (from, count) = (0, pipeline.len());
        match self {
            Self::Managed(manager) => manager.send_packed_commands(pipeline, from, count).await,
            Self::Reopened(reopening) => {
                let (number, mut connection) = reopening.get().await?;
                let answer = connection.send_packed_commands(pipeline, from, count).await;
                reopening.check(number, &answer);
                answer
            }
        }
    }
}

/// The connection, as one operation of the store uses it.
pub(super) struct Link {
    connection: Connection,
    /// When the operation has taken too long.
    limit: Instant,
    /// Whether a command was sent on a connection that broke before the answer came, so that
    /// nobody knows whether it was carried out.
    pub(super) in_doubt: bool,
    replicas: Option<Replicas>,
    /// How many replicas confirmed the last command.
    confirmed: i64,
}

impl Link {
    pub(super) fn new(connection: Connection, timeouts: Timeouts) -> Self {
        Self {
            connection,
            limit: Instant::now() + timeouts.total(),
            in_doubt: false,
            replicas: None,
            confirmed: 0,
        }
    }

    /// Has replicas confirm what is written.
    pub(super) fn with_replicas(self, replicas: Option<Replicas>) -> Self {
        Self { replicas, ..self }
    }

    pub(super) async fn ask(&mut self, command: &Cmd) -> RedisResult<Value> {
        if self.replicas.is_none() {
            let answer = self.connection.ask(command).await;
            return answer.and_then(Value::extract_error);
        }
        let mut pipeline = redis::pipe();
        pipeline.add_command(command.clone());
        let answer = self.ask_all(pipeline).await?.swap_remove(0);
        answer.extract_error()
    }

    /// Fails when too few replicas have what was written last.
    pub(super) fn check_replicas(&self) -> Result<(), StoreError> {
        match self.replicas {
            Some(replicas) if self.confirmed < i64::from(replicas.count) => {
                Err(StoreError::too_few_replicas(self.confirmed, replicas))
            }
            _ => Ok(()),
        }
    }

    /// Like `ask`, but `None` when the connection broke for the first time: then ask again, since
    /// the manager reports a connection that broke long ago only to the next command.
    pub(super) async fn ask_or_doubt(&mut self, command: &Cmd) -> RedisResult<Option<Value>> {
        if self.in_doubt {
            let answer = timeout_at(self.limit, self.ask(command)).await;
            return answer
                .unwrap_or_else(|elapsed| Err(timed_out(&elapsed)))
                .map(Some);
        }
        match self.ask(command).await {
            Err(error) if error.is_connection_dropped() => {
                self.in_doubt = true;
                Ok(None)
            }
            answer => answer.map(Some),
        }
    }

    /// Runs a script, twice when the connection broke. The instant is that of the last sending.
    pub(super) async fn run(
        &mut self,
        script: &Script,
        arguments: impl Fn(&mut Cmd),
    ) -> RedisResult<(Instant, Value)> {
        let mut command = script.by_hash();
        arguments(&mut command);
        loop {
            let sent = Instant::now();
            match self.ask_or_doubt(&command).await {
                Ok(Some(answer)) => return Ok((sent, answer)),
                Ok(None) => {}
                Err(error) if Script::is_unknown(&error) => {
                    command = script.by_source();
                    arguments(&mut command);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Sends many commands at once. A command that the server refused has its error in its place.
    pub(super) async fn ask_all(&mut self, mut pipeline: Pipeline) -> RedisResult<Vec<Value>> {
        let Some(replicas) = self.replicas else {
            return self.connection.ask_all(&pipeline).await;
        };
        // In one pipeline, since on another connection there would be nothing to wait for.
        pipeline.add_command(replicas.wait());
        let mut answers = self.connection.ask_all(&pipeline).await?;
        self.confirmed = match answers.pop() {
            Some(Value::Int(count)) => count,
            Some(Value::ServerError(error)) => return Err(error.into()),
            _ => 0,
        };
        Ok(answers)
    }
}

/// Milliseconds as Redis takes them: whole ones, rounded up, so that a deadline computed from the
/// duration never lies behind the key's expiry, and a positive duration is never zero.
pub(super) fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

fn timed_out(elapsed: &tokio::time::error::Elapsed) -> redis::RedisError {
    std::io::Error::new(std::io::ErrorKind::TimedOut, elapsed.to_string()).into()
}
