//! A Redis that fails: `Backend`, the body does not run, nothing hangs, and the message tells what
//! to do.

mod common;

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::{LIMIT, redis};
use redis_locked::{LockError, Locker, redis_locked};
use redis_locked_test_support::{FakeAnswers, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// Short time limits, for servers that never answer.
const CONNECTION: Duration = Duration::from_secs(1);
const RESPONSE: Duration = Duration::from_secs(1);
/// What a loaded machine may take on top.
const SLACK: Duration = Duration::from_secs(3);

#[redis_locked(key = "invoice:{order}", ttl = "60s")]
async fn bill(order: u32, ran: &AtomicBool) -> Result<(), LockError> {
    ran.store(true, Ordering::SeqCst);
    Ok(())
}

/// A locker that has not connected yet.
fn lazy(url: &str) -> Locker {
    Locker::builder()
        .connection_timeout(CONNECTION)
        .response_timeout(RESPONSE)
        .from_client(redis::Client::open(url).expect("a valid url"))
}

/// The call fails for this reason, in time, with nothing of the body run.
async fn fails(locker: &Locker, happened: &str, advice: &str, cause: &str) {
    let ran = AtomicBool::new(false);
    let start = Instant::now();
    let error = locker.scope(bill(7, &ran)).await.expect_err("fails");
    let took = start.elapsed();
    assert!(took < CONNECTION + RESPONSE + SLACK, "took {took:?}");
    assert!(!ran.load(Ordering::SeqCst), "the body ran unlocked");
    assert!(error.is_backend() && !error.is_busy(), "{error:?}");
    assert_eq!(error.key(), Some("invoice:7"));
    let text = error.to_string();
    let begin = format!("lock \"invoice:7\" could not be acquired: {happened}");
    assert!(text.starts_with(&begin), "{text}");
    assert!(text.contains(" (tried once, in "), "{text}");
    assert!(text.ends_with(advice), "{text}");
    let source = error.source().expect("a cause").to_string();
    assert!(source.contains(cause), "{source}");
}

async fn works(locker: &Locker) {
    let ran = AtomicBool::new(false);
    let call = locker.scope(bill(7, &ran));
    let result = tokio::time::timeout(LIMIT, call).await.expect("no hang");
    result.expect("works again");
    assert!(ran.load(Ordering::SeqCst));
}

const REFUSED: &str = "Redis refused the connection";
const RUNNING: &str = "check that it is running and reachable at the configured address";

#[tokio::test]
async fn a_server_that_is_down() {
    let (server, locker) = redis().await;
    let new = lazy(&server.url());
    server.kill();
    for locker in [&locker, &new, &locker] {
        fails(locker, REFUSED, RUNNING, "refused").await;
    }
    server.restart().await;
    works(&locker).await;
    works(&new).await;
}

#[tokio::test]
async fn a_wrong_password_and_none() {
    let server = Server::builder().password("right").start().await;
    let wrong = lazy(&server.url_with_password("wrong"));
    let happened = "Redis refused the user name or the password";
    let advice = "check the credentials in the URL, or what the locker's `credentials` gives";
    fails(&wrong, happened, advice, "AuthenticationFailed").await;
    fails(&wrong, happened, advice, "AuthenticationFailed").await;

    let none = lazy(&server.url_without_password());
    let advice = "put the credentials into the URL, or give the locker `credentials`";
    let happened = "Redis asks for a password (NOAUTH)";
    fails(&none, happened, advice, "NOAUTH").await;
    works(&lazy(&server.url())).await;
}

#[tokio::test]
async fn connecting_says_so_without_inventing_a_key() {
    let server = Server::builder().password("right").start().await;
    let address = format!(", at 127.0.0.1:{} (tried once", server.port());
    let urls = [
        (server.url_with_password("wrong"), "password"),
        (server.url_with_password("wrong"), &*address),
        (server.url_without_password(), "NOAUTH"),
        (
            "redis://127.0.0.1:1".into(),
            "refused the connection, at 127.0.0.1:1 ",
        ),
        ("http://example.com".into(), "the Redis URL"),
        (String::new(), "the Redis URL"),
    ];
    for (url, what) in urls {
        let error = Locker::connect(&url).await.expect_err("fails");
        assert!(error.is_backend(), "{error:?}");
        assert_eq!(error.key(), None);
        let text = error.to_string();
        assert!(
            text.starts_with("the locker could not be connected: "),
            "{text}"
        );
        assert!(text.contains(what), "{text}");
        assert!(error.source().is_some());
        assert!(!text.contains("right") && !text.contains("wrong"), "{text}");
    }
}

/// Answers whatever it is sent as a web server does that does not understand it.
async fn web_server(answer: &'static str) -> (u16, tokio::task::JoinHandle<()>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let serving = tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let mut request = [0; 1024];
            let read = client.read(&mut request).await.expect("a request");
            if read > 0 {
                client.write_all(answer.as_bytes()).await.expect("read");
            }
        }
    });
    (port, serving)
}

