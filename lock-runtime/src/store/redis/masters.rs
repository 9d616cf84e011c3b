//! The masters behind a store's servers, one by one, for the tool that looks at all their keys.

use std::collections::BTreeMap;

use futures_util::future::{join_all, try_join_all};
use redis::aio::MultiplexedConnection;
use redis::{Client, ConnectionAddr, ConnectionInfo, ErrorKind, RedisError, RedisResult, Value};

use super::profile::{Profile, read_range};
use super::servers::{Servers, Single};
use super::settings::Timeouts;
use super::tls::elsewhere;

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
        Servers::Cluster(seeds) => of_cluster(&seeds.nodes, timeouts).await,
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

type Slots = BTreeMap<(String, u16), Vec<(u16, u16)>>;

/// Asks the first node that answers who the masters are, and connects to all of them.
async fn of_cluster(
    seeds: &[ConnectionInfo],
    timeouts: Timeouts,
) -> Result<Vec<Master>, Unreachable> {
    let none = "a cluster needs the URLs of some of its nodes";
    let mut failed = (ErrorKind::InvalidClientConfig, none).into();
    let mut asked = "the cluster".to_owned();
    for seed in seeds {
        match slots(seed, timeouts).await {
            Ok(found) => {
                let masters = found.into_iter().map(|((host, port), slots)| async move {
                    let address = elsewhere(seed.addr(), host, port);
                    let info = seed.clone().set_addr(address);
                    let client = Client::open(info).map_err(Unreachable::at("the cluster"))?;
                    master(&Single::At(client), slots, timeouts).await
                });
                return try_join_all(masters).await;
            }
            Err(error) => (asked, failed) = (seed.addr().to_string(), error),
        }
    }
    Err(Unreachable::at(&asked)(failed))
}

async fn slots(seed: &ConnectionInfo, timeouts: Timeouts) -> RedisResult<Slots> {
    let server = Single::At(Client::open(seed.clone())?);
    let mut connection = server.open(timeouts.config(), false).await?;
    let mut question = redis::cmd("CLUSTER");
    let question = question.arg("SLOTS");
    let answer: Vec<Vec<Value>> = question.query_async(&mut connection).await?;
    let mut masters = Slots::new();
    for range in answer {
        let Some(((host, port), slots)) = read_range(&range) else {
            let problem = "it names the cluster's masters in an unknown way";
            let kind = ErrorKind::UnexpectedReturnType;
            return Err((kind, problem, format!("{range:?}")).into());
        };
        // A node that was not told its own address leaves it out: it is the one we asked at.
        let host = match seed.addr() {
            ConnectionAddr::Tcp(own, _) | ConnectionAddr::TcpTls { host: own, .. }
                if host.is_empty() =>
            {
                own.clone()
            }
            _ => host,
        };
        masters.entry((host, port)).or_default().push(slots);
    }
    if masters.is_empty() {
        let problem = "the cluster has no slots yet";
        return Err((ErrorKind::ClusterConnectionNotFound, problem).into());
    }
    Ok(masters)
}
