//! Lockers that are made while their servers are down.

use std::time::Duration;

use redis_locked::{LockError, Locker, redis_locked};
use redis_locked_test_support::Server;

const LIMIT: Duration = Duration::from_secs(20);

#[redis_locked(key = "k")]
async fn once() -> Result<&'static str, LockError> {
    Ok("ran")
}

#[redis_locked(key = "k", wait = LIMIT)]
async fn waiting() -> Result<&'static str, LockError> {
    Ok("ran")
}

/// A server that is down, and has a port of its own.
async fn down() -> Server {
    let server = Server::start().await;
    server.kill();
    server
}

/// Fails while the servers are down, and works when they are up.
async fn works_later(locker: Locker, servers: &[Server], address: &str) {
    let error = locker.scope(once()).await.expect_err("nobody is there");
    assert!(error.is_backend(), "{error}");
    let text = error.to_string();
    for part in ["Redis refused the connection", address] {
        assert!(text.contains(part), "{text}");
    }
    let waiting = tokio::spawn(locker.scope(waiting()));
    for server in servers {
        server.restart().await;
    }
    assert_eq!(waiting.await.expect("no panic").expect("it is up"), "ran");
    assert_eq!(locker.scope(once()).await.expect("free"), "ran");
}

#[tokio::test]
async fn a_service_may_start_before_its_redis() {
    let server = down().await;
    let error = Locker::connect(&server.url()).await;
    assert!(error.expect_err("nobody is there").is_backend());
    let locker = Locker::connect_lazy(&server.url()).expect("nothing is asked");
    let address = format!(", at 127.0.0.1:{}", server.port());
    works_later(locker, &[server], &address).await;
}

#[tokio::test]
async fn settings_are_those_of_the_builder() {
    let server = down().await;
    let builder = Locker::builder().prefix("billing:").lazy();
    let locker = builder.connect(&server.url()).await;
    let locker = locker.expect("nothing is asked");
    server.restart().await;
    let held = locker.lock("k").acquire().await.expect("free");
    assert!(server.exists("billing:k").await);
    held.release().await.expect("ours");
}

#[tokio::test]
async fn a_quorum_may_be_down_too() {
    let servers = [down().await, down().await, down().await];
    let builder = Locker::builder().server_timeout(LIMIT / 20).lazy();
    let urls = servers.each_ref().map(Server::url);
    let locker = builder.connect_quorum(urls).await;
    let locker = locker.expect("nothing is asked");
    let address = format!(", at 127.0.0.1:{}", servers[1].port());
    works_later(locker, &servers, &address).await;
}

#[tokio::test]
async fn what_cannot_be_a_url_is_said_at_once() {
    for url in ["http://example.com", "", "redis://"] {
        let error = Locker::connect_lazy(url).expect_err("no Redis");
        assert!(error.is_backend(), "{error}");
        let text = error.to_string();
        for part in ["the locker could not be connected: ", "check the URL"] {
            assert!(text.contains(part), "{text}");
        }
        assert!(!text.contains("tried"), "{text}");
    }
    let blank = Locker::builder().owner(" ").lazy();
    let error = blank.connect("redis://127.0.0.1").await;
    let error = error.expect_err("a blank owner");
    assert!(matches!(error, LockError::InvalidRequest { .. }), "{error}");
}
