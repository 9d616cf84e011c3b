//! Where a cluster's nodes say that its masters are.

use std::collections::BTreeMap;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use redis::{ConnectionAddr, ConnectionInfo, ErrorKind, RedisError, RedisResult, Value};

use crate::store::redis::access::Access;
use crate::store::redis::connect::Server;
use crate::store::redis::profile::read_range;
use crate::store::redis::settings::Timeouts;
use crate::store::redis::tls::elsewhere;

/// Some nodes, by which the others are found, and what is needed to get into all of them.
#[derive(Clone)]
pub(crate) struct Seeds {
    pub(in crate::store::redis) nodes: Vec<ConnectionInfo>,
    pub(in crate::store::redis) access: Access,
}

/// A host and a port, as nodes announce them.
pub(in crate::store::redis) type Address = (String, u16);

/// The masters, each with its slots.
pub(in crate::store::redis) type Ranges = BTreeMap<Address, Vec<(u16, u16)>>;

impl Seeds {
    /// The node that is announced at this address.
    pub(in crate::store::redis) fn node(&self, at: Address, timeouts: Timeouts) -> Option<Server> {
        let seed = self.nodes.first()?;
        Some(node(seed, &self.access, timeouts, at))
    }

    /// Reads an answer to `CLUSTER SLOTS` of some node.
    pub(in crate::store::redis) fn read(&self, answer: &Value) -> RedisResult<Ranges> {
        read_masters(answer, self.nodes.first().map(ConnectionInfo::addr))
    }
}

/// Asks a node who the masters are, and which slots they have.
pub(in crate::store::redis) async fn slots(
    seed: &ConnectionInfo,
    access: &Access,
    timeouts: Timeouts,
) -> RedisResult<Vec<(Server, Vec<(u16, u16)>)>> {
    let server = Server::new(seed.clone(), access.clone(), timeouts.connection);
    let mut connection = server.connect(&timeouts.config()).await?;
    let mut question = redis::cmd("CLUSTER");
    let question = question.arg("SLOTS");
    let answer: Value = question.query_async(&mut connection).await?;
    let masters = read_masters(&answer, Some(seed.addr()))?.into_iter();
    let masters = masters.map(|(at, slots)| (node(seed, access, timeouts, at), slots));
    Ok(masters.collect())
}

fn node(seed: &ConnectionInfo, access: &Access, timeouts: Timeouts, at: Address) -> Server {
    let (host, port) = at;
    let announced = format!("the cluster announces a node at {host}:{port}");
    let (host, port) = access.addresses.reach(host, port);
    let info = seed.clone().set_addr(elsewhere(seed.addr(), host, port));
    let info = info.set_tcp_settings(timeouts.tcp());
    Server::new(info, access.clone(), timeouts.connection).announced(announced)
}

fn read_masters(answer: &Value, asked: Option<&ConnectionAddr>) -> RedisResult<Ranges> {
    let unknown = |answer: &Value| {
        let problem = "it names the cluster's masters in an unknown way";
        let kind = ErrorKind::UnexpectedReturnType;
        RedisError::from((kind, problem, format!("{answer:?}")))
    };
    let Value::Array(answer) = answer else {
        return Err(unknown(answer));
    };
    let mut masters = Ranges::new();
    for range in answer {
        let read = match range {
            Value::Array(range) => read_range(range),
            _ => None,
        };
        let ((host, port), slots) = read.ok_or_else(|| unknown(range))?;
        // A node that was not told its own address leaves it out: it is the one we asked.
        let host = match asked {
            Some(ConnectionAddr::Tcp(own, _) | ConnectionAddr::TcpTls { host: own, .. })
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

/// Why no node can be asked, if that can be found out: the first seed does not let us in, or none of
/// the masters that it names.
pub(super) async fn problem(seeds: &Seeds, timeouts: Timeouts) -> Option<RedisError> {
    // What is left of the time, after redis-rs has tried.
    let timeouts = Timeouts {
        connection: timeouts.response / 2,
        response: timeouts.response / 4,
    };
    let masters = match slots(seeds.nodes.first()?, &seeds.access, timeouts).await {
        Ok(masters) => masters,
        Err(error) => return Some(error),
    };
    let config = timeouts.config();
    let connecting = masters.iter().map(|(master, _)| master.connect(&config));
    let mut connecting: FuturesUnordered<_> = connecting.collect();
    let mut problem = None;
    while let Some(connected) = connecting.next().await {
        match connected {
            Ok(_) => return None,
            Err(error) => problem = Some(error),
        }
    }
    problem
}
