//! One operation of the store, until it is answered or its time is over. Whatever is asked again is
//! asked again here.

use std::io;
use std::mem::take;
use std::slice;
use std::time::Duration;

use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::connection::Connection;
use super::failure::too_few_replicas;
use super::profile::of_single;
use super::refusal::{error_of, has_forgotten_us, is_untouched};
use super::script::{Script, by_source};
use super::settings::{Replicas, Timeouts};
use crate::store::StoreError;

/// What an answer says of the key.
pub(super) enum Said<O, N> {
    Ours(O),
    NotOurs(N),
}

/// Reads an answer, unless nobody gives such a one.
pub(super) type Reader<O, N> = fn(&Value) -> Option<Said<O, N>>;

/// What is said of the keys of several commands, each in its place.
pub(super) type Each<O, N> = Vec<Result<Said<O, N>, StoreError>>;

/// The connection, as one operation of the store uses it.
#[derive(Clone)]
pub(super) struct Operation {
    connection: Connection,
    /// When it has taken too long.
    limit: Instant,
    /// Whether the connection's own limits end the next sending in time: they do for the first.
    in_time: bool,
    /// Sends scripts as they are, not by their hashes.
    whole_scripts: bool,
    replicas: Option<Replicas>,
    /// How many commands were sent and not answered. Each may have been carried out, or may still
    /// be; nothing but a clean answer to it takes it off.
    unsettled: usize,
}

