//! Which servers a store talks to, and how a connection to them is opened.

#[cfg(feature = "cluster")]
use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
#[cfg(feature = "cluster")]
use redis::Value;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, PushInfo, RedisResult};

use super::access::Access;
#[cfg(feature = "cluster")]
use super::bells::Bells;
#[cfg(feature = "cluster")]
use super::cluster::{Cluster, Seeds};
use super::connect::Server;
use super::connection::Connection;
#[cfg(feature = "sentinel")]
use super::credentials::Credentials;
use super::gathered::Gathered;
use super::line::Line;
use super::reconnecting::Reconnecting;
#[cfg(feature = "sentinel")]
use super::sentinel::Sentinels;
use super::settings::{Timeouts, track};

/// The servers behind one store.
#[derive(Clone)]
pub(crate) enum Servers {
    Single(Single),
    /// Some nodes of a cluster.
    #[cfg(feature = "cluster")]
    Cluster(Seeds),
}

/// Where one server has all locks.
#[derive(Clone)]
pub(crate) enum Single {
    At(Arc<Server>),
    #[cfg(feature = "sentinel")]
    Sentinel(Arc<Sentinels>),
    #[cfg(simulation)]
    Simulated(Arc<dyn Dial>),
}

/// Opens a connection to a simulated server; with `pushes`, one that can tell of changed keys.
#[cfg(simulation)]
pub(crate) trait Dial: fmt::Debug + Send + Sync {
    fn open(
        &self,
        config: AsyncConnectionConfig,
        pushes: bool,
    ) -> BoxFuture<'static, RedisResult<MultiplexedConnection>>;
}

impl Servers {
    /// One server, by its URL.
    pub(crate) fn one(url: &str, access: &Access, timeouts: Timeouts) -> RedisResult<Self> {
        let info = access.parse(url)?.set_tcp_settings(timeouts.tcp());
        let server = Server::new(info, access.clone(), timeouts.connection);
        Ok(Self::Single(Single::At(Arc::new(server))))
    }

    /// The server of a client, with the client's own settings.
    pub(crate) fn of_client(client: &Client, timeouts: Timeouts) -> Self {
        let info = client.get_connection_info().clone();
        #[cfg(feature = "tls")]
        super::certificates::choose_crypto(&info);
        let server = Server::new(info, Access::default(), timeouts.connection);
        Self::Single(Single::At(Arc::new(server)))
    }

    /// A cluster, by the URLs of some of its nodes.
    #[cfg(feature = "cluster")]
    pub(crate) fn cluster<U: AsRef<str>>(
        urls: impl IntoIterator<Item = U>,
        access: &Access,
    ) -> RedisResult<Self> {
        let nodes = urls.into_iter().map(|url| access.parse(url.as_ref()));
        Ok(Self::Cluster(Seeds {
            nodes: nodes.collect::<RedisResult<_>>()?,
            access: access.clone(),
        }))
    }

    /// The master of this name, by the URLs of at least one sentinel.
    #[cfg(feature = "sentinel")]
    pub(crate) fn sentinel<U: AsRef<str>>(
        urls: impl IntoIterator<Item = U>,
        login: Option<&Credentials>,
        master: &str,
        access: &Access,
        timeouts: Timeouts,
    ) -> RedisResult<Self> {
        let sentinels = Sentinels::new(urls, login, master, access, timeouts)?;
        Ok(Self::Single(Single::Sentinel(Arc::new(sentinels))))
    }

    /// Where they are: hosts and ports, and nothing else of the URLs.
    pub(super) fn place(&self) -> String {
        match self {
            Self::Single(server) => server.to_string(),
            #[cfg(feature = "cluster")]
            Self::Cluster(seeds) => {
                let nodes = seeds.nodes.iter().map(|seed| seed.addr().to_string());
                format!("the cluster of {}", nodes.collect::<Vec<_>>().join(", "))
            }
        }
    }

    /// A connection for commands, which opens itself when it is needed, and again when it breaks.
    pub(super) fn connection(&self, timeouts: Timeouts) -> Connection {
        match self {
            Self::Single(server) => {
                let server = server.clone();
                let open = move |_| gathered(server.open(timeouts.config(), false), timeouts);
                Connection::Single(Arc::new(Reconnecting::new(timeouts.total(), open)))
            }
            #[cfg(feature = "cluster")]
            Self::Cluster(seeds) => {
                let cluster = Cluster::new(seeds.clone(), timeouts, None);
                Connection::Cluster(Arc::new(cluster))
            }
        }
    }

