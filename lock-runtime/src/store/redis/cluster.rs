//! The connection to a Redis Cluster.
//!
//! redis-rs' client knows which node has which slot, looks that up anew when a node says that a slot
//! has moved, and keeps a connection to each node. It is told not to send anything twice: a `SET NX`
//! that it repeated by itself would find the key taken by its own first sending, and read as busy.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::SingleNodeRoutingInfo;
use redis::{
    Client, ConnectionInfo, ErrorKind, Pipeline, ProtocolVersion, PushInfo, PushKind, RedisError,
    RedisResult, ServerErrorKind, Value,
};

use super::reconnecting::Reconnecting;
use super::route::{home, redirected};
use super::settings::{Timeouts, track};
use super::tls::Tls;

/// Some nodes, by which the others are found, and the certificates for all of them.
#[derive(Clone)]
pub(crate) struct Seeds {
    pub(super) nodes: Vec<ConnectionInfo>,
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "it is empty"))]
    pub(super) tls: Tls,
}

pub(super) struct Cluster {
    connection: Reconnecting<ClusterConnection>,
    tracking: Option<Tracking>,
}

/// Called with what nodes push.
pub(super) type Heard = Arc<dyn Fn(PushInfo) -> Result<(), ()> + Send + Sync>;

/// Has the nodes tell when a key that a command reads is changed.
struct Tracking {
    heard: Heard,
    /// A slot was not where it was looked for, so redis-rs has looked at all its connections again
    /// and may have replaced some without a word, and what they tracked is forgotten. (One that is on
    /// its way is found without that, and each time anew.)
    shaken: AtomicBool,
}

impl Cluster {
    /// As long as a slot takes to move with its few keys. A failover takes longer and is for the
    /// request's own attempts.
    pub(super) const PAUSES: &[Duration] = &[
        Duration::ZERO,
        Duration::from_millis(5),
        Duration::from_millis(20),
        Duration::from_millis(50),
        Duration::from_millis(100),
        Duration::from_millis(200),
    ];

    /// With `heard`, it tells of changed keys.
    ///
    /// redis-rs opens the connections to nodes when it likes, so tracking is turned on together
    /// with each command, in one pipeline: whichever node answers, by whichever connection, tracks.
    pub(super) fn new(seeds: Seeds, timeouts: Timeouts, heard: Option<Heard>) -> Self {
        // In the new form of the protocol a broken connection is noticed before the next command.
        let new = client(&seeds, timeouts, ProtocolVersion::RESP3, heard.clone());
        let old = client(&seeds, timeouts, ProtocolVersion::RESP2, None);
        let tracks = heard.is_some();
        Self {
            connection: Reconnecting::new(timeouts.total(), move |_| {
                let clients = [new.clone(), old.clone()];
                Box::pin(open(clients, seeds.clone(), timeouts, tracks))
            }),
            tracking: heard.map(|heard| Tracking {
                heard,
                shaken: AtomicBool::new(false),
            }),
        }
    }

    /// Connects, unless it is connected.
    pub(super) async fn open(&self) -> RedisResult<ClusterConnection> {
        Ok(self.connection.get().await?.1)
    }

    pub(super) fn number(&self) -> u64 {
        self.connection.number()
    }

    pub(super) fn close(&self) {
        self.connection.close();
    }

    /// Sends commands to the node that has the slot of the first one's key, or that an answer named
    /// which refused them before.
    pub(super) async fn send(
        &self,
        connection: &mut ClusterConnection,
        commands: &Pipeline,
        refused: Option<&RedisError>,
    ) -> RedisResult<Vec<Value>> {
        let redirected = refused.and_then(redirected);
        let mut pipeline = redis::pipe();
        if self.tracking.is_some() {
            pipeline.add_command(track());
        }
        if redirected.is_some() {
            pipeline.cmd("ASKING");
        }
        let extra = pipeline.len();
        for command in commands.cmd_iter() {
            pipeline.add_command(command.clone());
        }
        let count = pipeline.len();
        let node = redirected.clone().unwrap_or_else(|| home(commands));
        let answers = connection.route_pipeline(pipeline, 0, count, node).await;
        let answers = answers.map_err(doubt);
        self.watch_out(&answers);
        if let (Err(error), Some(node)) = (&answers, redirected)
            && error.kind() == ErrorKind::Server(ServerErrorKind::Moved)
        {
            may_ask(connection, node).await?;
        }
        let mut answers = answers?;
        for answer in answers.drain(..extra) {
            answer.extract_error()?;
        }
        Ok(answers)
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
            Err(error)
                if error.is_io_error()
                    || error.kind() == ErrorKind::Server(ServerErrorKind::Moved) =>
            {
                tracking.shaken.store(true, Ordering::Relaxed);
            }
            _ => {}
        }
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
        Some(Err(error)) if error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm) => {
            Err(error)
        }
        _ => Ok(()),
    }
}

fn client(
    seeds: &Seeds,
    timeouts: Timeouts,
    protocol: ProtocolVersion,
    heard: Option<Heard>,
) -> RedisResult<ClusterClient> {
    let mut builder = ClusterClient::builder(seeds.nodes.clone());
    #[cfg(feature = "tls")]
    if let Some(certificates) = seeds.tls.certificates()? {
        builder = builder.certs(certificates);
    }
    if let Some(heard) = heard {
        builder = builder.push_sender(move |push| heard(push));
    }
    builder
        .retries(0)
        .use_protocol(protocol)
        .connection_timeout(timeouts.connection)
        .response_timeout(timeouts.response)
        .overall_response_timeout(Some(timeouts.total()))
        .tcp_settings(timeouts.tcp())
        .build()
}

async fn open(
    [client, old]: [RedisResult<ClusterClient>; 2],
    seeds: Seeds,
    timeouts: Timeouts,
    tracks: bool,
) -> RedisResult<ClusterConnection> {
    let mut connection = match client?.get_async_connection().await {
        Ok(connection) => connection,
        Err(error) => match reason(seeds, timeouts).await {
            Some(reason) => return Err(reason),
            // A node lets us in that speaks the old form of the protocol.
            None if tracks => {
                let problem = "in the old form of the protocol, nobody is told of changed keys";
                let words = error.to_string();
                return Err((ErrorKind::RESP3NotSupported, problem, words).into());
            }
            None => return old?.get_async_connection().await,
        },
    };
    if tracks {
        // Where tracking is refused, it is refused here.
        let mut first = redis::pipe();
        first.add_command(track());
        let answers = connection.route_pipeline(first, 0, 1, SingleNodeRoutingInfo::Random);
        for answer in answers.await? {
            answer.extract_error()?;
        }
    }
    Ok(connection)
}

/// Why no node lets us in: redis-rs only says that none does.
async fn reason(seeds: Seeds, timeouts: Timeouts) -> Option<RedisError> {
    let config = timeouts.config();
    let client = Client::open(seeds.nodes.into_iter().next()?).ok()?;
    let opening = client.get_multiplexed_async_connection_with_config(&config);
    opening.await.err()
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
