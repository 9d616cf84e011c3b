//! How commands get to the server, and how long that may take.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::{Cmd, Pipeline, RedisError, RedisResult, Value};
use tokio::time::{Instant, timeout_at};

#[cfg(feature = "cluster")]
use super::cluster::Cluster;
use super::reopening::{Reopening, is_no_master};

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

/// A connection that is shared by all who clone it, and opens itself again.
#[derive(Clone)]
pub(super) enum Connection {
    Reopened(Arc<Reopening<MultiplexedConnection>>),
    #[cfg(feature = "cluster")]
    Cluster(Arc<Cluster>),
}

// What seldom happens is boxed in the functions below: the room for it would make the futures of
// all commands ten times as large.
impl Connection {
    /// Opens it, unless it is open or opens itself with the first command.
    pub(super) async fn open(&self) -> RedisResult<()> {
        match self {
            Self::Reopened(reopening) => reopening.get().await.map(drop),
            #[cfg(feature = "cluster")]
            Self::Cluster(cluster) => cluster.open().await,
        }
    }

    pub(super) async fn ask(&mut self, command: &Cmd, limit: Instant) -> RedisResult<Value> {
        let answer = match self {
            Self::Reopened(reopening) => {
                let answer = ask_once(reopening, command).await;
                match answer {
                    Err(error) if is_no_master(&error) => {
                        Box::pin(before(limit, ask_once(reopening, command))).await
                    }
                    answer => answer,
                }
            }
            #[cfg(feature = "cluster")]
            Self::Cluster(cluster) => Box::pin(before(limit, cluster.ask(command))).await,
        };
        answer.and_then(Value::extract_error)
    }

    pub(super) async fn ask_all(
        &mut self,
        pipeline: &Pipeline,
        limit: Instant,
    ) -> RedisResult<Vec<Value>> {
        match self {
            Self::Reopened(reopening) => before(limit, ask_master(reopening, pipeline)).await,
            #[cfg(feature = "cluster")]
            Self::Cluster(cluster) => before(limit, cluster.ask_all(pipeline)).await,
        }
    }

    /// The connection that was opened with this number is of no use any more. False if it is one
    /// that opens itself again.
    pub(super) fn broken(&self, number: u64) -> bool {
        match self {
            Self::Reopened(reopening) => {
                reopening.broken(number);
                true
            }
            #[cfg(feature = "cluster")]
            Self::Cluster(_) => false,
        }
    }

    /// Closes it; the next command opens it again.
    pub(super) fn close(&self) {
        match self {
            Self::Reopened(reopening) => reopening.close(),
            #[cfg(feature = "cluster")]
            Self::Cluster(cluster) => cluster.close(),
        }
    }
}

async fn ask_once(
    reopening: &Reopening<MultiplexedConnection>,
    command: &Cmd,
) -> RedisResult<Value> {
    let (number, mut connection) = reopening.get().await?;
    let answer = connection.send_packed_command(command).await;
    let answer = answer.and_then(Value::extract_error);
    reopening.check(number, answer.as_ref().err());
    answer
}

/// Sends the commands, and once more to whoever is the master now when this one is none.
async fn ask_master(
    reopening: &Reopening<MultiplexedConnection>,
    pipeline: &Pipeline,
) -> RedisResult<Vec<Value>> {
    let mut again = true;
    loop {
        let (number, mut connection) = reopening.get().await?;
        let answers = send(&mut connection, pipeline).await;
        let refused = answers.as_ref().ok().and_then(|answers| {
            let errors = answers.iter().filter_map(|answer| match answer {
                Value::ServerError(error) => Some(RedisError::from(error.clone())),
                _ => None,
            });
            errors.into_iter().find(is_no_master)
        });
        reopening.check(number, answers.as_ref().err().or(refused.as_ref()));
        if refused.is_none() || !std::mem::take(&mut again) {
            return answers;
        }
    }
}

async fn send(
    connection: &mut impl ConnectionLike,
    pipeline: &Pipeline,
) -> RedisResult<Vec<Value>> {
    let (from, count) = (0, pipeline.len());
    connection.req_packed_commands(pipeline, from, count).await
}

/// The answer, unless the time comes first.
pub(super) async fn before<T>(
    limit: Instant,
    asking: impl Future<Output = RedisResult<T>>,
) -> RedisResult<T> {
    timeout_at(limit, asking)
        .await
        .unwrap_or_else(|elapsed| Err(timed_out(&elapsed)))
}

fn timed_out(elapsed: &tokio::time::error::Elapsed) -> RedisError {
    std::io::Error::new(std::io::ErrorKind::TimedOut, elapsed.to_string()).into()
}
