//! The connection to a Redis Cluster.
//!
//! redis-rs' client knows which node has which slot, looks that up anew when a node says that a slot
//! has moved, and keeps a connection to each node. It is told not to send anything twice: a `SET NX`
//! that it repeated by itself would find the key taken by its own first sending, and read as busy.

mod announced;
mod opening;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::SingleNodeRoutingInfo;
use redis::{ErrorKind, PushInfo, PushKind, RedisError, RedisResult, ServerErrorKind, Value};
use tokio::time::Instant;

use super::message::Message;
use super::reconnecting::Reconnecting;
use super::refusal::{error_of, has_forgotten_us};
use super::route::{home, redirected};
use super::settings::{Timeouts, track};
pub(crate) use announced::Seeds;
#[cfg(feature = "sentinel")]
pub(super) use announced::slots;
pub(super) use announced::{Address, Ranges};
use opening::{Heard, Opener};

pub(super) struct Cluster {
    opener: Arc<Opener>,
    connection: Reconnecting<ClusterConnection>,
    tracking: Option<Tracking>,
}

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
        let opener = Arc::new(Opener::new(seeds, timeouts, heard.clone()));
        let opening = Arc::clone(&opener);
        Self {
            opener,
            connection: Reconnecting::new(timeouts.total(), move |_| {
                let opening = Arc::clone(&opening);
                Box::pin(async move { opening.open().await })
            }),
            tracking: heard.map(|heard| Tracking {
                heard,
                shaken: AtomicBool::new(false),
            }),
        }
    }

    /// Connects, unless it is connected. The connection and its number.
    pub(super) async fn open(&self) -> RedisResult<(u64, ClusterConnection)> {
        self.connection.get().await
    }

    /// Whether no node has answered for a while.
    pub(super) fn was_idle(&self, now: Instant) -> bool {
        self.connection.was_idle(now)
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
        (number, connection): &mut (u64, ClusterConnection),
        message: &Message,
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
        for command in message.commands() {
            pipeline.add_command(command.clone());
        }
        let count = pipeline.len();
        let node = redirected.clone().unwrap_or_else(|| home(message));
        let answers = connection.route_pipeline(pipeline, 0, count, node).await;
        let answers = answers.map_err(doubt);
        self.watch_out(&answers);
        match &answers {
            // All connections: which of them have been forgotten as well, nobody knows.
            Err(error) if error.is_timeout() && self.was_idle(Instant::now()) => {
                self.connection.broken(*number);
            }
            Err(_) => {}
            Ok(_) => self.connection.answered(Instant::now()),
        }
        if self.is_outdated(&answers) {
            self.connection.broken(*number);
        }
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

    /// Whether redis-rs goes on with what we have better by now: nodes don't let it in any more, or
    /// there are new certificates.
    fn is_outdated(&self, answers: &RedisResult<Vec<Value>>) -> bool {
        match answers {
            Ok(answers) => answers
                .iter()
                .filter_map(error_of)
                .any(|error| has_forgotten_us(&error)),
            Err(error) => has_forgotten_us(error) || self.opener.has_new_certificates(),
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
