//! Which servers a store talks to, and how a connection to them is opened.

use std::fmt;

use futures_util::future::BoxFuture;
use redis::aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection};
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, IntoConnectionInfo as _, ProtocolVersion,
    RedisResult,
};

use super::link::{Connection, Timeouts};

/// The servers behind one store.
#[derive(Clone)]
pub(crate) enum Servers {
    One(Client),
}

impl Servers {
    /// One server, by its URL.
    pub(crate) fn one(url: &str, timeouts: Timeouts) -> RedisResult<Self> {
        let info = url.into_connection_info()?.set_tcp_settings(tcp(timeouts));
        Ok(Self::One(Client::open(info)?))
    }

    /// A connection for commands, which opens itself when it is needed, and again when it breaks.
    pub(super) fn connection(&self, timeouts: Timeouts) -> RedisResult<Connection> {
        match self {
            Self::One(client) => {
                // No retries inside: whoever asks decides how long to go on, so that promised
                // times hold.
                let config = ConnectionManagerConfig::new()
                    .set_number_of_retries(0)
                    .set_connection_timeout(Some(timeouts.connection))
                    .set_response_timeout(Some(timeouts.response));
                let manager = ConnectionManager::new_lazy_with_config(client.clone(), config)?;
                Ok(Connection::Managed(manager))
            }
        }
    }

    /// Opens a connection that can be told to track keys.
    pub(super) fn open_for_pushes(
        &self,
        config: AsyncConnectionConfig,
    ) -> BoxFuture<'static, RedisResult<MultiplexedConnection>> {
        match self {
            Self::One(client) => {
                let client = with_pushes(client.get_connection_info().clone());
                Box::pin(async move {
                    Client::open(client)?
                        .get_multiplexed_async_connection_with_config(&config)
                        .await
                })
            }
        }
    }
}

impl fmt::Debug for Servers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(client) => write!(f, "Redis at {}", client.get_connection_info().addr()),
        }
    }
}

fn with_pushes(info: ConnectionInfo) -> ConnectionInfo {
    let settings = info.redis_settings().clone();
    info.set_redis_settings(settings.set_protocol(ProtocolVersion::RESP3))
}

/// Commands are small and somebody waits for each, so they are not to be held back; and a
/// connection whose other end vanished without a word is to be given up as soon as an operation is.
fn tcp(timeouts: Timeouts) -> TcpSettings {
    let tcp = TcpSettings::default().set_nodelay(true);
    #[cfg(target_os = "linux")]
    let tcp = tcp.set_user_timeout(timeouts.total());
    #[cfg(not(target_os = "linux"))]
    let _ = timeouts;
    tcp
}
