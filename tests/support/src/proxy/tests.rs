use std::io::ErrorKind;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{RedisResult, cmd};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{AfterLoss, Proxy, bulk};
use crate::control;
use crate::server::Server;
use crate::until::until;

const LIMIT: Duration = Duration::from_secs(10);
const SHORT: Duration = Duration::from_millis(50);
const DELAY: Duration = Duration::from_millis(200);

async fn connect(proxy: &Proxy) -> RedisResult<MultiplexedConnection> {
    let client = redis::Client::open(proxy.url()).expect("a valid url");
    control::connect(&client).await
}

async fn started() -> (Server, Proxy, MultiplexedConnection) {
    let server = Server::start().await;
    let proxy = server.proxy().await;
    let connection = connect(&proxy).await.expect("connected");
    (server, proxy, connection)
}

async fn set(mut connection: MultiplexedConnection) -> RedisResult<()> {
    cmd("SET")
        .arg("key")
        .arg("value")
        .query_async(&mut connection)
        .await
}

async fn echo(mut connection: MultiplexedConnection, word: &str) -> RedisResult<String> {
    cmd("ECHO").arg(word).query_async(&mut connection).await
}

#[tokio::test]
async fn without_a_fault_it_is_not_noticed() {
    let (server, proxy, mut connection) = started().await;
    let big = "x".repeat(3_000_000);
    let _: () = cmd("SET")
        .arg("key")
        .arg(&big)
        .query_async(&mut connection)
        .await
        .expect("set");
    let back: String = cmd("GET")
        .arg("key")
        .query_async(&mut connection)
        .await
        .expect("get");
    assert!(back == big && server.exists("key").await);
    assert_eq!((proxy.connections(), proxy.accepted()), (1, 1));
    drop(connection);
    until(LIMIT, "the connection is closed", async || {
        proxy.connections() == 0
    })
    .await;
    until(LIMIT, "the server sees it closed", async || {
        server.connections().await == 0
    })
    .await;
}

#[tokio::test]
async fn a_delay_of_answers_delays_all_alike_and_keeps_their_order() {
    let (server, proxy, connection) = started().await;
    proxy.delay_answers(DELAY);
    let start = Instant::now();
    let words: Vec<String> = (0..50).map(|n| n.to_string()).collect();
    let mut echoing = Vec::new();
    for word in words.clone() {
        let connection = connection.clone();
        echoing.push(tokio::spawn(async move { echo(connection, &word).await }));
        tokio::task::yield_now().await;
    }
    for (word, echoed) in words.iter().zip(echoing) {
        assert_eq!(echoed.await.expect("ran").as_ref(), Ok(word));
    }
    let took = start.elapsed();
    assert!((DELAY..DELAY * 25).contains(&took), "{took:?} for all");
    assert!(!server.exists("key").await);
}

#[tokio::test]
async fn a_delay_of_requests_delays_what_the_server_does() {
    let (server, proxy, connection) = started().await;
    proxy.delay_requests(DELAY);
    let start = Instant::now();
    let setting = tokio::spawn(set(connection));
    proxy.wait_for_request_here(bulk("SET"), LIMIT).await;
    assert_eq!(proxy.count_requests(bulk("SET")), 0);
    assert!(!server.exists("key").await);
    proxy.wait_for_request(bulk("SET"), LIMIT).await;
    assert!(start.elapsed() >= DELAY);
    setting.await.expect("ran").expect("set");
    assert!(server.exists("key").await);
}

#[tokio::test]
async fn the_end_of_a_delay_frees_what_waits() {
    let (_server, proxy, connection) = started().await;
    proxy.delay_answers(Duration::from_secs(3600));
    let setting = tokio::spawn(set(connection));
    proxy.wait_for_answer_here("+OK", LIMIT).await;
    proxy.delay_answers(Duration::ZERO);
    setting.await.expect("ran").expect("set");
}

#[tokio::test]
async fn stalled_requests_reach_the_server_in_order_once_released() {
    let (server, proxy, connection) = started().await;
    proxy.stall_requests(true);
    let setting = set(connection.clone());
    tokio::pin!(setting);
    assert!(timeout(SHORT, &mut setting).await.is_err());
    assert!(!server.exists("key").await);
    proxy.stall_requests(false);
    setting.await.expect("set");
    assert!(server.exists("key").await);
}

