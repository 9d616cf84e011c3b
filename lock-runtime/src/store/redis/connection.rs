//! The connection of a store, whatever kind of servers it leads to.

use std::slice;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
#[cfg(feature = "cluster")]
use redis::cluster_async::ClusterConnection;
use redis::{Pipeline, RedisError, RedisResult, Value};

#[cfg(feature = "cluster")]
use super::cluster::Cluster;
use super::reconnecting::Reconnecting;

/// A connection that is shared by all who clone it, and opens itself again.
#[derive(Clone)]
pub(super) enum Connection {
    Single(Arc<Reconnecting<MultiplexedConnection>>),
    #[cfg(feature = "cluster")]
    Cluster(Arc<Cluster>),
}

/// A connection that is open: what is given to it from now on may be carried out.
pub(super) enum Open<'a> {
    Single {
        home: &'a Reconnecting<MultiplexedConnection>,
        number: u64,
        connection: MultiplexedConnection,
    },
    #[cfg(feature = "cluster")]
    Cluster {
        home: &'a Cluster,
        connection: Box<ClusterConnection>,
    },
}

impl Connection {
    pub(super) async fn open(&self) -> RedisResult<Open<'_>> {
        match self {
            Self::Single(home) => {
                let (number, connection) = home.get().await?;
                Ok(Open::Single {
                    home,
                    number,
                    connection,
                })
            }
            #[cfg(feature = "cluster")]
            Self::Cluster(home) => {
                let connection = Box::new(home.open().await?);
                Ok(Open::Cluster { home, connection })
            }
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

impl Open<'_> {
    /// Sends commands once; the keys of all are in the slot of the first one's key. A command that
    /// the server refused has its error in its place.
    ///
    /// `refused` is what was answered to the same commands before: where a cluster's node said
    /// who takes them, they are sent there.
    #[cfg_attr(not(feature = "cluster"), expect(unused_variables))]
    pub(super) async fn send(
        &mut self,
        commands: &Pipeline,
        refused: Option<&RedisError>,
    ) -> RedisResult<Vec<Value>> {
        match self {
            Self::Single {
                home,
                number,
                connection,
            } => {
                let answers = connection.send_packed_commands(commands, 0, commands.len());
                let answers = answers.await;
                match &answers {
                    Err(error) => home.check(*number, error),
                    Ok(answers) => {
                        let errors = answers.iter().filter_map(error_of);
                        errors.for_each(|error| home.check(*number, &error));
                    }
                }
                answers
            }
            #[cfg(feature = "cluster")]
            Self::Cluster { home, connection } => {
                Box::pin(home.send(connection, commands, refused)).await
            }
        }
    }
}

/// The error that stands for an answer.
pub(super) fn error_of(answer: &Value) -> Option<RedisError> {
    match answer {
        Value::ServerError(error) => Some(error.clone().into()),
        _ => None,
    }
}