#[tokio::test]
async fn what_answers_and_is_not_redis() {
    let answer = "HTTP/1.0 400 Bad Request\r\nConnection: close\r\n\r\n";
    for (answer, sent) in [
        (answer, "`HTTP/1.0 400 Bad Request`"),
        ("<\u{1b}[2J>\r\n", r"`<\u{1b}[2J>`"),
        ("SSH-2.0-OpenSSH_9.6\r\n", "`SSH-2.0-OpenSSH_9.6`"),
    ] {
        let (port, serving) = web_server(answer).await;
        let locker = lazy(&format!("redis://user:secret@127.0.0.1:{port}"));
        let happened = format!("what answers is not Redis: it sent {sent}, at 127.0.0.1:{port}");
        let advice = "where a proxy stands in front of Redis, look at the proxy";
        fails(&locker, &happened, advice, "no answer in Redis' protocol").await;
        serving.abort();
    }
}

#[tokio::test]
async fn a_server_that_is_loading() {
    let (server, locker) = redis().await;
    server.restart_loading().await;
    let happened = "Redis is still loading its data (LOADING)";
    let advice = "wait until it has started, or give the request `retries`";
    for locker in [&locker, &lazy(&server.url())] {
        fails(locker, happened, advice, "is loading the dataset").await;
    }
    server.finish_loading().await;
    works(&locker).await;
}

#[tokio::test]
async fn a_server_without_memory() {
    let (server, locker) = redis().await;
    server.set_out_of_memory(true).await;
    let happened = "Redis is out of memory (OOM)";
    let advice = "raise its maxmemory or free some of it";
    fails(&locker, happened, advice, "OOM").await;
    server.set_out_of_memory(false).await;
    works(&locker).await;
}

#[tokio::test]
async fn a_lock_can_be_released_without_memory() {
    let (server, locker) = redis().await;
    let guard = locker.lock("k").acquire().await.expect("free");
    server.set_out_of_memory(true).await;
    guard.release().await.expect("ours");
    assert!(!server.exists("k").await);
}

#[tokio::test]
async fn a_replica() {
    let (server, locker) = redis().await;
    server.set_read_only(true).await;
    let happened = "this Redis is a replica and takes no writes (READONLY)";
    let advice = "connect to the master; after a failover, check where the address points";
    fails(&locker, happened, advice, "replica").await;
    server.set_read_only(false).await;
    works(&locker).await;
}

#[tokio::test]
async fn a_user_without_the_right() {
    let server = Server::start().await;
    let mut connection = server.connection().await;
    for (user, rules) in [("keys", "~other:* +@all"), ("commands", "~* +@all -set")] {
        let mut set = redis::cmd("ACL");
        set.arg("SETUSER").arg(user).arg("on").arg(">pw");
        for rule in rules.split(' ') {
            set.arg(rule);
        }
        set.query_async::<()>(&mut connection).await.expect("set");
        let locker = lazy(&format!("redis://{user}:pw@127.0.0.1:{}", server.port()));
        let happened = "the Redis user lacks a right (NOPERM: ";
        let advice = "grant the command and the key pattern to this user";
        fails(&locker, happened, advice, "permissions to").await;
    }
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing() {
    let server = Server::start().await;
    let open = lazy(&server.url());
    works(&open).await;
    server.stop_process();
    let happened = "Redis did not answer in time";
    let advice = "check its load and the network, or raise the locker's timeouts";
    fails(&lazy(&server.url()), happened, advice, "timed out").await;
    fails(&open, happened, advice, "timed out").await;
    server.continue_process();
    works(&open).await;
}

#[tokio::test]
async fn the_time_limits_are_two_seconds_and_one_by_default() {
    let server = Server::start().await;
    let locker = Locker::connect(&server.url()).await.expect("connected");
    let new = Locker::from_client(server.client());
    server.stop_process();
    for (locker, limit) in [(locker, 1), (new, 2)] {
        let limit = Duration::from_secs(limit);
        let start = Instant::now();
        let error = locker.lock("k").acquire().await.expect_err("hangs");
        assert!(error.is_backend(), "{error}");
        let took = start.elapsed();
        let expected = limit * 9 / 10..limit + SLACK;
        assert!(expected.contains(&took), "{took:?} instead of {limit:?}");
    }
}

#[tokio::test]
async fn an_error_that_nobody_foresaw_keeps_its_words() {
    let server = FakeAnswers::error("MOONPHASE the moon is waning").await;
    let happened = "Redis answered with the error MOONPHASE";
    let advice =
        "look up its words in the documentation of the server, or of what stands before it";
    fails(&lazy(&server.url()), happened, advice, "the moon is waning").await;
}

#[tokio::test]
async fn an_answer_that_is_none_is_no_lock() {
    for answer in [":7", "+QUEUED", "$2\r\nOK", "*0", ":0"] {
        let server = FakeAnswers::with(move |_| answer.to_owned()).await;
        let ran = AtomicBool::new(false);
        let result = lazy(&server.url()).scope(bill(7, &ran)).await;
        let error = result.expect_err("no lock");
        assert!(error.is_backend(), "{answer}: {error}");
        assert!(
            !ran.load(Ordering::SeqCst),
            "{answer}: the body ran unlocked"
        );
    }
}