#[tokio::test]
async fn a_stalled_request_of_a_client_that_has_gone_still_arrives() {
    let (server, proxy, connection) = started().await;
    proxy.stall_requests(true);
    let setting = tokio::spawn(set(connection));
    proxy.wait_for_request_here(bulk("SET"), LIMIT).await;
    setting.abort();
    assert!(setting.await.is_err());
    proxy.stall_requests(false);
    until(LIMIT, "the orphan is there", async || {
        server.exists("key").await
    })
    .await;
}

#[tokio::test]
async fn what_is_stuck_on_one_connection_holds_up_no_later_one() {
    let (server, proxy, connection) = started().await;
    proxy.stall_connections(0..1);
    let stuck = tokio::spawn(set(connection));
    proxy.wait_for_request_here(bulk("SET"), LIMIT).await;
    let later = connect(&proxy).await.expect("connected");
    assert_eq!(echo(later, "word").await.expect("answered"), "word");
    assert!(!stuck.is_finished() && !server.exists("key").await);
    proxy.let_go(LIMIT).await;
    assert_eq!(proxy.count_requests(bulk("SET")), 1);
    stuck.await.expect("no panic").expect("answered");
    assert!(server.exists("key").await);
}

#[tokio::test]
async fn what_is_stuck_arrives_after_its_client_has_gone() {
    let (server, proxy, connection) = started().await;
    proxy.stall_connections(0..1);
    assert!(timeout(SHORT, set(connection)).await.is_err());
    assert!(!server.exists("key").await);
    proxy.let_go(LIMIT).await;
    until(LIMIT, "it is executed", async || server.exists("key").await).await;
}

#[tokio::test]
async fn stalled_answers_come_once_released() {
    let (server, proxy, connection) = started().await;
    proxy.stall_answers(true);
    let setting = set(connection);
    tokio::pin!(setting);
    assert!(timeout(SHORT, &mut setting).await.is_err());
    assert!(
        server.exists("key").await,
        "the request should have gone through"
    );
    proxy.stall_answers(false);
    setting.await.expect("set");
}

#[tokio::test]
async fn a_cut_ends_open_connections_and_no_others() {
    let (server, proxy, connection) = started().await;
    let idle = connect(&proxy).await.expect("connected");
    proxy.stall_answers(true);
    let setting = tokio::spawn(set(connection));
    proxy.wait_for_request(bulk("SET"), LIMIT).await;
    proxy.cut().await;
    assert_eq!(proxy.connections(), 0);
    let error = setting.await.expect("ran").expect_err("cut");
    assert!(error.is_connection_dropped(), "{error:?}");
    assert!(echo(idle, "word").await.is_err());
    until(LIMIT, "the request was executed", async || {
        server.exists("key").await
    })
    .await;

    proxy.stall_answers(false);
    let new = connect(&proxy).await.expect("connected again");
    assert_eq!(echo(new, "word").await.expect("answered"), "word");
}

#[tokio::test]
async fn a_cut_loses_what_was_held_back() {
    let (server, proxy, connection) = started().await;
    proxy.stall_requests(true);
    let setting = tokio::spawn(set(connection));
    proxy.wait_for_request_here(bulk("SET"), LIMIT).await;
    proxy.cut().await;
    assert!(setting.await.expect("ran").is_err());
    proxy.stall_requests(false);
    until(LIMIT, "the server sees it closed", async || {
        server.connections().await == 0
    })
    .await;
    assert!(!server.exists("key").await);
}

#[tokio::test]
async fn a_cut_resets_the_client() {
    let server = Server::start().await;
    let proxy = server.proxy().await;
    let mut client = TcpStream::connect(("127.0.0.1", proxy.port()))
        .await
        .expect("connected");
    client.write_all(b"PING\r\n").await.expect("asked");
    proxy.wait_for_answer_here("PONG", LIMIT).await;
    proxy.cut().await;
    let mut answer = Vec::new();
    let end = client.read_to_end(&mut answer).await;
    assert_eq!(end.map_err(|e| e.kind()), Err(ErrorKind::ConnectionReset));
}

