//! What is tried again, how often, and what the message says of it.

mod common;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use common::{LIMIT, locker_at, redis};
use redis_locked::{LockError, Locker, redis_locked};
use redis_locked_test_support::{FakeAnswers, Server, bulk, until};

const TTL: Duration = Duration::from_secs(60);
const SOON: Duration = Duration::from_millis(5);

#[redis_locked(key = "report:{tenant}", ttl = TTL, retries = 3, backoff = "5ms")]
async fn report(tenant: &str) -> Result<String, LockError> {
    Ok(format!("of {tenant}"))
}

#[tokio::test]
async fn a_busy_lock_is_asked_for_once_and_then_as_often_as_retries_say() {
    let (server, locker) = redis().await;
    server
        .set_px("report:acme", "abcdefghijklmnopqrstuv;web-3:812", 60_000)
        .await;
    for retries in [0, 1, 4] {
        let monitor = server.monitor();
        let request = locker.lock("report:acme").retries(retries).backoff(SOON);
        let error = request.acquire().await.expect_err("busy");
        let events = monitor.events().await;
        let asked = |event: &&redis_locked_test_support::Event| {
            event.command() == "set" && !event.is_from_script()
        };
        let sent = events.iter().filter(asked).count();
        assert_eq!(sent, 1 + retries as usize);
        let LockError::Busy {
            attempts,
            waited,
            owner,
            ..
        } = &error
        else {
            panic!("{error}");
        };
        assert_eq!(*attempts, 1 + retries);
        assert_eq!(owner.as_deref(), Some("web-3:812"));
        assert!(*waited >= SOON * retries);
    }
}

