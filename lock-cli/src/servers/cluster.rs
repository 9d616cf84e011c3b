//! The masters of a cluster.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;
use redis::{Client, ConnectionAddr, Value};

use super::{Node, Servers, moved};
use crate::exit::{Failure, UNAVAILABLE};

type Masters = BTreeMap<(String, u16), Vec<(u16, u16)>>;

/// Asks the first node that answers who the masters are, and connects to all of them.
pub(super) async fn masters(servers: &Servers) -> Result<Vec<Node>, Failure> {
    let mut failure = None;
    for client in &servers.clients {
        match slots(servers, client).await {
            Ok(masters) => {
                let masters = masters
                    .into_iter()
                    .map(|((host, port), slots)| node(servers, client, host, port, slots));
                return try_join_all(masters).await;
            }
            Err(failed) => failure = Some(failed),
        }
    }
    Err(failure.unwrap_or_else(|| Failure::usage("a cluster needs the URLs of some of its nodes")))
}

async fn node(
    servers: &Servers,
    seed: &Client,
    host: String,
    port: u16,
    slots: Vec<(u16, u16)>,
) -> Result<Node, Failure> {
    let info = moved(seed.get_connection_info(), &host, port);
    let client = Client::open(info).map_err(|error| Failure::redis(&host, &error))?;
    let mut node = servers.node(&client).await?;
    node.slots = slots;
    Ok(node)
}

async fn slots(servers: &Servers, seed: &Client) -> Result<Masters, Failure> {
    let mut node = servers.node(seed).await?;
    let answer: Vec<Vec<Value>> = node.ask(redis::cmd("CLUSTER").arg("SLOTS")).await?;
    let mut masters = Masters::new();
    for range in answer {
        let Some(((host, port), slots)) = read(&range) else {
            let message = format!(
                "{} names its masters in an unknown way: {range:?}",
                node.name
            );
            return Err(Failure::new(UNAVAILABLE, message));
        };
        // A node that was not told its own address leaves it out: it is the one we asked at.
        let host = if host.is_empty() { host_of(seed) } else { host };
        masters.entry((host, port)).or_default().push(slots);
    }
    if masters.is_empty() {
        let message = format!("the cluster at {} has no slots yet", node.name);
        return Err(Failure::new(UNAVAILABLE, message));
    }
    Ok(masters)
}

/// First slot, last slot, the master's host, port and more, its replicas.
fn read(range: &[Value]) -> Option<((String, u16), (u16, u16))> {
    let [Value::Int(from), Value::Int(to), Value::Array(master), ..] = range else {
        return None;
    };
    let [host, Value::Int(port), ..] = master.as_slice() else {
        return None;
    };
    let host = match host {
        Value::BulkString(host) => String::from_utf8(host.clone()).ok()?,
        Value::Nil => String::new(),
        _ => return None,
    };
    let slots = (u16::try_from(*from).ok()?, u16::try_from(*to).ok()?);
    Some(((host, u16::try_from(*port).ok()?), slots))
}

fn host_of(client: &Client) -> String {
    match client.get_connection_info().addr() {
        ConnectionAddr::Tcp(host, _) | ConnectionAddr::TcpTls { host, .. } => host.clone(),
        _ => "localhost".into(),
    }
}
