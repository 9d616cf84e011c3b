//! Two server processes with one Redis: what clients get while a document is busy, while Redis is
//! gone, and when a server is told to end.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use redis_locked_test_support::{Directory, Process, Server, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const LIMIT: Duration = Duration::from_secs(60);

struct Web {
    process: Process,
    address: String,
}

impl Web {
    async fn start(redis: &Server, documents: &Directory) -> Self {
        let process = Process::program(env!("CARGO_BIN_EXE_redis-locked-recipe-web"))
            .env("REDIS_URL", redis.url())
            .env("ADDRESS", "127.0.0.1:0")
            .env("DOCUMENTS", made_in(documents))
            .start();
        let line = process.wait_for_line("listening on ", LIMIT).await;
        let address = line.trim_start_matches("listening on ").to_owned();
        Self { process, address }
    }

    /// An upload from its beginning to its answer.
    async fn put(&self, id: u64, text: &str) -> Answer {
        Answer::read(self.ask(id, text.len(), &format!("\r\n{text}")).await).await
    }

    /// An upload whose body is still to come. The server says `100 Continue` when it reads the body,
    /// so when the lock is held.
    async fn begin(&self, id: u64, length: usize) -> TcpStream {
        let mut stream = self.ask(id, length, "Expect: 100-continue\r\n\r\n").await;
        let proceed = b"HTTP/1.1 100 Continue\r\n\r\n";
        let mut answer = vec![0; proceed.len()];
        let read = timeout(LIMIT, stream.read_exact(&mut answer)).await;
        read.expect("within the limit").expect("an answer");
        assert_eq!(answer, proceed);
        stream
    }

    /// In one piece: a server that answers early closes the connection, and bytes that come after
    /// that would have the answer thrown away.
    async fn ask(&self, id: u64, length: usize, rest: &str) -> TcpStream {
        let mut stream = TcpStream::connect(&self.address).await.expect("connected");
        let head = format!(
            "PUT /documents/{id} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\
             Content-Length: {length}\r\n{rest}"
        );
        stream.write_all(head.as_bytes()).await.expect("written");
        stream
    }

    /// Tells it to end, and waits until it has: of which documents it began an upload.
    async fn end(&self) -> Vec<u64> {
        self.process.terminate();
        self.has_ended().await
    }

    async fn has_ended(&self) -> Vec<u64> {
        let status = self.process.wait(LIMIT).await;
        assert_eq!(status.code(), Some(0));
        let lines = self.process.lines();
        let begun = lines
            .iter()
            .filter_map(|line| line.strip_prefix("document ")?.strip_suffix(" begun"));
        begun.map(|id| id.parse().expect("a number")).collect()
    }
}

/// The servers make it.
fn made_in(directory: &Directory) -> PathBuf {
    directory.path().join("documents")
}

/// All files there, by name: documents, and what is not yet or was never one.
fn files(directory: &Directory) -> BTreeMap<String, String> {
    let entries = std::fs::read_dir(made_in(directory)).expect("it is there");
    let file = |entry: std::io::Result<std::fs::DirEntry>| {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy();
        let text = std::fs::read_to_string(&path).expect("a text");
        (name.into_owned(), text)
    };
    entries.map(file).collect()
}

fn stored<const N: usize>(documents: [(&str, &str); N]) -> BTreeMap<String, String> {
    documents
        .map(|(id, text)| (id.to_owned(), text.to_owned()))
        .into()
}

async fn finish(mut stream: TcpStream, text: &str) -> Answer {
    stream.write_all(text.as_bytes()).await.expect("written");
    Answer::read(stream).await
}

#[derive(Debug)]
struct Answer {
    status: u16,
    head: String,
}

impl Answer {
    async fn read(mut stream: TcpStream) -> Self {
        let mut text = String::new();
        let read = timeout(LIMIT, stream.read_to_string(&mut text)).await;
        read.expect("within the limit").expect("an answer");
        let (head, _) = text.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).expect("a status");
        Self {
            status: status.parse().expect("a number"),
            head: head.to_lowercase(),
        }
    }

    fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
    }

    /// In seconds.
    fn retry_after(&self) -> Option<i64> {
        let header = self.header("retry-after")?;
        Some(header.parse().expect("whole seconds"))
    }
}

async fn start() -> (Server, Directory, Web, Web) {
    let (redis, documents) = (Server::start().await, Directory::new());
    let first = Web::start(&redis, &documents).await;
    let second = Web::start(&redis, &documents).await;
    (redis, documents, first, second)
}

