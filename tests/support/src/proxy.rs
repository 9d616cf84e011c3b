//! A proxy in front of a server that does to a connection what networks do.

mod lane;
mod relay;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::ops::Range;
use std::sync::atomic::{AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use self::lane::Lane;
use crate::background::Background;
use crate::lock::lock;
use crate::port::Port;
use crate::server::Server;

/// A TCP proxy on a thread of its own. Its faults act at once, on open and on future connections.
///
/// Bytes keep their order, whatever the faults. Bytes that a client sent before it closed its
/// connection still reach the server, as late as the faults say: that is how networks leave orphans.
pub struct Proxy {
    shared: Arc<Shared>,
    port: u16,
    _background: Background,
}

/// What becomes of a connection whose answer was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterLoss {
    /// It is cut as soon as the answer has been swallowed.
    Cut,
    /// It stays open, and no later answer gets through it either.
    Silence,
}

struct Shared {
    /// The port that connections lead to.
    target: AtomicU16,
    requests: Lane,
    answers: Lane,
    refusing: watch::Sender<bool>,
    listening: watch::Sender<bool>,
    /// The connections with a smaller number than this are to be cut.
    cut_below: watch::Sender<u64>,
    live: watch::Sender<BTreeSet<u64>>,
    accepted: AtomicU64,
    lost_answers: AtomicU64,
    loss: Mutex<Option<Loss>>,
    cut_at: Mutex<Vec<u8>>,
}

struct Loss {
    pattern: Vec<u8>,
    then: AfterLoss,
}

/// A word as it stands in a request: `bulk("SET")` fits `SET` but not `CLIENT SETINFO`.
#[must_use]
pub fn bulk(word: &str) -> Vec<u8> {
    format!("${}\r\n{word}\r\n", word.len()).into_bytes()
}

impl Server {
    /// Starts a proxy in front of this server.
    pub async fn proxy(&self) -> Proxy {
        Proxy::start(self.port()).await
    }
}

impl Proxy {
    /// Starts a proxy in front of this port of 127.0.0.1.
    pub async fn start(target_port: u16) -> Self {
        let port = Port::claim();
        let shared = Arc::new(Shared {
            target: AtomicU16::new(target_port),
            requests: Lane::new("request"),
            answers: Lane::new("answer"),
            refusing: watch::Sender::new(false),
            listening: watch::Sender::new(false),
            cut_below: watch::Sender::new(0),
            live: watch::Sender::default(),
            accepted: AtomicU64::new(0),
            lost_answers: AtomicU64::new(0),
            loss: Mutex::new(None),
            cut_at: Mutex::default(),
        });
        let number = port.number();
        let proxy = Self {
            port: number,
            _background: Background::run(serve(port, shared.clone())),
            shared,
        };
        proxy.wait_until_listening(true).await;
        proxy
    }

    /// The url of the proxy, without a password.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The port of 127.0.0.1 that it listens on, the same for ever.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Has new connections lead to another port of 127.0.0.1.
    pub fn lead_to(&self, target_port: u16) {
        self.shared.target.store(target_port, Ordering::SeqCst);
    }

    /// Hands each request on so much later than it came.
    pub fn delay_requests(&self, delay: Duration) {
        self.shared.requests.set(|rules| rules.delay = delay);
    }

    /// Hands each answer on so much later than it came.
    pub fn delay_answers(&self, delay: Duration) {
        self.shared.answers.set(|rules| rules.delay = delay);
    }

    /// Holds requests back while on; then they go on in order.
    pub fn stall_requests(&self, on: bool) {
        self.shared.requests.set(|rules| rules.stalled = on);
    }

    /// Holds back the requests of these connections, which count from 0 as they were accepted, until
    /// [`Proxy::let_go`]: what is stuck on the way while its client goes on, on another connection.
    /// A second call replaces the first.
    pub fn stall_connections(&self, numbers: Range<u64>) {
        let stuck = (numbers.start, numbers.end);
        self.shared.requests.set(|rules| rules.stuck = stuck);
    }

    /// Forgets the connections that are open, as a load balancer does: from now on nothing gets
    /// through them, in either direction, and nobody is told.
    pub fn silence(&self) {
        let stuck = (0, self.accepted());
        self.shared.requests.set(|rules| rules.stuck = stuck);
        self.shared.answers.set(|rules| rules.stuck = stuck);
    }

    /// Cuts each connection on which this word comes, instead of handing it on, as proxies do
    /// that don't know a command. Empty, it cuts none.
    pub fn cut_at(&self, word: impl AsRef<[u8]>) {
        word.as_ref().clone_into(&mut lock(&self.shared.cut_at));
    }

    /// Lets go what [`Proxy::stall_connections`] holds back, and returns when all of it has been
    /// handed on to the server.
    ///
    /// # Panics
    /// If it has not when `limit` has passed.
    pub async fn let_go(&self, limit: Duration) {
        let stuck = self.shared.requests.rules.borrow().stuck;
        self.shared.requests.set(|rules| rules.stuck = (0, 0));
        self.shared.requests.drained(stuck, limit).await;
    }

    /// Holds answers back while on; then they go on in order.
    pub fn stall_answers(&self, on: bool) {
        self.shared.answers.set(|rules| rules.stalled = on);
    }

