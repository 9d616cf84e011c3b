//! One connection: bytes to and fro, under the rules.

use std::future::pending;
use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::net::tcp::{ReadHalf, WriteHalf};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::time::{Instant, sleep_until};

use super::lane::Lane;
use super::{AfterLoss, Shared};
use crate::lock::lock;

/// How a connection ended.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Closed,
    Cut,
}

struct Piece {
    arrived: Instant,
    bytes: Vec<u8>,
}

/// What is to become of the connection's next answer, if that is to be lost.
type NextLoss = Mutex<Option<AfterLoss>>;

pub(super) async fn run(
    client: &mut TcpStream,
    server: &mut Option<TcpStream>,
    target: u16,
    number: u64,
    shared: &Shared,
) -> End {
    let Ok(stream) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)).await else {
        return End::Cut;
    };
    let server = server.insert(stream);
    let _ = client.set_nodelay(true);
    let _ = server.set_nodelay(true);
    let next_loss = NextLoss::default();
    let (from_client, to_client) = client.split();
    let (from_server, to_server) = server.split();
    let (asked, requests) = mpsc::unbounded_channel();
    let (answered, answers) = mpsc::unbounded_channel();
    let carrying = async {
        tokio::join!(
            receive(from_client, asked, &shared.requests, number),
            receive(from_server, answered, &shared.answers, number),
        );
        pending().await
    };
    // The client may have closed its side long before: answers go on until the server closes its.
    tokio::select! {
        end = answer(answers, to_client, number, shared, &next_loss) => end,
        end = ask(requests, to_server, number, shared, &next_loss) => end,
        end = carrying => end,
    }
}

/// Closes the way to the server so that what was sent is still executed: a socket that is closed
/// with unread answers in it would reset the connection, and the server forget its requests.
pub(super) async fn see_off(mut server: TcpStream) {
    let _ = server.shutdown().await;
    let mut unread = [0; 1024];
    while matches!(server.read(&mut unread).await, Ok(1..)) {}
}

async fn receive(mut from: ReadHalf<'_>, queue: UnboundedSender<Piece>, lane: &Lane, number: u64) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(size @ 1..) = from.read(&mut buffer).await {
        let bytes = buffer[..size].to_vec();
        lane.arrived.add(number, &bytes);
        let arrived = Instant::now();
        if queue.send(Piece { arrived, bytes }).is_err() {
            return;
        }
    }
}

async fn ask(
    mut queue: UnboundedReceiver<Piece>,
    mut to: WriteHalf<'_>,
    number: u64,
    shared: &Shared,
    next_loss: &NextLoss,
) -> End {
    while let Some(piece) = next(&mut queue, &shared.requests, number).await {
        let cut_at = lock(&shared.cut_at).clone();
        if !cut_at.is_empty() && contains(&piece.bytes, &cut_at) {
            return End::Cut;
        }
        if let Some(then) = shared.take_loss(&piece.bytes) {
            *lock(next_loss) = Some(then);
        }
        // If the server has gone, the answering side ends the connection.
        if to.write_all(&piece.bytes).await.is_ok() {
            shared.requests.passed.add(number, &piece.bytes);
        }
    }
    let _ = to.shutdown().await;
    pending().await
}

async fn answer(
    mut queue: UnboundedReceiver<Piece>,
    mut to: WriteHalf<'_>,
    number: u64,
    shared: &Shared,
    next_loss: &NextLoss,
) -> End {
    let mut silent = false;
    while let Some(piece) = next(&mut queue, &shared.answers, number).await {
        let lost = lock(next_loss).take();
        silent |= lost.is_some() || shared.answers.rules.borrow().dropping;
        if silent {
            shared.lost_answers.fetch_add(1, Ordering::SeqCst);
            if lost == Some(AfterLoss::Cut) {
                return End::Cut;
            }
        } else if to.write_all(&piece.bytes).await.is_ok() {
            shared.answers.passed.add(number, &piece.bytes);
        }
    }
    End::Closed
}

/// The next piece, once the rules let it go. A change of the rules holds for those already here.
async fn next(queue: &mut UnboundedReceiver<Piece>, lane: &Lane, number: u64) -> Option<Piece> {
    let piece = queue.recv().await?;
    let mut rules = lane.rules.subscribe();
    loop {
        let now = *rules.borrow_and_update();
        let (due, stalled) = (piece.arrived + now.delay, now.stall(number));
        if !stalled && due <= Instant::now() {
            return Some(piece);
        }
        tokio::select! {
            _ = rules.changed() => {}
            () = sleep_until(due), if !stalled => {}
        }
    }
}

impl Shared {
    /// The loss that was ordered for a request like this one.
    fn take_loss(&self, request: &[u8]) -> Option<AfterLoss> {
        let mut loss = lock(&self.loss);
        let pattern = &loss.as_ref()?.pattern;
        if !contains(request, pattern) {
            return None;
        }
        loss.take().map(|loss| loss.then)
    }
}

fn contains(bytes: &[u8], pattern: &[u8]) -> bool {
    bytes.windows(pattern.len()).any(|window| window == pattern)
}