    /// Where the bells of a cluster's locks are heard.
    #[cfg(feature = "cluster")]
    pub(super) fn bells(
        &self,
        timeouts: Timeouts,
        line: Arc<Line>,
        heard: impl Fn(&[Value]) + Send + Sync + 'static,
    ) -> Option<Arc<Bells>> {
        let Self::Cluster(seeds) = self else {
            return None;
        };
        let deaf = move |bells: &HashSet<String>| {
            let is_deaf = |key: &str| {
                line.channel_of(key)
                    .is_some_and(|bell| bells.contains(&bell))
            };
            line.ears.tell_to_look(is_deaf);
        };
        Some(Bells::new(seeds.clone(), timeouts, heard, deaf))
    }

    /// A connection that hears the bell of a line, if there is one, tracks the keys it reads, tells
    /// what it heard under its number, and when it is gone with all it tracked.
    pub(super) fn tracking(
        &self,
        timeouts: Timeouts,
        line: Option<Arc<Line>>,
        heard: impl Fn(u64, PushInfo) -> Result<(), ()> + Clone + Send + Sync + 'static,
        gone: impl Fn() + Send + Sync + 'static,
    ) -> Connection {
        match self {
            Self::Single(server) => {
                let server = server.clone();
                let reconnecting = Reconnecting::new(timeouts.total(), move |number| {
                    let heard = heard.clone();
                    let config = timeouts.config();
                    let config = config.set_push_sender(move |push| heard(number, push));
                    let opening = server.open(config, true);
                    let line = line.clone();
                    let opening = Box::pin(async move {
                        let mut connection = opening.await?;
                        if let Some(line) = line {
                            line.subscribe(number, &mut connection).await?;
                        }
                        track().query_async::<()>(&mut connection).await?;
                        Ok(connection)
                    });
                    gathered(opening, timeouts)
                });
                Connection::Single(Arc::new(reconnecting.telling(gone)))
            }
            #[cfg(feature = "cluster")]
            Self::Cluster(seeds) => {
                let heard = Arc::new(move |push| heard(0, push));
                let cluster = Cluster::new(seeds.clone(), timeouts, Some(heard));
                Connection::Cluster(Arc::new(cluster))
            }
        }
    }
}

/// Connects as `opening` does.
fn gathered(
    opening: BoxFuture<'static, RedisResult<MultiplexedConnection>>,
    timeouts: Timeouts,
) -> BoxFuture<'static, RedisResult<Gathered>> {
    Box::pin(async move { Ok(Gathered::new(opening.await?, timeouts.response)) })
}

impl Single {
    /// Connects; with `pushes`, such that the server can tell of changed keys.
    pub(super) fn open(
        &self,
        config: AsyncConnectionConfig,
        pushes: bool,
    ) -> BoxFuture<'static, RedisResult<MultiplexedConnection>> {
        match self.clone() {
            Self::At(mut server) => async move {
                if pushes {
                    server = Arc::new(server.with_pushes());
                }
                server.connect(&config).await
            }
            .boxed(),
            #[cfg(feature = "sentinel")]
            Self::Sentinel(mut sentinels) => async move {
                if pushes {
                    sentinels = Arc::new(sentinels.with_pushes());
                }
                sentinels.connect(&config).await
            }
            .boxed(),
            #[cfg(simulation)]
            Self::Simulated(server) => server.open(config, pushes),
        }
    }
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Single(server @ Single::At(_)) => write!(f, "Redis at {server}"),
            #[cfg(any(feature = "sentinel", simulation))]
            Self::Single(server) => fmt::Display::fmt(server, f),
            #[cfg(feature = "cluster")]
            Self::Cluster(seeds) => {
                f.write_str("Redis Cluster at")?;
                let mut nodes = seeds.nodes.iter();
                nodes.try_for_each(|seed| write!(f, " {}", seed.addr()))
            }
        }
    }
}

impl fmt::Display for Single {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(server) => server.fmt(f),
            #[cfg(feature = "sentinel")]
            Self::Sentinel(sentinels) => fmt::Debug::fmt(sentinels, f),
            #[cfg(simulation)]
            Self::Simulated(server) => fmt::Debug::fmt(server, f),
        }
    }
}