#[tokio::test]
async fn one_upload_to_a_document_at_a_time_and_others_beside_it() {
    let (redis, documents, first, second) = start().await;
    let upload = first.begin(7, 5).await;

    for server in [&first, &second] {
        let refused = server.put(7, "other").await;
        assert_eq!(refused.status, 409, "{refused:?}");
        let seconds = refused.retry_after().expect("a time");
        assert!((1..=10).contains(&seconds), "{refused:?}");
    }
    // A ttl that is not a whole number of seconds: rounded down, the client would come too early.
    redis.set_px("document:8", "another program", 59_400).await;
    let refused = second.put(8, "text").await;
    let left = redis.pttl("document:8").await;
    assert_eq!(refused.status, 409, "{refused:?}");
    let seconds = refused.retry_after().expect("a time");
    assert!(seconds * 1000 >= left, "{left} ms are left: {refused:?}");
    assert!(seconds <= 60, "{refused:?}");

    assert_eq!(second.put(9, "text").await.status, 200);
    assert_eq!(finish(upload, "first").await.status, 200);
    assert_eq!(second.put(7, "later").await.status, 200);
    assert_eq!(files(&documents), stored([("7", "later"), ("9", "text")]));
    // Not a statement of those that were refused.
    assert_eq!(first.end().await, [7]);
    assert_eq!(second.end().await, [9, 7]);
}

#[tokio::test]
async fn a_client_that_goes_away_frees_its_document() {
    let (redis, documents, first, second) = start().await;
    let upload = first.begin(7, 5).await;
    assert_eq!(second.put(7, "text").await.status, 409);
    drop(upload);
    until(LIMIT, "the lock is released", async || {
        redis.keys().await.is_empty()
    })
    .await;
    assert_eq!(files(&documents), stored([]));
    assert_eq!(second.put(7, "text").await.status, 200);
}

#[tokio::test]
async fn an_upload_that_loses_its_lock_is_an_error_of_the_server() {
    let (redis, documents, first, _second) = start().await;
    let upload = first.begin(7, 5).await;
    redis.set_px("document:7", "an intruder", 60_000).await;
    let lost = Answer::read(upload).await; // its body never comes
    assert_eq!(lost.status, 500, "{lost:?}");
    assert_eq!(files(&documents), stored([]));
}

/// Its lock is gone before it can know. It may store what it has, but nothing of what the next one is
/// writing.
#[tokio::test]
async fn a_late_upload_leaves_the_next_one_alone() {
    let (redis, documents, first, second) = start().await;
    let late = first.begin(7, 5).await;
    assert!(redis.del("document:7").await);
    let mut next = second.begin(7, 10).await;
    next.write_all(b"half ").await.expect("written");

    let late = finish(late, "first").await;
    let document = match late.status {
        200 => Some("first".to_owned()),
        500 => None, // it was slow, and has seen it
        _ => panic!("{late:?}"),
    };
    assert_eq!(files(&documents).remove("7"), document);
    assert_eq!(finish(next, "whole").await.status, 200);
    assert_eq!(files(&documents), stored([("7", "half whole")]));
}

#[tokio::test]
async fn without_redis_it_is_unavailable() {
    let (redis, documents, first, second) = start().await;
    assert_eq!(first.put(7, "text").await.status, 200);
    redis.kill();
    for server in [&first, &second] {
        let refused = server.put(7, "other").await;
        assert_eq!(
            (refused.status, refused.retry_after()),
            (503, None),
            "{refused:?}"
        );
    }
    assert_eq!(files(&documents), stored([("7", "text")]));
}

#[tokio::test]
async fn a_server_that_is_told_to_end_ends_its_request_first() {
    let (redis, documents, first, second) = start().await;
    let upload = first.begin(7, 5).await;
    first.process.terminate();
    first.process.wait_for_line("ending when", LIMIT).await;
    until(LIMIT, "it takes no more requests", async || {
        TcpStream::connect(&first.address).await.is_err()
    })
    .await;
    assert_eq!(second.put(7, "other").await.status, 409);

    assert_eq!(finish(upload, "first").await.status, 200);
    assert_eq!(first.has_ended().await, [7]);
    assert_eq!(redis.keys().await, Vec::<String>::new());
    assert_eq!(files(&documents), stored([("7", "first")]));
}
