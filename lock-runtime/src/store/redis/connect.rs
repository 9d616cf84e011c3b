//! Opens one connection to one server, which may be a proxy, or full.

use std::fmt;
use std::io;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, ProtocolVersion,
    RedisError, RedisResult, ServerErrorKind,
};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::access::Access;
#[cfg(any(feature = "cluster", feature = "sentinel"))]
use super::address_map::NobodyThere;
use super::credentials::NoCredentials;

/// How long a server may take to say why it takes nobody: it does so before it is asked.
const FIRST_WORDS: Duration = Duration::from_millis(100);

/// One server: where it is, and what is needed to get into it.
#[derive(Clone)]
pub(crate) struct Server {
    info: ConnectionInfo,
    access: Access,
    /// How long connecting may take.
    limit: Duration,
    /// Who announces it and where, in words, unless its address was given by hand.
    #[cfg(any(feature = "cluster", feature = "sentinel"))]
    announced: Option<String>,
}

impl Server {
    pub(super) fn new(info: ConnectionInfo, access: Access, limit: Duration) -> Self {
        Self {
            info,
            access,
            limit,
            #[cfg(any(feature = "cluster", feature = "sentinel"))]
            announced: None,
        }
    }

    /// The same, with what to say when nobody is there.
    #[cfg(any(feature = "cluster", feature = "sentinel"))]
    pub(super) fn announced(self, announced: String) -> Self {
        Self {
            announced: Some(announced),
            ..self
        }
    }

    /// The same, for connections on which it tells of changed keys.
    pub(super) fn with_pushes(&self) -> Self {
        let settings = self.info.redis_settings().clone();
        let settings = settings.set_protocol(ProtocolVersion::RESP3);
        Self {
            info: self.info.clone().set_redis_settings(settings),
            ..self.clone()
        }
    }

    /// Connects, with the credentials and the certificates of this moment.
    pub(super) async fn connect(
        &self,
        config: &AsyncConnectionConfig,
    ) -> RedisResult<MultiplexedConnection> {
        let limit = Instant::now() + self.limit;
        let complete = timeout_at(limit, self.access.complete(&self.info)).await;
        let client = Client::open(complete.unwrap_or_else(|_| Err(NoCredentials::late()))?)?;
        let connecting = timeout_at(limit, connect(&client, config)).await;
        let late = |_| {
            let late = "the connection was not opened in time";
            Err(io::Error::new(io::ErrorKind::TimedOut, late).into())
        };
        let connected = connecting.unwrap_or_else(late);
        #[cfg(any(feature = "cluster", feature = "sentinel"))]
        if let Some(announced) = &self.announced {
            return connected.map_err(|error| NobodyThere::at(announced.clone(), error));
        }
        connected
    }
}

/// Its address.
impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.info.addr().fmt(f)
    }
}

/// Connects.
///
/// One that something between closes, maybe because it does not know `CLIENT SETINFO`, is opened
/// without naming the client.
async fn connect(
    client: &Client,
    config: &AsyncConnectionConfig,
) -> RedisResult<MultiplexedConnection> {
    let error = match client
        .get_multiplexed_async_connection_with_config(config)
        .await
    {
        Err(error) if error.is_connection_dropped() && !error.is_connection_refusal() => error,
        answer => return answer,
    };
    let info = client.get_connection_info();
    match first_words(info.addr()).await {
        Greeting::Words(words) => {
            let kind = ErrorKind::Server(ServerErrorKind::ResponseError);
            Err((kind, "it was told when connecting", words).into())
        }
        Greeting::Closed => Err(error),
        Greeting::Silence => {
            let settings = info.redis_settings().clone().set_skip_set_lib_name();
            let nameless = Client::open(info.clone().set_redis_settings(settings))?;
            let opening = nameless.get_multiplexed_async_connection_with_config(config);
            opening.await.map_err(|_: RedisError| error)
        }
    }
}

enum Greeting {
    /// An error, without its code.
    Words(String),
    Closed,
    Silence,
}

/// What a server says to a connection on which nothing is sent. Where a command is under way, its
/// words are lost when it closes the connection.
async fn first_words(address: &ConnectionAddr) -> Greeting {
    let ConnectionAddr::Tcp(host, port) = address else {
        return Greeting::Silence;
    };
    let mut words = vec![0; 256];
    let reading = async {
        let mut stream = TcpStream::connect((host.as_str(), *port)).await?;
        stream.read(&mut words).await
    };
    match timeout(FIRST_WORDS, reading).await {
        Ok(Ok(length @ 1..)) => {
            let words = String::from_utf8_lossy(&words[..length]);
            let words = words.lines().next().unwrap_or_default();
            Greeting::Words(words.trim_start_matches("-ERR ").to_owned())
        }
        Ok(Ok(_) | Err(_)) => Greeting::Closed,
        Err(_) => Greeting::Silence,
    }
}
