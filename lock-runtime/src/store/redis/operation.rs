//! One operation of the store, until it is answered or its time is over. Whatever is asked again is
//! asked again here.

use std::io;
use std::mem::take;
use std::slice;
use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, ErrorKind, Pipeline, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::connection::Connection;
use super::failure::too_few_replicas;
use super::message::{Answers, Message};
use super::profile::of_single;
use super::refusal::{error_of, has_forgotten_us, is_untouched};
use super::script::Script;
use super::settings::{Replicas, Timeouts};
use super::unkept::Unkept;
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
    began: Instant,
    /// When it has taken too long.
    limit: Instant,
    /// Whether the connection's own limits end the next sending in time: they do for the first.
    in_time: bool,
    /// Sends scripts as they are, not by their hashes.
    whole_scripts: bool,
    replicas: Option<Replicas>,
    unkept: Option<Arc<Unkept>>,
    /// How many commands were sent and not answered. Each may have been carried out, or may still
    /// be; nothing but a clean answer to it takes it off.
    unsettled: usize,
}

impl Operation {
    pub(super) fn new(connection: Connection, timeouts: Timeouts) -> Self {
        let now = Instant::now();
        Self {
            in_time: !connection.is_spread(),
            connection,
            began: now,
            limit: now + timeouts.total(),
            whole_scripts: false,
            replicas: None,
            unkept: None,
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

    /// Begins a run, whose record may not be kept.
    pub(super) fn with_unkept(self, unkept: Option<Arc<Unkept>>) -> Self {
        Self { unkept, ..self }
    }

    /// Whether the record of a run that has begun is kept at this key.
    pub(super) fn heard_of_record(&self, key: &str, is_kept: bool) {
        if let Some(unkept) = &self.unkept {
            unkept.heard(key, is_kept);
        }
    }

    /// Whether every command that was sent was answered.
    pub(super) fn is_settled(&self) -> bool {
        self.unsettled == 0
    }

    /// Whether commands asked together may be for different servers.
    pub(super) fn is_spread(&self) -> bool {
        self.connection.is_spread()
    }

    /// Something else came before the first sending.
    pub(super) fn has_waited(&mut self) {
        self.in_time = false;
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
    ///
    /// What is sent is made here, since an asynchronous function would keep its arguments as well.
    pub(super) fn ask<O, N>(
        &mut self,
        command: Cmd,
        read: Reader<O, N>,
    ) -> impl Future<Output = Result<(Instant, Said<O, N>), StoreError>> + Send {
        let mut message = match self.replicas {
            None => Message::One(command),
            Some(replicas) => {
                let mut pipeline = Pipeline::with_capacity(2);
                pipeline.add_command(command);
                confirmed_by(pipeline, replicas)
            }
        };
        async move {
            let (since, answers) = self.until_answered(&mut message, 1).await?;
            let (answer, confirmed) = answers
                .as_slice()
                .split_first()
                .ok_or_else(|| StoreError::unexpected(&"none"))?;
            Ok((since, self.read(answer, confirmed.first(), read)?))
        }
    }

    /// Asks many things at once.
    pub(super) async fn ask_all<O, N>(
        &mut self,
        pipeline: Pipeline,
        read: Reader<O, N>,
    ) -> Result<(Instant, Each<O, N>), StoreError> {
        let count = pipeline.len();
        let mut message = match self.replicas {
            None => Message::Many(pipeline),
            Some(replicas) => confirmed_by(pipeline, replicas),
        };
        let (since, answers) = self.until_answered(&mut message, count).await?;
        let (answers, confirmed) = answers
            .as_slice()
            .split_at_checked(count)
            .unwrap_or_default();
        let said = answers.iter();
        let said = said.map(|answer| self.read(answer, confirmed.first(), read));
        Ok((since, said.collect()))
    }

    /// What an answer says, after replicas answered this.
    fn read<O, N>(
        &mut self,
        answer: &Value,
        confirmed: Option<&Value>,
        read: Reader<O, N>,
    ) -> Result<Said<O, N>, StoreError> {
        if let Some(error) = error_of(answer) {
            self.unsettled -= usize::from(is_untouched(&error));
            return Err(if self.is_spread() {
                error.into()
            } else {
                of_single(error)
            });
        }
        let said = read(answer).ok_or_else(|| StoreError::unexpected(answer))?;
        if let (Said::Ours(_), Some(replicas)) = (&said, self.replicas) {
            check_replicas(confirmed, replicas)?;
        }
        self.unsettled -= 1;
        Ok(said)
    }

    /// Sends the message, so many of whose commands may change something, until none is refused for
    /// a reason that goes away.
    async fn until_answered(
        &mut self,
        message: &mut Message,
        count: usize,
    ) -> RedisResult<(Instant, Answers)> {
        let mut in_time = take(&mut self.in_time);
        let mut since = if in_time { self.began } else { Instant::now() };
        // Looked at now, since any answer counts as use of the connection. Room for what helps against
        // errors is had only when there is one.
        let was_idle = self.connection.was_idle(since);
        let mut remedies = None;
        let mut refused = None;
        loop {
            // What seldom happens is boxed: the room for it would make each operation larger.
            let answers = if take(&mut in_time) {
                self.send(message, count, refused.as_ref(), since).await
            } else {
                let limit = self.limit;
                let sending = self.send(message, count, refused.as_ref(), since);
                Box::pin(before(limit, sending)).await
            };
            let mut remedy_for = |error: &RedisError| {
                let new = || Box::new(Remedies::new(was_idle, self.connection.pauses()));
                remedies.get_or_insert_with(new).against(error)
            };
            let found = match &answers {
                Ok(answers) => {
                    let mut errors = answers.as_slice().iter().filter_map(error_of);
                    errors.find_map(|error| Some((remedy_for(&error)?, error)))
                }
                Err(error) => remedy_for(error).map(|remedy| (remedy, error.clone())),
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
                Remedy::Sources => *message = message.by_source(),
                Remedy::Pause(pause) => {
                    let until = self.limit.min(Instant::now() + pause);
                    Box::pin(sleep_until(until)).await;
                }
            }
            refused = Some(error);
            since = Instant::now();
        }
    }

    /// The one place where commands leave.
    async fn send(
        &mut self,
        message: &mut Message,
        count: usize,
        refused: Option<&RedisError>,
        now: Instant,
    ) -> RedisResult<Answers> {
        let before = self.unsettled;
        let leaving = || self.unsettled += count;
        let answers = self.connection.send(message, refused, now, leaving).await;
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
    fn new(was_idle: bool, pauses: slice::Iter<'static, Duration>) -> Self {
        Self {
            broken: Some(Remedy::NewConnection),
            forgotten: was_idle.then_some(Remedy::NewConnection),
            no_master: Some(Remedy::NewConnection),
            forgotten_us: Some(Remedy::NewConnection),
            unknown_script: Some(Remedy::Sources),
            pauses,
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

/// The commands, and the question how many replicas have what they wrote: in one pipeline, since on
/// another connection there would be nothing to wait for.
fn confirmed_by(mut pipeline: Pipeline, replicas: Replicas) -> Message {
    pipeline.add_command(replicas.wait());
    Message::Many(pipeline)
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

/// The answer, unless the time comes first. Nothing is sent when it is over: what sets a key then would
/// come when no doubt is left.
async fn before<T>(limit: Instant, asking: impl Future<Output = RedisResult<T>>) -> RedisResult<T> {
    let late = || {
        let late = "the time of the operation is over";
        Err(io::Error::new(io::ErrorKind::TimedOut, late).into())
    };
    if Instant::now() >= limit {
        return late();
    }
    timeout_at(limit, asking).await.unwrap_or_else(|_| late())
}