#[tokio::test]
async fn all_that_had_gone_through_before_a_cut_is_executed() {
    let (server, proxy, connection) = started().await;
    server.stop_process();
    // More than the server reads at once: after its first answers it must find the rest.
    let setting = tokio::spawn(async move {
        let mut connection = connection;
        let mut pipe = redis::pipe();
        for number in 0..1000 {
            pipe.cmd("SET").arg(number).arg("x".repeat(50));
        }
        pipe.cmd("SET").arg("last").arg("value");
        pipe.query_async::<()>(&mut connection).await
    });
    proxy.wait_for_request(bulk("last"), LIMIT).await;
    proxy.cut().await;
    assert!(setting.await.expect("ran").is_err());
    server.continue_process();
    until(LIMIT, "the last is executed", async || {
        server.exists("last").await
    })
    .await;
}

#[tokio::test]
async fn refusing_refuses_new_connections_only() {
    let (_server, proxy, connection) = started().await;
    for _ in 0..3 {
        proxy.refuse(true).await;
        let error = connect(&proxy).await.expect_err("refused");
        assert!(error.is_connection_refusal(), "{error:?}");
        assert!(echo(connection.clone(), "word").await.is_ok());
        proxy.refuse(false).await;
        assert!(connect(&proxy).await.is_ok());
    }
}

#[tokio::test]
async fn dropped_answers_never_come_and_their_connection_stays_silent() {
    let (server, proxy, connection) = started().await;
    proxy.drop_answers(true);
    assert!(timeout(SHORT, set(connection.clone())).await.is_err());
    until(LIMIT, "it was executed", async || {
        server.exists("key").await
    })
    .await;
    until(LIMIT, "its answer is lost", async || {
        proxy.lost_answers() == 1
    })
    .await;
    proxy.drop_answers(false);
    assert!(
        timeout(SHORT, echo(connection.clone(), "word"))
            .await
            .is_err()
    );
    until(LIMIT, "both are lost", async || proxy.lost_answers() == 2).await;
    assert_eq!(proxy.count_answers("word"), 0);
    let new = connect(&proxy).await.expect("connected again");
    assert!(echo(new, "word").await.is_ok());
}

#[tokio::test]
async fn one_answer_is_lost_and_the_connection_cut() {
    let (server, proxy, connection) = started().await;
    proxy.drop_next_answer(bulk("SET"), AfterLoss::Cut);
    assert!(echo(connection.clone(), "word").await.is_ok());
    let error = set(connection).await.expect_err("the answer is lost");
    assert!(error.is_connection_dropped(), "{error:?}");
    assert!(server.exists("key").await);
    let new = connect(&proxy).await.expect("connected again");
    set(new).await.expect("only one answer is lost");
    assert_eq!(proxy.lost_answers(), 1);
    assert_eq!(proxy.count_requests(bulk("SET")), 2);
    assert_eq!(proxy.count_answers("word"), 1);
    proxy.forget();
    assert_eq!(proxy.count_requests(bulk("SET")), 0);
}

#[tokio::test]
async fn one_answer_is_lost_in_silence() {
    let (server, proxy, connection) = started().await;
    proxy.drop_next_answer(bulk("SET"), AfterLoss::Silence);
    assert!(timeout(SHORT, set(connection.clone())).await.is_err());
    until(LIMIT, "it was executed", async || {
        server.exists("key").await
    })
    .await;
    assert!(
        timeout(SHORT, echo(connection.clone(), "word"))
            .await
            .is_err()
    );
    assert_eq!(proxy.connections(), 1);
}

#[tokio::test]
async fn it_closes_the_connections_of_a_dead_server() {
    let (server, proxy, connection) = started().await;
    server.kill();
    assert!(echo(connection, "word").await.is_err());
    assert!(connect(&proxy).await.is_err());
    server.restart().await;
    assert!(connect(&proxy).await.is_ok());
}

#[tokio::test]
#[should_panic(expected = "no request with \"PIGS\"")]
async fn it_says_which_request_never_came() {
    let (_server, proxy, _connection) = started().await;
    proxy.wait_for_request("PIGS", SHORT).await;
}
