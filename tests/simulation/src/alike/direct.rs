//! Connections to a simulated server with nothing between: what is sent is there at once.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use futures_util::future::BoxFuture;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, ProtocolVersion, RedisConnectionInfo, RedisResult};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, WriteHalf, duplex, split};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::task::spawn_local;
use tokio::time::Instant;

use super::super::server::{ClientId, Said, Server};
use crate::store::redis::Dial;

/// More than is ever under way.
const ROOM: usize = 1 << 20;
/// When the server's clock begins, in microseconds since 1970.
const BEGIN: u64 = 1_790_000_000_000_000;

/// Where processes reach the server.
#[derive(Clone)]
pub(super) struct Address(pub(super) UnboundedSender<DuplexStream>);

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a simulated server")
    }
}

impl Dial for Address {
    fn open(
        &self,
        config: AsyncConnectionConfig,
        pushes: bool,
    ) -> BoxFuture<'static, RedisResult<MultiplexedConnection>> {
        let (ours, theirs) = duplex(ROOM);
        self.0.send(theirs).expect("the server listens");
        Box::pin(async move {
            let mut info = RedisConnectionInfo::default();
            if pushes {
                info = info.set_protocol(ProtocolVersion::RESP3);
            }
            let opening = MultiplexedConnection::new_with_config(&info, ours, config);
            let (connection, driver) = opening.await?;
            tokio::spawn(driver);
            Ok(connection)
        })
    }
}

/// A server that is told at once what its clients send.
struct Listening {
    server: Server,
    began: Instant,
    clients: Vec<(ClientId, WriteHalf<DuplexStream>)>,
}

impl Listening {
    fn now(&self) -> u64 {
        let elapsed = self.began.elapsed().as_micros();
        BEGIN + u64::try_from(elapsed).expect("it is not that late")
    }
}

/// Has the server answer all that is sent to its address.
pub(super) async fn listen(server: Server, mut accepted: UnboundedReceiver<DuplexStream>) {
    let server = Rc::new(RefCell::new(Listening {
        server,
        began: Instant::now(),
        clients: Vec::new(),
    }));
    while let Some(stream) = accepted.recv().await {
        let (mut reader, writer) = split(stream);
        let mut listening = server.borrow_mut();
        let now = listening.now();
        let client = listening.server.open(now);
        listening.clients.push((client, writer));
        drop(listening);
        let server = Rc::clone(&server);
        spawn_local(async move {
            let mut bytes = vec![0; ROOM];
            while let Ok(length @ 1..) = reader.read(&mut bytes).await {
                hear(&server, client, &bytes[..length]).await;
            }
            let mut listening = server.borrow_mut();
            listening.server.close(client);
            listening.clients.retain(|(id, _)| *id != client);
        });
    }
}

async fn hear(server: &RefCell<Listening>, client: ClientId, bytes: &[u8]) {
    for (client, said) in answers(server, client, bytes) {
        // Taken out while it writes: another may be heard meanwhile.
        let Some((id, mut writer)) = take_out(server, client) else {
            continue;
        };
        if let Said::Bytes(bytes) = said {
            writer.write_all(&bytes).await.expect("there is room");
            server.borrow_mut().clients.push((id, writer));
        }
    }
}

fn answers(server: &RefCell<Listening>, client: ClientId, bytes: &[u8]) -> Vec<(ClientId, Said)> {
    let mut listening = server.borrow_mut();
    let now = listening.now();
    // What has expired until now goes first, and whoever waits for it is told.
    listening.server.tick(now);
    listening.server.hear(client, bytes, now);
    listening.server.said().collect()
}

fn take_out(
    server: &RefCell<Listening>,
    client: ClientId,
) -> Option<(ClientId, WriteHalf<DuplexStream>)> {
    let mut listening = server.borrow_mut();
    let place = listening.clients.iter().position(|(id, _)| *id == client)?;
    Some(listening.clients.remove(place))
}
