//! Opens one connection to one server, which may be a proxy, or full.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ErrorKind, RedisError, RedisResult,
    ServerErrorKind,
};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a server may take to say why it takes nobody: it does so before it is asked.
const FIRST_WORDS: Duration = Duration::from_millis(100);

/// Connects.
///
/// One that something between closes, maybe because it does not know `CLIENT SETINFO`, is opened
/// without naming the client.
pub(super) async fn connect(
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
