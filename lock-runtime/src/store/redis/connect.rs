//! Opens one connection to one server, which may be a proxy, or full.

use std::fmt;
use std::io;
use std::time::Duration;

use futures_util::future::join;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind, ProtocolVersion,
    RedisError, RedisResult, ServerErrorKind,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::access::Access;
#[cfg(any(feature = "cluster", feature = "sentinel"))]
use super::address_map::NobodyThere;
use super::credentials::NoCredentials;
use super::not_redis::NotRedis;

/// How long a server may take to say why it takes nobody: it does so before it is asked.
const FIRST_WORDS: Duration = Duration::from_millis(100);

/// What Redis understands without its protocol, and a web server refuses at once.
const PING: &[u8] = b"PING\r\n";

/// A greeting of TLS with nothing in it, to which whoever speaks TLS answers with an alert.
const EMPTY_HELLO: &[u8] = b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00";

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
        let connecting = timeout_at(limit, connect(&client, config, limit)).await;
        let late = |_| {
            let late = "the connection was not opened in time";
            Err(io::Error::new(io::ErrorKind::TimedOut, late).into())
        };
        let connected = match connecting.unwrap_or_else(late) {
            Err(error) if error.is_timeout() => {
                // A part of what the answer may take, on top.
                let limit = Instant::now() + self.limit / 4;
                Err(why_late(client.get_connection_info().addr(), error, limit).await)
            }
            connected => connected,
        };
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

/// Why a connection was not opened in time. A server without TLS waits for the end of a line when it
/// is greeted with TLS.
async fn why_late(address: &ConnectionAddr, late: RedisError, limit: Instant) -> RedisError {
    if let ConnectionAddr::TcpTls { .. } = address
        && let Greeting::Words(_) = words(address, PING, limit).await
    {
        return NotRedis::HasNoTls.into();
    }
    late
}

/// Connects.
///
/// One that something between closes, maybe because it does not know `CLIENT SETINFO`, is opened
/// without naming the client.
async fn connect(
    client: &Client,
    config: &AsyncConnectionConfig,
    limit: Instant,
) -> RedisResult<MultiplexedConnection> {
    let info = client.get_connection_info();
    let error = match client
        .get_multiplexed_async_connection_with_config(config)
        .await
    {
        Err(error) if error.kind() == ErrorKind::Parse => {
            return Err(NotRedis::Sent(what_it_sends(info.addr(), limit).await).into());
        }
        Err(error) if error.is_connection_dropped() && !error.is_connection_refusal() => error,
        answer => return answer,
    };
    match first_words(info.addr()).await {
        Greeting::Alert => Err(NotRedis::WantsTls.into()),
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
    /// A line; an error without its code.
    Words(String),
    /// What TLS says to words that it does not understand.
    Alert,
    Closed,
    Silence,
}

/// What a server says before it is asked, if that is not TLS.
async fn first_words(address: &ConnectionAddr) -> Greeting {
    let ConnectionAddr::Tcp(..) = address else {
        return Greeting::Silence;
    };
    // Side by side, since each may take as long as it is given.
    let limit = Instant::now() + FIRST_WORDS;
    match join(
        words(address, b"", limit),
        words(address, EMPTY_HELLO, limit),
    )
    .await
    {
        (_, Greeting::Alert) => Greeting::Alert,
        (unasked, _) => unasked,
    }
}

/// What it sends that does not send what Redis would; unknown where TLS is in between.
async fn what_it_sends(address: &ConnectionAddr, limit: Instant) -> Option<String> {
    match (address, words(address, PING, limit).await) {
        (ConnectionAddr::Tcp(..), Greeting::Words(line)) => Some(line),
        _ => None,
    }
}

/// What a server says to a connection on which only this is sent, maybe nothing. Where a command is
/// under way, its words are lost when it closes the connection.
async fn words(address: &ConnectionAddr, sent: &[u8], limit: Instant) -> Greeting {
    let (ConnectionAddr::Tcp(host, port) | ConnectionAddr::TcpTls { host, port, .. }) = address
    else {
        return Greeting::Silence;
    };
    let mut words = vec![0; 256];
    let reading = async {
        let mut stream = TcpStream::connect((host.as_str(), *port)).await?;
        stream.write_all(sent).await?;
        stream.read(&mut words).await
    };
    match timeout_at(limit, reading).await {
        Ok(Ok(length @ 1..)) => {
            let words = String::from_utf8_lossy(&words[..length]);
            // Its kind, then the version's first byte.
            if words.starts_with("\u{15}\u{3}") {
                return Greeting::Alert;
            }
            let words = words.lines().next().unwrap_or_default();
            Greeting::Words(words.trim_start_matches("-ERR ").to_owned())
        }
        Ok(Ok(_) | Err(_)) => Greeting::Closed,
        Err(_) => Greeting::Silence,
    }
}
