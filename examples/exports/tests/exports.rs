//! Two server processes with one Redis: how many exports of a tenant run at a time, and who comes next.

use std::time::{Duration, Instant};

use redis_locked_test_support::{Process, Server, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(60);
const TTL: Duration = Duration::from_secs(5);
/// More pages than any test waits for.
const ENDLESS: u32 = 100_000;

struct Web {
    process: Process,
    address: String,
}

impl Web {
    async fn start(redis: &Server) -> Self {
        let process = Process::program(env!("CARGO_BIN_EXE_redis-locked-recipe-exports"))
            .env("REDIS_URL", redis.url())
            .env("ADDRESS", "127.0.0.1:0")
            .start();
        let line = process.wait_for_line("listening on ", LIMIT).await;
        let address = line.trim_start_matches("listening on ").to_owned();
        Self { process, address }
    }

    async fn ask(&self, path: &str) -> TcpStream {
        ask(&self.address, path).await
    }

    async fn get(&self, path: &str) -> Answer {
        Answer::read(self.ask(path).await).await
    }

    /// How many exports of this tenant have begun here.
    fn begun(&self, tenant: &str) -> usize {
        let line = format!("export of {tenant} begun");
        let lines = self.process.lines();
        lines.iter().filter(|said| **said == line).count()
    }

    /// An export that goes on until its client goes away: what this returns.
    async fn begin(&self, tenant: &str) -> TcpStream {
        let begun = self.begun(tenant);
        let client = self.ask(&format!("{tenant}/{ENDLESS}")).await;
        until(LIMIT, "it has begun", async || self.begun(tenant) > begun).await;
        client
    }

    /// How many exports of this tenant run, on all servers.
    async fn running(&self, tenant: &str) -> usize {
        self.get(tenant).await.body.lines().count()
    }
}

async fn ask(address: &str, path: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.expect("connected");
    let head = format!("GET /exports/{path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await.expect("written");
    stream
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    async fn read(mut stream: TcpStream) -> Self {
        let mut text = String::new();
        let read = timeout(LIMIT, stream.read_to_string(&mut text)).await;
        read.expect("within the limit").expect("an answer");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).expect("a status");
        Self {
            status: status.parse().expect("a number"),
            head: head.to_lowercase(),
            body: body.to_owned(),
        }
    }

    /// In seconds.
    fn retry_after(&self) -> Option<u64> {
        let mut lines = self.head.lines();
        let header = lines.find_map(|line| line.strip_prefix("retry-after: "))?;
        Some(header.parse().expect("whole seconds"))
    }
}

async fn start() -> (Server, Web, Web) {
    let redis = Server::start().await;
    let (first, second) = (Web::start(&redis).await, Web::start(&redis).await);
    (redis, first, second)
}

#[tokio::test]
async fn a_fourth_export_of_a_tenant_waits_and_is_refused_and_others_have_theirs() {
    let (redis, first, second) = start().await;
    let mut clients = Vec::new();
    for server in [&first, &second, &first] {
        clients.push(server.begin("acme").await);
    }
    assert_eq!(second.running("acme").await, 3);
    let asked = Instant::now();
    let refused = second.get("acme/1").await;
    assert_eq!(refused.status, 429, "{refused:?}");
    assert!(
        asked.elapsed() >= Duration::from_secs(2),
        "{:?}",
        asked.elapsed()
    );
    let seconds = refused.retry_after().expect("a time");
    assert!((1..=TTL.as_secs()).contains(&seconds), "{refused:?}");
    let other = second.get("other/2").await;
    assert_eq!(
        (other.status, &*other.body),
        (200, "other, page 1\nother, page 2\n")
    );

    // A client that goes away makes room for who waits.
    let waits = second.ask("acme/1").await;
    drop(clients.pop());
    let served = Answer::read(waits).await;
    assert_eq!((served.status, &*served.body), (200, "acme, page 1\n"));
    clients.clear();
    until(LIMIT, "all places are free", async || {
        !redis.exists("export:acme").await
    })
    .await;
    assert_eq!(first.begun("acme") + second.begun("acme"), 4);
}

#[tokio::test]
async fn never_more_than_three_of_many_run_at_a_time() {
    let (_redis, first, second) = start().await;
    let mut clients = JoinSet::new();
    for number in 0..24 {
        let server = if number % 2 == 0 { &first } else { &second };
        let address = server.address.clone();
        clients.spawn(async move { Answer::read(ask(&address, "acme/5").await).await });
    }
    let mut most = 0;
    while let Some(running) = (!clients.is_empty()).then_some(first.running("acme")) {
        most = most.max(running.await);
        assert!(most <= 3, "{most} at a time");
        while let Some(answer) = clients.try_join_next() {
            let answer = answer.expect("no panic");
            assert!(matches!(answer.status, 200 | 429), "{answer:?}");
        }
    }
    assert_eq!(most, 3);
}

#[tokio::test]
async fn the_places_of_a_server_that_dies_are_free_after_the_ttl() {
    let (redis, first, second) = start().await;
    let mut clients = Vec::new();
    for server in [&first, &first, &second] {
        clients.push(server.begin("acme").await);
    }
    assert_eq!(second.get("acme/1").await.status, 429);
    first.process.kill();
    let died = Instant::now();
    until(LIMIT, "its places are free", async || {
        second.running("acme").await == 1
    })
    .await;
    // It may have extended them just before.
    assert!(died.elapsed() < TTL + LIMIT / 10, "{:?}", died.elapsed());
    assert_eq!(second.get("acme/1").await.status, 200);
    redis.kill();
    assert_eq!(second.get("acme/1").await.status, 503);
}
