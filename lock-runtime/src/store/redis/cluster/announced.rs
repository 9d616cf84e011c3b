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

/// The masters' hosts and ports, each with its slots.
type Slots = BTreeMap<(String, u16), Vec<(u16, u16)>>;

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
    let masters = masters.into_iter().map(|((host, port), slots)| {
        let announced = format!("the cluster announces a node at {host}:{port}");
        let (host, port) = access.addresses.reach(host, port);
        let info = seed.clone().set_addr(elsewhere(seed.addr(), host, port));
        let server = Server::new(info, access.clone(), timeouts.connection);
        (server.announced(announced), slots)
    });
    Ok(masters.collect())
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
