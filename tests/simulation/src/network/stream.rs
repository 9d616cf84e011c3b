//! A process's end of a connection: the byte stream that the client of Redis reads and writes.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ProtocolVersion, RedisConnectionInfo, RedisResult};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::timeout;

use super::wires::{LinkId, Network};
use crate::store::redis::Dial;

/// A server, as one process reaches it.
#[derive(Clone)]
pub(in super::super) struct Server {
    pub(in super::super) network: Network,
    /// The incarnation of the process, and its place.
    pub(in super::super) process: usize,
    pub(in super::super) place: usize,
    pub(in super::super) id: usize,
    pub(in super::super) connection_timeout: Duration,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "server {}", self.id)
    }
}

impl Dial for Server {
    /// As redis-rs does it: the time limit is for all of it, and the connection has a task that drives
    /// it.
    fn open(
        &self,
        config: AsyncConnectionConfig,
        pushes: bool,
    ) -> BoxFuture<'static, RedisResult<MultiplexedConnection>> {
        let server = self.clone();
        Box::pin(async move {
            let limit = server.connection_timeout;
            let info = RedisConnectionInfo::default();
            let info = if pushes {
                info.set_protocol(ProtocolVersion::RESP3)
            } else {
                info
            };
            let connecting = async {
                let stream = server.dial().await?;
                MultiplexedConnection::new_with_config(&info, stream, config).await
            };
            let late = |_| {
                let late = io::Error::from(io::ErrorKind::TimedOut);
                Err(late.into())
            };
            let (connection, driver) = timeout(limit, connecting).await.unwrap_or_else(late)?;
            tokio::spawn(driver);
            Ok(connection)
        })
    }
}

impl Server {
    async fn dial(&self) -> io::Result<Stream> {
        let link = {
            let mut wires = self.network.wires();
            wires.dial(self.process, self.place, self.id)
        };
        let network = self.network.clone();
        let stream = Stream { network, link };
        poll_fn(|cx| stream.network.wires().poll_open(link, cx)).await?;
        Ok(stream)
    }
}

struct Stream {
    network: Network,
    link: LinkId,
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let most = buffer.remaining();
        let take = |bytes: &[u8]| buffer.put_slice(bytes);
        self.network.wires().poll_read(self.link, most, cx, take)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = self.network.wires().write(self.link, bytes);
        Poll::Ready(written.map(|()| bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.network.wires().leave(self.link);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.network.wires().leave(self.link);
    }
}
