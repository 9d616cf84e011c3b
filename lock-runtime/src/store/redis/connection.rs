//! The connection of a store, whatever kind of servers it leads to.

use std::slice;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{RedisError, RedisResult};
use tokio::time::Instant;

#[cfg(feature = "cluster")]
use super::cluster::Cluster;
use super::gathered::Gathered;
use super::message::{Answers, Message};
use super::reconnecting::Reconnecting;
use super::refusal::error_of;

/// A connection that is shared by all who clone it, and opens itself again.
#[derive(Clone)]
pub(super) enum Connection {
    Single(Arc<Reconnecting<Gathered>>),
    #[cfg(feature = "cluster")]
    Cluster(Arc<Cluster>),
}

impl Connection {
    /// Opens it, unless it is open.
    pub(super) async fn open(&self) -> RedisResult<()> {
        match self {
            Self::Single(home) => home.get().await.map(drop),
            #[cfg(feature = "cluster")]
            Self::Cluster(home) => home.open().await.map(drop),
        }
    }

    /// Opens it, unless it is open; the connection itself, where it leads to one server.
    pub(super) async fn to_one_server(&self) -> RedisResult<Option<MultiplexedConnection>> {
        match self {
            Self::Single(home) => home
                .get()
                .await
                .map(|(_, server)| Some(server.connection())),
            #[cfg(feature = "cluster")]
            Self::Cluster(home) => home.open().await.map(|_| None),
        }
    }

    /// Sends commands once; the keys of all are in the slot of the first one's key. A command that
    /// the server refused has its error in its place.
    ///
    /// `refused` is what was answered to the same commands before: where a cluster's node said who
    /// takes them, they are sent there. `leaving` is called when the connection is open: from then
    /// on they may be carried out. `now` was read just before.
    pub(super) async fn send(
        &self,
        message: &mut Message,
        refused: Option<&RedisError>,
        now: Instant,
        leaving: impl FnOnce(),
    ) -> RedisResult<Answers> {
        #[cfg(not(feature = "cluster"))]
        let _ = refused;
        match self {
            Self::Single(home) => {
                let (number, server) = home.get().await?;
                leaving();
                let answers = match message {
                    Message::One(command) => server.send(command).await.map(Answers::One),
                    // On its own: what it has after its commands may keep the answers back.
                    Message::Many(pipeline) => Box::pin(server.send_alone(pipeline)).await,
                };
                match &answers {
                    Err(error) => home.check(number, error),
                    Ok(answers) => {
                        home.answered(now);
                        let errors = answers.as_slice().iter().filter_map(error_of);
                        errors.for_each(|error| home.check(number, &error));
                    }
                }
                answers
            }
            #[cfg(feature = "cluster")]
            Self::Cluster(home) => {
                let mut connection = Box::new(home.open().await?);
                leaving();
                let sending = home.send(&mut connection, message, refused);
                Box::pin(sending).await.map(Answers::Many)
            }
        }
    }

    /// Whether it is open. A cluster's connections are redis-rs'.
    pub(super) fn is_open(&self) -> bool {
        match self {
            Self::Single(home) => home.is_open(),
            #[cfg(feature = "cluster")]
            Self::Cluster(_) => false,
        }
    }

    /// Tells a connection from the one that is opened after it.
    pub(super) fn number(&self) -> u64 {
        match self {
            Self::Single(home) => home.number(),
            #[cfg(feature = "cluster")]
            Self::Cluster(home) => home.number(),
        }
    }

    /// Whether it has not proved for a while that it lives.
    pub(super) fn was_idle(&self, now: Instant) -> bool {
        match self {
            Self::Single(home) => home.was_idle(now),
            #[cfg(feature = "cluster")]
            Self::Cluster(home) => home.was_idle(now),
        }
    }

    /// Whether commands sent together may be for different servers.
    pub(super) fn is_spread(&self) -> bool {
        !matches!(self, Self::Single(_))
    }

    /// The pauses before a command is sent again that was for another server.
    pub(super) fn pauses(&self) -> slice::Iter<'static, Duration> {
        match self {
            Self::Single(_) => [].iter(),
            #[cfg(feature = "cluster")]
            Self::Cluster(_) => Cluster::PAUSES.iter(),
        }
    }

    /// The connection that was opened with this number is of no use any more. False if it is one
    /// that opens itself again.
    pub(super) fn broken(&self, number: u64) -> bool {
        match self {
            Self::Single(home) => {
                home.broken(number);
                true
            }
            #[cfg(feature = "cluster")]
            Self::Cluster(_) => false,
        }
    }

    /// Closes it; the next command opens it again.
    pub(super) fn close(&self) {
        match self {
            Self::Single(home) => home.close(),
            #[cfg(feature = "cluster")]
            Self::Cluster(home) => home.close(),
        }
    }
}
