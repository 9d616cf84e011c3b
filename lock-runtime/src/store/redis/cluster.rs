//! The connection to a Redis Cluster.
//!
//! redis-rs' client knows which node has which slot, looks that up anew when a node says that a slot
//! has moved, and keeps a connection to each node. It is told not to send anything twice: a `SET NX`
//! that it repeated by itself would find the key taken by its own first sending, and read as busy.
//! So what a node refuses because the slot is not, or not yet, or no longer its own is sent again
//! here; such a command was not carried out.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{Route, SingleNodeRoutingInfo, SlotAddr};
use redis::{
    Arg, AsyncConnectionConfig, Client, Cmd, ConnectionInfo, ErrorKind, Pipeline, ProtocolVersion,
    PushInfo, PushKind, RedisError, RedisResult, ServerErrorKind, Value,
};
use tokio::task::AbortHandle;
use tokio::time::sleep;

use super::connection::Timeouts;
use super::reopening::Reopening;
use super::servers::tcp;
use super::tls::Tls;
use super::tracking::track;

/// The pauses before a command is sent again that a node refused, as long as a slot takes to move
/// with its few keys. A failover takes longer and is for the request's own attempts.
const PAUSES: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_millis(5),
    Duration::from_millis(20),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(200),
];

/// Some nodes, by which the others are found, and the certificates for all of them.
#[derive(Clone)]
pub(crate) struct Seeds {
    pub(crate) nodes: Vec<ConnectionInfo>,
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "it is empty"))]
    pub(crate) tls: Tls,
}

pub(super) struct Cluster {
    connection: Reopening<Opened>,
    tracking: Option<Tracking>,
}

/// Has the nodes tell when a key that a command reads is changed.
struct Tracking {
    heard: Box<dyn Fn(PushInfo) -> Result<(), ()> + Send + Sync>,
    /// A slot was not where it was looked for, so redis-rs has looked at all its connections again
    /// and may have replaced some without a word, and what they tracked is forgotten. (One that is on
    /// its way is found without that, and each time anew.)
    shaken: AtomicBool,
}

#[derive(Clone)]
struct Opened {
    connection: ClusterConnection,
    runtime: Arc<RuntimeSign>,
}

impl Cluster {
    pub(super) fn new(seeds: Seeds, timeouts: Timeouts) -> Self {
        let client = builder(&seeds, timeouts).and_then(ClusterClientBuilder::build);
        Self {
            connection: Reopening::new(move |_| {
                Box::pin(open(client.clone(), seeds.clone(), timeouts))
            }),
            tracking: None,
        }
    }

    /// A connection that tells of changed keys.
    ///
    /// redis-rs opens the connections to nodes when it likes, so tracking is turned on together
    /// with each command, in one pipeline: whichever node answers, by whichever connection, tracks.
    pub(super) fn tracking(
        seeds: Seeds,
        timeouts: Timeouts,
        heard: impl Fn(PushInfo) -> Result<(), ()> + Clone + Send + Sync + 'static,
    ) -> Self {
        let pushed = heard.clone();
        let client = builder(&seeds, timeouts)
            .map(|builder| builder.push_sender(pushed))
            .and_then(ClusterClientBuilder::build);
        Self {
            connection: Reopening::new(move |_| {
                let opening = open(client.clone(), seeds.clone(), timeouts);
                Box::pin(async move {
                    let mut opened = opening.await?;
                    // Where tracking is refused, it is refused here.
                    let mut first = redis::pipe();
                    first.add_command(track());
                    let random = SingleNodeRoutingInfo::Random;
                    let answers = opened.connection.route_pipeline(first, 0, 1, random);
                    for answer in answers.await? {
                        answer.extract_error()?;
                    }
                    Ok(opened)
                })
            }),
            tracking: Some(Tracking {
                heard: Box::new(heard),
                shaken: AtomicBool::new(false),
            }),
        }
    }

    /// Connects, unless it is connected.
    pub(super) async fn open(&self) -> RedisResult<()> {
        self.get().await.map(drop)
    }

    async fn get(&self) -> RedisResult<ClusterConnection> {
        let (number, opened) = self.connection.get().await?;
        if !opened.runtime.has_ended() {
            return Ok(opened.connection);
        }
        self.connection.broken(number);
        Ok(self.connection.get().await?.1.connection)
    }

    pub(super) fn close(&self) {
        self.connection.close();
    }

