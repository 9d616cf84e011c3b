//! One operation of the store: its commands, and what may be asked again when a connection breaks.

use std::time::Duration;

use redis::{Cmd, Pipeline, RedisResult, Value};
use tokio::time::Instant;

use super::StoreError;
use super::connection::{Connection, Timeouts, before};
use super::script::Script;

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
        // Zero would be no limit at all.
        command
            .arg(self.count)
            .arg(whole_millis(self.timeout).max(1));
        command
    }
}

/// The connection, as one operation of the store uses it.
#[derive(Clone)]
pub(super) struct Link {
    connection: Connection,
    /// When the operation has taken too long.
    limit: Instant,
    /// Whether a command was sent on a connection that broke before the answer came, so that
    /// nobody knows whether it was carried out.
    pub(super) in_doubt: bool,
    /// Sends scripts as they are, not by their hashes.
    pub(super) whole_scripts: bool,
    replicas: Option<Replicas>,
    /// How many replicas confirmed the last command.
    confirmed: RedisResult<i64>,
}

impl Link {
    pub(super) fn new(connection: Connection, timeouts: Timeouts) -> Self {
        Self {
            connection,
            limit: Instant::now() + timeouts.total(),
            in_doubt: false,
            whole_scripts: false,
            replicas: None,
            confirmed: Ok(0),
        }
    }

    /// Sends scripts such that the server need not know them: nobody may be there any more to send
    /// them again when it answers that it does not.
    pub(super) fn with_whole_scripts(self, whole_scripts: bool) -> Self {
        Self {
            whole_scripts,
            ..self
        }
    }

    /// Has replicas confirm what is written.
    pub(super) fn with_replicas(self, replicas: Option<Replicas>) -> Self {
        Self { replicas, ..self }
    }

    /// Whether commands sent together may be for different servers.
    pub(super) fn is_spread(&self) -> bool {
        match self.connection {
            Connection::Reopened(_) => false,
            #[cfg(feature = "cluster")]
            Connection::Cluster(_) => true,
        }
    }

    /// Fails when nobody answers.
    pub(super) async fn check(&mut self) -> RedisResult<()> {
        if self.is_spread() {
            // Opening has asked a node for the slots.
            return before(self.limit, self.connection.open()).await;
        }
        self.ask(&redis::cmd("PING")).await.map(drop)
    }

    pub(super) async fn ask(&mut self, command: &Cmd) -> RedisResult<Value> {
        if self.replicas.is_none() {
            return self.connection.ask(command, self.limit).await;
        }
        let mut pipeline = redis::pipe();
        pipeline.add_command(command.clone());
        let answer = Box::pin(self.ask_all(pipeline)).await?.swap_remove(0);
        answer.extract_error()
    }

    /// Fails when too few replicas have what was written last.
    pub(super) fn check_replicas(&self) -> Result<(), StoreError> {
        let Some(replicas) = self.replicas else {
            return Ok(());
        };
        match &self.confirmed {
            Ok(count) if *count >= i64::from(replicas.count) => Ok(()),
            Ok(count) => Err(StoreError::too_few_replicas(*count, replicas)),
            // The command before it was carried out all the same.
            Err(error) => Err(StoreError {
                unresolved: true,
                ..StoreError::from(error.clone())
            }),
        }
    }

    /// Like `ask`, but `None` when the connection broke for the first time: then ask again, since
    /// the manager reports a connection that broke long ago only to the next command.
    pub(super) async fn ask_or_doubt(&mut self, command: &Cmd) -> RedisResult<Option<Value>> {
        if self.in_doubt {
            let again = Box::pin(before(self.limit, self.ask(command)));
            return again.await.map(Some);
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
        let mut command = if self.whole_scripts {
            script.by_source()
        } else {
            script.by_hash()
        };
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
            return self.connection.ask_all(&pipeline, self.limit).await;
        };
        // In one pipeline, since on another connection there would be nothing to wait for.
        pipeline.add_command(replicas.wait());
        let mut answers = self.connection.ask_all(&pipeline, self.limit).await?;
        self.confirmed = match answers.pop() {
            Some(Value::Int(count)) => Ok(count),
            Some(Value::ServerError(error)) => Err(error.into()),
            _ => Ok(0),
        };
        Ok(answers)
    }
}

/// Milliseconds as Redis takes them: whole ones, rounded up, so that a deadline computed from the
/// duration never lies behind the key's expiry, and a positive duration is never zero.
pub(super) fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