#[tokio::test]
async fn the_message_of_a_busy_lock_tells_all_that_is_known() {
    let (server, locker) = redis().await;
    server
        .set_px("report:acme", "abcdefghijklmnopqrstuv;web-3:812", 60_000)
        .await;
    let error = locker.scope(report("acme")).await.expect_err("busy");
    let text = error.to_string();
    for part in [
        "lock \"report:acme\" is busy: web-3:812 holds it, for at most ",
        "s unless it extends (tried 4 times, in ",
        "ms); try later, or let the request retry or wait longer",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn a_retry_gets_what_was_released() {
    let (server, locker) = redis().await;
    let guard = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    let other = locker_at(&server.url()).await;
    let monitor = server.monitor();
    let retrying = other.lock("k").retries(1_000_000).backoff(SOON).acquire();
    let release = async {
        monitor
            .wait_for(|event| event.command() == "set", LIMIT)
            .await;
        guard.release().await.expect("ours");
    };
    let (second, ()) = tokio::join!(retrying, release);
    second.expect("free").release().await.expect("ours");
}

#[tokio::test]
async fn a_retry_gets_through_once_redis_is_back() {
    let server = Server::start().await;
    let proxy = server.proxy().await;
    let locker = locker_at(&proxy.url()).await;
    proxy.refuse(true).await;
    proxy.cut().await;
    let request = locker.lock("k").ttl(TTL).retries(1_000_000).backoff(SOON);
    let back = async {
        // Nothing can be awaited here: nobody hears of a refused connection.
        tokio::time::sleep(SOON * 20).await;
        proxy.refuse(false).await;
    };
    let (guard, ()) = tokio::join!(request.acquire(), back);
    guard.expect("it is back").release().await.expect("ours");
}

#[tokio::test]
async fn what_cannot_pass_is_not_tried_again() {
    for error in [
        "WRONGTYPE Operation against a key holding the wrong kind of value",
        "ERR unknown command 'SET', with args beginning with: 'k'",
        "ERR wrong number of arguments for 'set' command",
        "ERR syntax error",
        // Nobody but a node of a cluster says this.
        "MOVED 7 127.0.0.1:1",
    ] {
        let server = FakeAnswers::error(error).await;
        let locker = locker_at(&server.url()).await;
        let request = locker.lock("k").retries(1_000_000).backoff(SOON);
        let asked = tokio::time::timeout(LIMIT, request.acquire()).await;
        let error = asked.expect("gives up").expect_err("refused");
        assert!(error.to_string().contains("(tried once, in "), "{error}");
    }
}

#[tokio::test]
async fn what_may_pass_is_tried_as_often_as_retries_say() {
    for (error, sent) in [
        ("LOADING loading", 3),
        ("OOM no memory", 3),
        ("TRYAGAIN again", 3),
        ("NOREPLICAS not enough", 3),
        ("BUSY running a script", 3),
        ("MISCONF can't save", 3),
        ("NOPERM not this user", 3),
        // Each time also on a new connection: it may be let in again, and the address may lead to
        // another server by now.
        ("NOAUTH who are you", 6),
        ("READONLY replica", 6),
    ] {
        let server = FakeAnswers::error(error).await;
        let locker = locker_at(&server.url()).await;
        let request = locker.lock("k").retries(2).backoff(SOON);
        let error = request.acquire().await.expect_err("refused");
        assert!(error.is_backend() && !error.is_busy(), "{error}");
        assert!(error.to_string().contains("(tried 3 times, in "), "{error}");
        let commands = server.commands();
        let sets = commands.iter().filter(|command| command[0] == "SET");
        assert_eq!(sets.count(), sent);
    }
}

/// How often `SET` was sent before this command.
fn count_sets(asked: &AtomicU32, command: &[String]) -> u32 {
    asked.fetch_add(u32::from(command[0] == "SET"), Ordering::SeqCst)
}

#[tokio::test]
async fn so_is_what_nobody_foresaw_and_a_wrong_password() {
    let server = Server::builder().password("right").start().await;
    let weird = [
        FakeAnswers::error("MOONPHASE waning").await,
        FakeAnswers::error("upstream failure").await,
        FakeAnswers::error("ERR no upstream host").await,
    ];
    let urls = weird.iter().map(FakeAnswers::url);
    for url in urls.chain([server.url_with_password("wrong")]) {
        let client = redis::Client::open(url).expect("a valid url");
        let locker = Locker::from_client(client);
        let request = locker.lock("k").retries(2).backoff(SOON);
        let error = request.acquire().await.expect_err("refused");
        assert!(error.to_string().contains("(tried 3 times, in "), "{error}");
    }
}

/// The server behind a proxy may have done what the proxy says has failed.
#[tokio::test]
async fn the_error_of_a_proxy_leaves_no_key_behind() {
    let server = FakeAnswers::error("ERR upstream failure").await;
    let locker = locker_at(&server.url()).await;
    let failed = locker.lock("k").ttl(TTL).acquire().await;
    assert!(failed.expect_err("refused").is_backend());
    until(LIMIT, "it is given back", async || {
        let commands = server.commands();
        commands.iter().any(|command| command[0] == "EVALSHA")
    })
    .await;
}

#[tokio::test]
async fn a_failure_after_busy_answers_is_a_failure_and_the_other_way_round() {
    let server = FakeAnswers::with({
        let asked = AtomicU32::new(0);
        move |command| match (command[0].as_str(), count_sets(&asked, command)) {
            ("SET", 0) => "$-1".to_owned(),
            _ => "-OOM no memory".to_owned(),
        }
    })
    .await;
    let locker = locker_at(&server.url()).await;
    let error = locker.lock("k").retries(1).backoff(SOON).acquire().await;
    assert!(error.expect_err("failed").is_backend());

    let server = FakeAnswers::with({
        let asked = AtomicU32::new(0);
        move |command| match (command[0].as_str(), count_sets(&asked, command)) {
            ("SET", 0) => "-OOM no memory".to_owned(),
            ("SET", _) => "$-1".to_owned(),
            _ => "*8\r\n:0\r\n:5000\r\n$6\r\ntheirs\r\n:0\r\n:-1\r\n:0\r\n:0\r\n:0".to_owned(),
        }
    })
    .await;
    let locker = locker_at(&server.url()).await;
    let error = locker.lock("k").retries(1).backoff(SOON).acquire().await;
    assert!(error.expect_err("busy").is_busy());
}

#[tokio::test]
async fn an_attempt_that_is_given_up_leaves_nothing_behind() {
    let server = Server::start().await;
    let proxy = server.proxy().await;
    let builder = Locker::builder().response_timeout(Duration::from_secs(1));
    let locker = builder.connect(&proxy.url()).await.expect("connected");
    proxy.stall_answers(true);
    let error = locker.lock("k").ttl(TTL).acquire().await;
    assert!(error.expect_err("no answer").is_backend());
    assert_eq!(proxy.count_requests(bulk("SET")), 1);
    assert!(server.exists("k").await, "it had arrived");
    proxy.stall_answers(false);
    until(LIMIT, "the key is gone", async || !server.exists("k").await).await;
}
