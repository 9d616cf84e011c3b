//! The servers that hold the locks, as far as one looks at them.

mod cluster;
mod sentinel;

use std::time::Duration;

use futures_util::future::join_all;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind,
    IntoConnectionInfo as _, RedisError, RedisResult, TlsCertificates,
};

use crate::exit::{Failure, UNAVAILABLE};

/// What the URLs are of.
#[derive(Debug, Clone)]
pub(crate) enum Kind {
    One,
    Cluster,
    Quorum,
    Sentinel {
        master: String,
        login: Option<Login>,
    },
}

/// Who we are to the sentinels.
#[derive(Debug, Clone)]
pub(crate) struct Login {
    /// Without it, the password alone is sent.
    pub(crate) user: Option<String>,
    pub(crate) password: String,
}

pub(crate) struct Servers {
    kind: Kind,
    clients: Vec<Client>,
    timeout: Duration,
}

/// A server that has locks: a master.
#[derive(Clone)]
pub(crate) struct Node {
    /// Its address, for messages.
    pub(crate) name: String,
    /// The cluster's slots that it has; empty where there are none.
    slots: Vec<(u16, u16)>,
    pub(crate) connection: MultiplexedConnection,
}

/// The masters that answer.
pub(crate) struct Nodes {
    pub(crate) nodes: Vec<Node>,
    /// How many servers a quorum has; `None` where a lock is on one.
    pub(crate) quorum: Option<usize>,
}

impl Servers {
    pub(crate) fn new(
        kind: Kind,
        urls: &[String],
        certificates: &TlsCertificates,
        timeout: Duration,
    ) -> Result<Self, Failure> {
        let given = certificates.root_cert.is_some() || certificates.client_tls.is_some();
        let open = |url: &String| -> RedisResult<Client> {
            let info = url.as_str().into_connection_info()?;
            if !matches!(info.addr(), ConnectionAddr::TcpTls { .. }) {
                if given {
                    let problem = "certificates are for URLs that begin with rediss://";
                    return Err((ErrorKind::InvalidClientConfig, problem).into());
                }
                return Client::open(info);
            }
            choose_crypto();
            if given {
                Client::build_with_tls(info, certificates.clone())
            } else {
                Client::open(info)
            }
        };
        let clients = urls.iter().map(open).collect::<RedisResult<Vec<_>>>();
        let clients = clients.map_err(|error| {
            Failure::usage(format_args!("a URL or certificate cannot be used: {error}"))
        })?;
        Ok(Self {
            kind,
            clients,
            timeout,
        })
    }

    /// Connects to all masters. Of a quorum, a minority may be missing.
    pub(crate) async fn connect(&self) -> Result<Nodes, Failure> {
        let nodes = match &self.kind {
            Kind::One => vec![self.node(&self.clients[0]).await?],
            Kind::Cluster => cluster::masters(self).await?,
            Kind::Sentinel { master, login } => {
                let client = sentinel::master(self, master, login.as_ref()).await?;
                vec![self.node(&client).await?.must_be_master().await?]
            }
            Kind::Quorum => {
                let all = join_all(self.clients.iter().map(|client| self.node(client))).await;
                return majority(all);
            }
        };
        let quorum = None;
        Ok(Nodes { nodes, quorum })
    }

    async fn node(&self, client: &Client) -> Result<Node, Failure> {
        let name = client.get_connection_info().addr().to_string();
        match self.open(client).await {
            Ok(connection) => Ok(Node {
                name,
                slots: Vec::new(),
                connection,
            }),
            Err(error) => Err(Failure::redis(&name, &error)),
        }
    }

    async fn open(&self, client: &Client) -> RedisResult<MultiplexedConnection> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(Some(self.timeout));
        client
            .get_multiplexed_async_connection_with_config(&config)
            .await
    }

    /// What the servers are called, in a title.
    pub(crate) fn title(&self) -> String {
        let mut names = self.clients.iter().map(address);
        match &self.kind {
            Kind::One => names.next().unwrap_or_default(),
            Kind::Cluster => format!("cluster {}", names.next().unwrap_or_default()),
            Kind::Quorum => format!("quorum of {}", names.len()),
            Kind::Sentinel { master, .. } => format!("{master} (sentinel)"),
        }
    }
}

fn address(client: &Client) -> String {
    client.get_connection_info().addr().to_string()
}

fn majority(answers: Vec<Result<Node, Failure>>) -> Result<Nodes, Failure> {
    let count = answers.len();
    let mut nodes = Vec::new();
    let mut failures = Vec::new();
    for answer in answers {
        match answer {
            Ok(node) => nodes.push(node),
            Err(failure) => failures.push(failure),
        }
    }
    match failures.first() {
        Some(failure) if 2 * nodes.len() <= count => Err(Failure::new(
            UNAVAILABLE,
            format_args!(
                "{} of {count} servers do not answer; {failure}",
                failures.len()
            ),
        )),
        _ => Ok(Nodes {
            nodes,
            quorum: Some(count),
        }),
    }
}

impl Nodes {
    /// The nodes that have this key, if it exists: all of a quorum, else one.
    pub(crate) async fn of_key(&self, key: &str) -> Result<Vec<Node>, Failure> {
        if self.nodes.iter().all(|node| node.slots.is_empty()) {
            return Ok(self.nodes.clone());
        }
        let mut first = self.nodes[0].clone();
        let mut slot = redis::cmd("CLUSTER");
        let slot: u16 = first.ask(slot.arg("KEYSLOT").arg(key)).await?;
        let has = |node: &&Node| {
            node.slots
                .iter()
                .any(|&(from, to)| (from..=to).contains(&slot))
        };
        match self.nodes.iter().find(has) {
            Some(node) => Ok(vec![node.clone()]),
            None => Err(Failure::new(
                UNAVAILABLE,
                format_args!("no master of the cluster has slot {slot}, where {key:?} belongs"),
            )),
        }
    }
}

impl Node {
    /// Asks, and says whom when it fails.
    pub(crate) async fn ask<T: redis::FromRedisValue>(
        &mut self,
        command: &redis::Cmd,
    ) -> Result<T, Failure> {
        let answer = command.query_async(&mut self.connection).await;
        answer.map_err(|error| self.failure(&error))
    }

    /// Fails for a replica, which the sentinels may name for a moment after a failover.
    async fn must_be_master(mut self) -> Result<Self, Failure> {
        match self.ask(&redis::cmd("ROLE")).await? {
            redis::Role::Primary { .. } => Ok(self),
            _ => Err(Failure::new(
                UNAVAILABLE,
                format_args!("{} is no master; try again after the failover", self.name),
            )),
        }
    }

    pub(crate) fn failure(&self, error: &RedisError) -> Failure {
        Failure::redis(&self.name, error)
    }
}

/// The same way in, to another host and port.
fn moved(to: &ConnectionInfo, host: &str, port: u16) -> ConnectionInfo {
    let host = host.to_owned();
    let address = match to.addr() {
        ConnectionAddr::TcpTls {
            insecure,
            tls_params,
            ..
        } => ConnectionAddr::TcpTls {
            host,
            port,
            insecure: *insecure,
            tls_params: tls_params.clone(),
        },
        _ => ConnectionAddr::Tcp(host, port),
    };
    to.clone().set_addr(address)
}

/// The provider that the locks' own connections use.
fn choose_crypto() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Fails only when another was chosen meanwhile, which will do.
        drop(rustls::crypto::ring::default_provider().install_default());
    }
}
