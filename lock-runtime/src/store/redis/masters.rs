//! The masters behind a store's servers, one by one, for the tool that looks at all their keys.

use std::sync::Arc;

use futures_util::future::{join_all, try_join_all};
use redis::aio::MultiplexedConnection;
use redis::{ErrorKind, RedisError};

use super::cluster::{Seeds, slots};
use super::profile::Profile;
use super::servers::{Servers, Single};
use super::settings::Timeouts;

/// The servers that a locker would ask.
pub struct Masters {
    pub(crate) servers: Vec<Servers>,
    pub(crate) timeouts: Timeouts,
}

/// A server that has locks.
#[derive(Clone)]
pub struct Master {
    /// Its address, for messages.
    pub name: String,
    /// The cluster's slots that it has; empty where there are none.
    pub slots: Vec<(u16, u16)>,
    /// A connection to it that does not open itself again.
    pub connection: MultiplexedConnection,
}

/// Why a server could not be asked.
#[derive(Debug)]
pub struct Unreachable {
    /// Which one.
    pub server: String,
    /// What happened.
    pub error: RedisError,
}

impl Unreachable {
    fn at(server: &str) -> impl FnOnce(RedisError) -> Self {
        let server = server.to_owned();
        move |error| Self { server, error }
    }
}

impl Masters {
    /// Connects to all, found as a locker finds them: one answer for each server of a quorum, or one
    /// in all.
    pub async fn connect(&self) -> Vec<Result<Vec<Master>, Unreachable>> {
        let connecting = self
            .servers
            .iter()
            .map(|servers| masters(servers, self.timeouts));
        join_all(connecting).await
    }
}

async fn masters(servers: &Servers, timeouts: Timeouts) -> Result<Vec<Master>, Unreachable> {
    match servers {
        Servers::Single(server) => {
            let mut master = master(server, Vec::new(), timeouts).await?;
            if Profile::of(&mut master.connection, false).await.is_partial {
                let problem = "it is a node of a cluster and has a part of the keys; use --cluster";
                let error = (ErrorKind::InvalidClientConfig, problem).into();
                return Err(Unreachable::at(&master.name)(error));
            }
            Ok(vec![master])
        }
        Servers::Cluster(seeds) => of_cluster(seeds, timeouts).await,
    }
}

async fn master(
    server: &Single,
    slots: Vec<(u16, u16)>,
    timeouts: Timeouts,
) -> Result<Master, Unreachable> {
    let name = server.to_string();
    let connection = server.open(timeouts.config(), false).await;
    Ok(Master {
        connection: connection.map_err(Unreachable::at(&name))?,
        name,
        slots,
    })
}

/// Asks the first node that answers who the masters are, and connects to all of them.
async fn of_cluster(seeds: &Seeds, timeouts: Timeouts) -> Result<Vec<Master>, Unreachable> {
    let none = "a cluster needs the URLs of some of its nodes";
    let mut failed = (ErrorKind::InvalidClientConfig, none).into();
    let mut asked = "the cluster".to_owned();
    for seed in &seeds.nodes {
        match slots(seed, &seeds.access, timeouts).await {
            Ok(found) => {
                let masters = found.into_iter().map(|(server, slots)| async move {
                    master(&Single::At(Arc::new(server)), slots, timeouts).await
                });
                return try_join_all(masters).await;
            }
            Err(error) => (asked, failed) = (seed.addr().to_string(), error),
        }
    }
    Err(Unreachable::at(&asked)(failed))
}