    /// Swallows answers while on. A connection that has lost one stays silent until it is closed:
    /// no network leaves out a piece in the middle of a stream.
    pub fn drop_answers(&self, on: bool) {
        self.shared.answers.set(|rules| rules.dropping = on);
    }

    /// Swallows the first bytes that the server answers after a request with `pattern` in it has
    /// gone through. It happens once; a second call replaces the first.
    pub fn drop_next_answer(&self, pattern: impl AsRef<[u8]>, then: AfterLoss) {
        let pattern = pattern.as_ref().to_owned();
        *lock(&self.shared.loss) = Some(Loss { pattern, then });
    }

    /// Resets all open connections and returns when the clients' sides are closed. What was held
    /// back is gone; what had gone on to the server is still executed.
    pub async fn cut(&self) {
        let bound = self.shared.accepted.load(Ordering::SeqCst);
        self.shared.cut_below.send_replace(bound);
        let mut live = self.shared.live.subscribe();
        let gone = |live: &BTreeSet<u64>| live.first().is_none_or(|first| *first >= bound);
        let _ = live.wait_for(gone).await;
    }

    /// Refuses new connections while on; open ones stay (see [`Proxy::cut`]). Returns when it acts.
    pub async fn refuse(&self, on: bool) {
        self.shared.refusing.send_replace(on);
        self.wait_until_listening(!on).await;
    }

    /// Waits until a request with `pattern` in it has been handed on to the server, since the
    /// start or [`Proxy::forget`].
    ///
    /// # Panics
    /// If there was none when `limit` has passed.
    pub async fn wait_for_request(&self, pattern: impl AsRef<[u8]>, limit: Duration) {
        self.shared
            .requests
            .passed
            .wait(pattern.as_ref(), limit)
            .await;
    }

    /// Waits until a request with `pattern` in it has come here, also while it is held back.
    ///
    /// # Panics
    /// Like [`Proxy::wait_for_request`].
    pub async fn wait_for_request_here(&self, pattern: impl AsRef<[u8]>, limit: Duration) {
        self.shared
            .requests
            .arrived
            .wait(pattern.as_ref(), limit)
            .await;
    }

    /// Waits until an answer with `pattern` in it has come here, also if it is held back or lost.
    ///
    /// # Panics
    /// Like [`Proxy::wait_for_request`].
    pub async fn wait_for_answer_here(&self, pattern: impl AsRef<[u8]>, limit: Duration) {
        self.shared
            .answers
            .arrived
            .wait(pattern.as_ref(), limit)
            .await;
    }

    /// How often `pattern` has been handed on to the server.
    #[must_use]
    pub fn count_requests(&self, pattern: impl AsRef<[u8]>) -> usize {
        self.shared.requests.passed.count(pattern.as_ref())
    }

    /// How often `pattern` has been handed on to clients.
    #[must_use]
    pub fn count_answers(&self, pattern: impl AsRef<[u8]>) -> usize {
        self.shared.answers.passed.count(pattern.as_ref())
    }

    /// Forgets which requests and answers came and went.
    pub fn forget(&self) {
        self.shared.requests.forget();
        self.shared.answers.forget();
    }

    /// How many connections are open.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.live.borrow().len()
    }

    /// How many connections were ever accepted.
    #[must_use]
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::SeqCst)
    }

    /// How many pieces of answers have been swallowed.
    #[must_use]
    pub fn lost_answers(&self) -> u64 {
        self.shared.lost_answers.load(Ordering::SeqCst)
    }

    async fn wait_until_listening(&self, on: bool) {
        let mut listening = self.shared.listening.subscribe();
        let _ = listening.wait_for(|listening| *listening == on).await;
    }
}

async fn serve(port: Port, shared: Arc<Shared>) {
    let mut refusing = shared.refusing.subscribe();
    loop {
        let _ = refusing.wait_for(|refusing| !refusing).await;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port.number()))
            .await
            .expect("the port is claimed");
        shared.listening.send_replace(true);
        tokio::select! {
            () = accept(&listener, &shared) => {}
            _ = refusing.wait_for(|refusing| *refusing) => {}
        }
        drop(listener);
        shared.listening.send_replace(false);
    }
}

async fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            continue;
        };
        let shared = shared.clone();
        let number = shared.accepted.load(Ordering::SeqCst);
        shared.live.send_modify(|live| {
            live.insert(number);
        });
        shared.accepted.store(number + 1, Ordering::SeqCst);
        tokio::spawn(async move {
            connection(client, number, &shared).await;
        });
    }
}

async fn connection(mut client: TcpStream, number: u64, shared: &Shared) {
    let target = shared.target.load(Ordering::SeqCst);
    let mut cut = shared.cut_below.subscribe();
    let mut server = None;
    let end = tokio::select! {
        end = relay::run(&mut client, &mut server, target, number, shared) => end,
        _ = cut.wait_for(|bound| number < *bound) => relay::End::Cut,
    };
    if end == relay::End::Cut {
        let _ = client.set_zero_linger();
    }
    drop(client);
    shared.live.send_modify(|live| {
        live.remove(&number);
    });
    if let Some(server) = server {
        relay::see_off(server).await;
    }
}