impl Operation {
    pub(super) fn new(connection: Connection, timeouts: Timeouts) -> Self {
        Self {
            in_time: !connection.is_spread(),
            connection,
            limit: Instant::now() + timeouts.total(),
            whole_scripts: false,
            replicas: None,
            unsettled: 0,
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

    /// Has replicas confirm what is ours.
    pub(super) fn with_replicas(self, replicas: Option<Replicas>) -> Self {
        Self { replicas, ..self }
    }

    /// Whether every command that was sent was answered.
    pub(super) fn is_settled(&self) -> bool {
        self.unsettled == 0
    }

    /// Whether commands asked together may be for different servers.
    pub(super) fn is_spread(&self) -> bool {
        self.connection.is_spread()
    }

    pub(super) fn connection_number(&self) -> u64 {
        self.connection.number()
    }

    /// Goes on on this connection, once it is open, if it is until then.
    pub(super) async fn move_to(
        &mut self,
        connection: &Connection,
        limit: Instant,
    ) -> RedisResult<()> {
        self.in_time = false;
        before(limit.min(self.limit), connection.open()).await?;
        self.connection = connection.clone();
        Ok(())
    }

    /// Fails when nobody answers.
    pub(super) async fn check(&mut self) -> Result<(), StoreError> {
        if self.is_spread() {
            // Opening asks a node for the slots.
            return Ok(self.move_to(&self.connection.clone(), self.limit).await?);
        }
        let any: Reader<(), ()> = |_| Some(Said::Ours(()));
        self.ask(redis::cmd("PING"), any).await.map(drop)
    }

    pub(super) fn script(&self, script: &Script) -> Cmd {
        if self.whole_scripts {
            script.by_source()
        } else {
            script.by_hash()
        }
    }

    /// Asks one thing. The instant is just before the sending that was answered.
    pub(super) async fn ask<O, N>(
        &mut self,
        command: Cmd,
        read: Reader<O, N>,
    ) -> Result<(Instant, Said<O, N>), StoreError> {
        let mut pipeline = Pipeline::with_capacity(2);
        pipeline.add_command(command);
        let (since, mut said) = self.ask_all(pipeline, read).await?;
        let none = || Err(StoreError::unexpected(&"none"));
        Ok((since, said.pop().unwrap_or_else(none)?))
    }

    /// Asks many things at once.
    pub(super) async fn ask_all<O, N>(
        &mut self,
        mut pipeline: Pipeline,
        read: Reader<O, N>,
    ) -> Result<(Instant, Each<O, N>), StoreError> {
        let count = pipeline.len();
        if let Some(replicas) = self.replicas {
            // In one pipeline, since on another connection there would be nothing to wait for.
            pipeline.add_command(replicas.wait());
        }
        let (since, mut answers) = self.until_answered(pipeline, count).await?;
        let confirmed = (answers.len() > count).then(|| answers.pop()).flatten();
        let is_spread = self.is_spread();
        let said = answers.into_iter().map(|answer| {
            if let Some(error) = error_of(&answer) {
                self.unsettled -= usize::from(is_untouched(&error));
                return Err(if is_spread {
                    error.into()
                } else {
                    of_single(error)
                });
            }
            let said = read(&answer).ok_or_else(|| StoreError::unexpected(&answer))?;
            if let (Said::Ours(_), Some(replicas)) = (&said, self.replicas) {
                check_replicas(confirmed.as_ref(), replicas)?;
            }
            self.unsettled -= 1;
            Ok(said)
        });
        Ok((since, said.collect()))
    }

    /// Sends the commands, so many of which may change something, until none is refused for a
    /// reason that goes away.
    async fn until_answered(
        &mut self,
        mut pipeline: Pipeline,
        count: usize,
    ) -> RedisResult<(Instant, Vec<Value>)> {
        let mut remedies = Remedies::new(&self.connection);
        let mut refused = None;
        loop {
            let since = Instant::now();
            // What seldom happens is boxed: the room for it would make each operation larger.
            let answers = if take(&mut self.in_time) {
                self.send(&pipeline, count, refused.as_ref()).await
            } else {
                let limit = self.limit;
                Box::pin(before(limit, self.send(&pipeline, count, refused.as_ref()))).await
            };
            let found = match &answers {
                Ok(answers) => {
                    let mut errors = answers.iter().filter_map(error_of);
                    errors.find_map(|error| Some((remedies.against(&error)?, error)))
                }
                Err(error) => remedies
                    .against(error)
                    .map(|remedy| (remedy, error.clone())),
            };
            let Some((remedy, error)) = found.filter(|_| Instant::now() < self.limit) else {
                let answers = answers.map_err(|error| worth_telling(error, refused));
                return answers.map(|answers| (since, answers));
            };
            if answers.is_ok() {
                // All of it is asked again; who extends twice does no harm.
                self.unsettled -= count;
            }
            match remedy {
                Remedy::NewConnection => {}
                Remedy::Sources => pipeline = by_source(&pipeline),
                Remedy::Pause(pause) => {
                    let until = self.limit.min(Instant::now() + pause);
                    Box::pin(sleep_until(until)).await;
                }
            }
            refused = Some(error);
        }
    }

    /// The one place where commands leave.
    async fn send(
        &mut self,
        pipeline: &Pipeline,
        count: usize,
        refused: Option<&RedisError>,
    ) -> RedisResult<Vec<Value>> {
        let before = self.unsettled;
        let leaving = || self.unsettled += count;
        let answers = self.connection.send(pipeline, refused, leaving).await;
        if answers.as_ref().is_err_and(are_refused) {
            self.unsettled = before;
        }
        answers
    }
}

/// Of a cluster whose node can't be reached, a question gets no answer in time, and the one before it
/// got one that names the node.
fn worth_telling(error: RedisError, before: Option<RedisError>) -> RedisError {
    match before {
        Some(before) if error.is_timeout() && before.redirect_node().is_some() => before,
        _ => error,
    }
}

/// Whether a cluster's node took none of the commands, and redis-rs hands out only this.
fn are_refused(error: &RedisError) -> bool {
    use ServerErrorKind::{Ask, BusyLoading, ClusterDown, MasterDown, Moved, ReadOnly, TryAgain};
    let ErrorKind::Server(kind) = error.kind() else {
        return has_forgotten_us(error);
    };
    matches!(
        kind,
        Ask | BusyLoading | ClusterDown | MasterDown | Moved | ReadOnly | TryAgain
    )
}

enum Remedy {
    NewConnection,
    Sources,
    Pause(Duration),
}

/// What still helps, each against its error.
struct Remedies {
    /// A connection that broke long ago says so only to the next command.
    broken: Option<Remedy>,
    /// One that something between has forgotten says nothing at all.
    forgotten: Option<Remedy>,
    /// After a failover, whoever is the master is found anew.
    no_master: Option<Remedy>,
    /// Where credentials are over, there are new ones.
    forgotten_us: Option<Remedy>,
    unknown_script: Option<Remedy>,
    pauses: slice::Iter<'static, Duration>,
}

impl Remedies {
    fn new(connection: &Connection) -> Self {
        Self {
            broken: Some(Remedy::NewConnection),
            forgotten: connection.was_idle().then_some(Remedy::NewConnection),
            no_master: Some(Remedy::NewConnection),
            forgotten_us: Some(Remedy::NewConnection),
            unknown_script: Some(Remedy::Sources),
            pauses: connection.pauses(),
        }
    }

    fn against(&mut self, error: &RedisError) -> Option<Remedy> {
        use ServerErrorKind::{Ask, Moved, NoScript, ReadOnly, TryAgain};
        if error.is_connection_dropped() {
            return self.broken.take();
        }
        if error.is_timeout() {
            return self.forgotten.take();
        }
        if has_forgotten_us(error) {
            return self.forgotten_us.take();
        }
        match error.kind() {
            ErrorKind::Server(ReadOnly) => self.no_master.take(),
            ErrorKind::Server(NoScript) => self.unknown_script.take(),
            ErrorKind::Server(Moved | Ask | TryAgain) => {
                self.pauses.next().copied().map(Remedy::Pause)
            }
            _ => None,
        }
    }
}

/// Fails when too few replicas have what was written last.
fn check_replicas(confirmed: Option<&Value>, replicas: Replicas) -> Result<(), StoreError> {
    match confirmed {
        Some(Value::Int(count)) if *count >= i64::from(replicas.count) => Ok(()),
        Some(Value::Int(count)) => Err(too_few_replicas(*count, replicas)),
        Some(answer) => {
            Err(error_of(answer).map_or_else(|| StoreError::unexpected(answer), StoreError::from))
        }
        None => Err(too_few_replicas(0, replicas)),
    }
}

/// The answer, unless the time comes first.
async fn before<T>(limit: Instant, asking: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    let late = |_| {
        let late = "the time of the operation is over";
        Err(io::Error::new(io::ErrorKind::TimedOut, late).into())
    };
    timeout_at(limit, asking).await.unwrap_or_else(late)
}
