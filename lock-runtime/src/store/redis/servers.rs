//! Which servers a store talks to, and how a connection to them is opened.

use std::fmt;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, ProtocolVersion, PushInfo, RedisResult,
};

#[cfg(feature = "cluster")]
use super::cluster::{Cluster, Seeds};
use super::connection::{Connection, Timeouts};
use super::reopening::Reopening;
#[cfg(feature = "sentinel")]
use super::sentinel::Sentinels;
use super::tls::Tls;
use super::tracking::track;

/// The servers behind one store.
#[derive(Clone)]
pub(crate) enum Servers {
    One(Client),
    /// Some nodes of a cluster.
    #[cfg(feature = "cluster")]
    Cluster(Seeds),
    #[cfg(feature = "sentinel")]
    Sentinel(Arc<Sentinels>),
}

/// Opens a connection with these settings.
type Open = Box<
    dyn Fn(AsyncConnectionConfig) -> BoxFuture<'static, RedisResult<MultiplexedConnection>>
        + Send
        + Sync,
>;

impl Servers {
    /// One server, by its URL.
    pub(crate) fn one(url: &str, tls: &Tls, timeouts: Timeouts) -> RedisResult<Self> {
        let info = tls.parse(url)?.set_tcp_settings(tcp(timeouts));
        Ok(Self::One(Client::open(info)?))
    }

    /// A cluster, by the URLs of some of its nodes.
    #[cfg(feature = "cluster")]
    pub(crate) fn cluster<U: AsRef<str>>(
        urls: impl IntoIterator<Item = U>,
        tls: &Tls,
    ) -> RedisResult<Self> {
        let nodes = urls.into_iter().map(|url| tls.parse(url.as_ref()));
        Ok(Self::Cluster(Seeds {
            nodes: nodes.collect::<RedisResult<_>>()?,
            tls: tls.clone(),
        }))
    }

    /// A connection for commands, which opens itself when it is needed, and again when it breaks.
    pub(super) fn connection(&self, timeouts: Timeouts) -> Connection {
        match self {
            Self::One(client) => {
                let client = client.clone();
                let open = move |_| {
                    let client = client.clone();
                    Box::pin(async move {
                        client
                            .get_multiplexed_async_connection_with_config(&config(timeouts))
                            .await
                    }) as _
                };
                Connection::Reopened(Arc::new(Reopening::new(open)))
            }
            #[cfg(feature = "cluster")]
            Self::Cluster(seeds) => {
                let cluster = Cluster::new(seeds.clone(), timeouts);
                Connection::Cluster(Arc::new(cluster))
            }
            #[cfg(feature = "sentinel")]
            Self::Sentinel(sentinels) => {
                let sentinels = Arc::clone(sentinels);
                let open = move |_| {
                    let sentinels = Arc::clone(&sentinels);
                    Box::pin(async move { sentinels.connect(&config(timeouts)).await }) as _
                };
                Connection::Reopened(Arc::new(Reopening::new(open)))
            }
        }
    }

    /// A connection that tracks the keys it reads, tells what it heard under its number, and when
    /// it is gone with all it tracked.
    pub(super) fn tracking(
        &self,
        timeouts: Timeouts,
        heard: impl Fn(u64, PushInfo) -> Result<(), ()> + Clone + Send + Sync + 'static,
        gone: impl Fn() + Send + Sync + 'static,
    ) -> Connection {
        let open: Open = match self {
            Self::One(client) => {
                let info = with_pushes(client.get_connection_info().clone());
                Box::new(move |config| {
                    let info = info.clone();
                    Box::pin(async move {
                        Client::open(info)?
                            .get_multiplexed_async_connection_with_config(&config)
                            .await
                    })
                })
            }
            #[cfg(feature = "cluster")]
            Self::Cluster(seeds) => {
                let heard = move |push| heard(0, push);
                let cluster = Cluster::tracking(seeds.clone(), timeouts, heard);
                return Connection::Cluster(Arc::new(cluster));
            }
            #[cfg(feature = "sentinel")]
            Self::Sentinel(sentinels) => {
                let sentinels = Arc::new(sentinels.with_pushes());
                Box::new(move |config| {
                    let sentinels = Arc::clone(&sentinels);
                    Box::pin(async move { sentinels.connect(&config).await })
                })
            }
        };
        let reopening = Reopening::new(move |number| {
            let heard = heard.clone();
            let opening = open(config(timeouts).set_push_sender(move |push| heard(number, push)));
            Box::pin(async move {
                let mut connection = opening.await?;
                track().query_async::<()>(&mut connection).await?;
                Ok(connection)
            })
        });
        Connection::Reopened(Arc::new(reopening.telling(gone)))
    }
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(client) => write!(f, "Redis at {}", client.get_connection_info().addr()),
            #[cfg(feature = "cluster")]
            Self::Cluster(seeds) => {
                f.write_str("Redis Cluster at")?;
                seeds
                    .nodes
                    .iter()
                    .try_for_each(|seed| write!(f, " {}", seed.addr()))
            }
            #[cfg(feature = "sentinel")]
            Self::Sentinel(sentinels) => sentinels.fmt(f),
        }
    }
}

fn config(timeouts: Timeouts) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new()
        .set_connection_timeout(Some(timeouts.connection))
        .set_response_timeout(Some(timeouts.response))
}

fn with_pushes(info: ConnectionInfo) -> ConnectionInfo {
    let settings = info.redis_settings().clone();
    info.set_redis_settings(settings.set_protocol(ProtocolVersion::RESP3))
}

/// Commands are small and somebody waits for each, so they are not to be held back; and a
/// connection whose other end vanished without a word is to be given up as soon as an operation is.
pub(super) fn tcp(timeouts: Timeouts) -> TcpSettings {
    let tcp = TcpSettings::default().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let tcp = tcp.set_user_timeout(timeouts.total());
    #[cfg(not(target_os = "linux"))]
    let _ = timeouts;
    tcp
}