    pub(super) async fn ask(&self, command: &Cmd) -> RedisResult<Value> {
        let mut pipeline = redis::pipe();
        pipeline.add_command(command.clone());
        self.ask_all(&pipeline)
            .await?
            .swap_remove(0)
            .extract_error()
    }

    /// Sends commands whose keys are all in the slot of the first one's key.
    pub(super) async fn ask_all(&self, pipeline: &Pipeline) -> RedisResult<Vec<Value>> {
        let mut connection = self.get().await?;
        let mut pauses = PAUSES.into_iter();
        let mut redirect = None;
        loop {
            let node = redirect.as_ref().map(|Redirect { node }| node.clone());
            let answers = self.ask_node(&mut connection, pipeline, redirect).await;
            let error = match answers {
                Err(error) if is_elsewhere(&error) => error,
                answers => {
                    self.watch_out(&answers);
                    return answers;
                }
            };
            if is(&error, ServerErrorKind::Moved) {
                self.shake();
                if let Some(node) = node {
                    may_ask(&mut connection, node).await?;
                }
            }
            let Some(pause) = pauses.next() else {
                return Err(error);
            };
            sleep(pause).await;
            redirect = Redirect::read(&error);
        }
    }

    fn shake(&self) {
        if let Some(tracking) = &self.tracking {
            tracking.shaken.store(true, Ordering::Relaxed);
        }
    }

    /// Has all who wait ask again once nodes are found again, so that their keys are tracked again.
    fn watch_out(&self, answers: &RedisResult<Vec<Value>>) {
        let Some(tracking) = &self.tracking else {
            return;
        };
        match answers {
            Ok(_) if tracking.shaken.swap(false, Ordering::Relaxed) => {
                let kind = PushKind::Disconnection;
                let _ = (tracking.heard)(PushInfo { kind, data: vec![] });
            }
            Err(error) if error.is_io_error() => self.shake(),
            _ => {}
        }
    }

    async fn ask_node(
        &self,
        connection: &mut ClusterConnection,
        commands: &Pipeline,
        redirect: Option<Redirect>,
    ) -> RedisResult<Vec<Value>> {
        let mut pipeline = redis::pipe();
        if self.tracking.is_some() {
            pipeline.add_command(track());
        }
        if redirect.is_some() {
            pipeline.cmd("ASKING");
        }
        let extra = pipeline.len();
        for command in commands.cmd_iter() {
            pipeline.add_command(command.clone());
        }
        let count = pipeline.len();
        let node = redirect.map_or_else(|| home(commands), |redirect| redirect.node);
        let answers = connection.route_pipeline(pipeline, 0, count, node).await;
        let mut answers = answers.map_err(doubt)?;
        for answer in answers.drain(..extra) {
            answer.extract_error()?;
        }
        Ok(answers)
    }
}

/// Fails where the user may not say `ASKING`. A node that was not told that we know sends us away,
/// and of a pipeline's answers, redis-rs hands out only that one.
async fn may_ask(
    connection: &mut ClusterConnection,
    node: SingleNodeRoutingInfo,
) -> RedisResult<()> {
    let mut pipeline = redis::pipe();
    // For the one command that follows, and none of somebody else's.
    pipeline.cmd("ASKING").cmd("PING");
    let answers = connection.route_pipeline(pipeline, 0, 2, node).await;
    let answer = answers.ok().and_then(|answers| answers.into_iter().next());
    match answer.map(Value::extract_error) {
        Some(Err(error)) if is(&error, ServerErrorKind::NoPerm) => Err(error),
        _ => Ok(()),
    }
}

/// Settings of redis-rs' client.
#[cfg_attr(
    not(feature = "tls"),
    expect(clippy::unnecessary_wraps, reason = "certificates may be unusable")
)]
fn builder(seeds: &Seeds, timeouts: Timeouts) -> RedisResult<ClusterClientBuilder> {
    let builder = ClusterClient::builder(seeds.nodes.clone());
    #[cfg(feature = "tls")]
    let builder = match seeds.tls.certificates()? {
        Some(certificates) => builder.certs(certificates),
        None => builder,
    };
    Ok(builder
        .retries(0)
        // In this form of the protocol a broken connection is noticed before the next command.
        .use_protocol(ProtocolVersion::RESP3)
        .connection_timeout(timeouts.connection)
        .response_timeout(timeouts.response)
        .overall_response_timeout(Some(timeouts.total()))
        .tcp_settings(tcp(timeouts)))
}

