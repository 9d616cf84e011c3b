use std::collections::BTreeMap;
use std::time::Duration;

use super::{Server, is_about_the_port};
use crate::port::Port;
use crate::until::until;

const LIMIT: Duration = Duration::from_secs(10);

#[tokio::test]
async fn many_start_at_once_each_with_data_of_its_own() {
    let starting: Vec<_> = (0..24).map(|_| tokio::spawn(Server::start())).collect();
    let mut servers = Vec::new();
    for server in starting {
        servers.push(server.await.expect("started"));
    }
    for server in &servers {
        server.set_px("key", server.port(), 60_000).await;
    }
    for server in &servers {
        assert_eq!(server.get("key").await, Some(server.port().to_string()));
    }
}

#[tokio::test]
async fn another_server_on_the_port_is_not_taken_for_ours() {
    let other = Server::start().await;
    let port = Port::of_someone_else(other.port());
    let refusal = Server::start_on(port, Server::builder()).await.err();
    let refusal = refusal.expect("the port is taken");
    assert!(is_about_the_port(&refusal), "{refusal}");
}

#[tokio::test]
async fn a_dropped_server_leaves_neither_process_nor_directory() {
    let server = Server::start().await;
    let directory = server.directory.path().to_owned();
    let client = server.client();
    server.stop_process();
    drop(server);
    assert!(!directory.exists());
    let error = client.get_connection().err().expect("nobody listens");
    assert!(error.is_connection_refusal(), "{error}");
}

#[tokio::test]
async fn a_killed_server_refuses_and_a_restarted_one_is_empty() {
    let server = Server::start().await;
    server.set_px("key", "value", 60_000).await;
    server.kill();
    assert!(!server.is_running());
    assert!(server.client().get_connection().is_err());
    server.restart().await;
    assert!(!server.exists("key").await);
    assert!(server.is_running());
}

#[tokio::test]
async fn a_stopped_process_answers_when_it_continues() {
    let server = Server::start().await;
    server.stop_process();
    let question = server.exists("key");
    tokio::pin!(question);
    let early = tokio::time::timeout(Duration::from_millis(50), &mut question).await;
    assert!(early.is_err(), "a stopped process answered");
    server.continue_process();
    assert!(!question.await);
}

#[tokio::test]
async fn a_password_is_asked_for() {
    let server = Server::builder().password("a b@c:d/ü%").start().await;
    assert!(!server.exists("key").await);
    assert!(
        server
            .connection()
            .await
            .send_packed_command(&redis::cmd("PING"))
            .await
            .is_ok()
    );
    for url in [
        server.url_without_password(),
        server.url_with_password("wrong"),
    ] {
        let client = redis::Client::open(url).expect("a valid url");
        let refused = match client.get_connection() {
            Err(error) => error,
            Ok(mut connection) => redis::cmd("GET")
                .arg("key")
                .query::<()>(&mut connection)
                .expect_err("refused"),
        };
        let refused = refused.to_string();
        assert!(
            refused.contains("NOAUTH")
                || refused.contains("WRONGPASS")
                || refused.contains("authentication"),
            "{refused}"
        );
    }
}

#[tokio::test]
async fn a_setting_reaches_the_server() {
    let server = Server::builder().arg("maxclients", "77").start().await;
    let mut get = redis::cmd("CONFIG");
    get.arg("GET").arg("maxclients");
    let answer: Vec<String> = server.ask(&get).await;
    assert_eq!(answer, ["maxclients", "77"]);
}

#[tokio::test]
async fn keys_are_set_read_and_deleted() {
    let server = Server::start().await;
    assert_eq!(server.pttl("key").await, -2);
    assert!(server.set_nx_px("key", "value", 60_000).await);
    assert!(!server.set_nx_px("key", "other", 60_000).await);
    assert_eq!(server.get("key").await.as_deref(), Some("value"));
    assert!((1..=60_000).contains(&server.pttl("key").await));
    assert_eq!(server.keys().await, ["key"]);
    assert!(server.del("key").await);
    assert!(!server.del("key").await);
    assert!(!server.exists(b"any \xff bytes\r\n".as_slice()).await);
}

#[tokio::test]
async fn only_the_calls_of_others_are_counted() {
    let server = Server::start().await;
    let mut connection = server.connection().await;
    for _ in 0..5 {
        server.get("key").await;
    }
    server.reset_stats().await;
    for _ in 0..3 {
        let _: () = redis::cmd("SET")
            .arg("key")
            .arg("value")
            .query_async(&mut connection)
            .await
            .expect("set");
        assert!(server.exists("key").await);
        server.flush_scripts().await;
    }
    let _: () = redis::cmd("EVAL")
        .arg("return redis.call('GET', KEYS[1])")
        .arg(1)
        .arg("key")
        .query_async(&mut connection)
        .await
        .expect("eval");
    let expected = [("eval", 1), ("get", 1), ("set", 3)];
    let expected = expected.map(|(name, calls)| (name.to_owned(), calls));
    assert_eq!(server.command_calls().await, BTreeMap::from(expected));
    assert_eq!(server.command_calls().await.len(), 3);
    server.reset_stats().await;
    assert!(server.command_calls().await.is_empty());
}

#[tokio::test]
async fn the_helpers_ask_over_one_connection() {
    let server = Server::start().await;
    let accepted = async || {
        let info: redis::InfoDict = server.ask(redis::cmd("INFO").arg("stats")).await;
        info.get::<u64>("total_connections_received")
    };
    let before = accepted().await;
    for _ in 0..5 {
        server.get("key").await;
    }
    assert_eq!(accepted().await, before);
}

#[tokio::test]
async fn connections_are_counted_and_killed() {
    let server = Server::start().await;
    assert_eq!(server.connections().await, 0);
    let mut connection = server.connection().await;
    let _other = server.connection().await;
    assert_eq!(server.connections().await, 2);
    server.kill_clients().await;
    until(LIMIT, "all clients have gone", async || {
        server.connections().await == 0
    })
    .await;
    let ping = redis::cmd("PING")
        .query_async::<String>(&mut connection)
        .await;
    assert!(ping.is_err(), "a killed connection answered");
}

#[test]
fn the_helpers_outlive_a_runtime() {
    let server = block_on(Server::start());
    for _ in 0..3 {
        assert_eq!(block_on(server.get("key")), None);
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}