async fn open(
    client: RedisResult<ClusterClient>,
    seeds: Seeds,
    timeouts: Timeouts,
) -> RedisResult<Opened> {
    match client?.get_async_connection().await {
        Ok(connection) => Ok(Opened {
            connection,
            runtime: Arc::new(RuntimeSign::new()),
        }),
        Err(error) => Err(reason(seeds, timeouts).await.unwrap_or(error)),
    }
}

/// Why no node lets us in: redis-rs only says that none does.
async fn reason(seeds: Seeds, timeouts: Timeouts) -> Option<RedisError> {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(timeouts.connection))
        .set_response_timeout(Some(timeouts.response));
    let client = Client::open(seeds.nodes.into_iter().next()?).ok()?;
    let opening = client.get_multiplexed_async_connection_with_config(&config);
    opening.await.err()
}

/// The node that has the slot of the first command's key.
fn home(commands: &Pipeline) -> SingleNodeRoutingInfo {
    let key = commands.cmd_iter().next().and_then(key_of);
    key.map_or(SingleNodeRoutingInfo::Random, |key| {
        SingleNodeRoutingInfo::SpecificNode(Route::with_key(key, SlotAddr::Master))
    })
}

/// The first key of one of our commands: `SET key …` or `EVAL… script count key …`.
fn key_of(command: &Cmd) -> Option<&[u8]> {
    let at = |number| match command.args_iter().nth(number) {
        Some(Arg::Simple(argument)) => Some(argument),
        _ => None,
    };
    match at(0)? {
        b"SET" => at(1),
        b"EVAL" | b"EVALSHA" => at(3),
        _ => None,
    }
}

/// The node to which a slot is on its way, and that has its new keys already. It has to be told
/// (`ASKING`) that we know.
///
/// Where a slot has moved for good, redis-rs has looked up all slots when the command is sent again.
struct Redirect {
    node: SingleNodeRoutingInfo,
}

impl Redirect {
    fn read(error: &RedisError) -> Option<Self> {
        if !is(error, ServerErrorKind::Ask) {
            return None;
        }
        let (address, _) = error.redirect_node()?;
        let (host, port) = address.rsplit_once(':')?;
        if host.is_empty() {
            return None;
        }
        Some(Self {
            node: SingleNodeRoutingInfo::ByAddress {
                host: host.to_owned(),
                port: port.parse().ok()?,
            },
        })
    }
}

fn is(error: &RedisError, kind: ServerErrorKind) -> bool {
    error.kind() == ErrorKind::Server(kind)
}

/// Whether another node, or this one in a moment, may take the command; this one did not.
fn is_elsewhere(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::Server(
            ServerErrorKind::Moved | ServerErrorKind::Ask | ServerErrorKind::TryAgain
        )
    )
}

/// Makes an error of the client that of a broken connection.
///
/// When redis-rs cannot find out who has which slot, it answers all commands that are under way
/// with that error: only a node's own answer says that a command was not carried out.
fn doubt(error: RedisError) -> RedisError {
    let said_by_node = matches!(error.kind(), ErrorKind::Server(_));
    if said_by_node || (error.is_io_error() && !error.is_connection_refusal()) {
        return error;
    }
    io::Error::new(io::ErrorKind::NotConnected, error).into()
}

/// Tells whether the runtime has ended in which a connection's tasks run.
struct RuntimeSign(AbortHandle);

impl RuntimeSign {
    fn new() -> Self {
        Self(tokio::spawn(pending::<()>()).abort_handle())
    }

    fn has_ended(&self) -> bool {
        self.0.is_finished()
    }
}

impl Drop for RuntimeSign {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::redis::script::ACQUIRE;

    #[test]
    fn the_key_of_each_command_is_found() {
        let mut set = redis::cmd("SET");
        set.arg("a{b}").arg("value").arg("NX");
        assert_eq!(key_of(&set), Some(&b"a{b}"[..]));
        for mut script in [ACQUIRE.by_hash(), ACQUIRE.by_source()] {
            script.arg(2).arg("key").arg("{key}:fence").arg("value");
            assert_eq!(key_of(&script), Some(&b"key"[..]));
        }
        assert_eq!(key_of(&redis::cmd("WAIT").arg(1).arg(0).to_owned()), None);
    }
}
