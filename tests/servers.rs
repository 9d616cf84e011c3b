//! Servers that are not what they seem: found when connecting, or said by the request that meets it.

mod common;

use std::time::Duration;

use common::{LIMIT, locker_at, redis};
use redis_locked::{LockError, Locker};
use redis_locked_test_support::{AfterLoss, Cluster, FakeAnswers, Pair, Server, bulk, until};
use tokio::time::timeout;

const TTL: Duration = Duration::from_secs(60);

/// What `docs/acl.md` grants for `wait`, and nothing that a server could be asked by what it is.
const RIGHTS: &str = "~* +ping +set +get +pttl +pexpire +del +evalsha +eval +client|tracking";

/// The URL for a user with only these rights.
async fn restricted(server: &Server, port: u16, rights: &str) -> String {
    let mut user = redis::cmd("ACL");
    user.arg("SETUSER").arg("app");
    user.arg("reset").arg("on").arg(">secret");
    user.arg(rights.split(' ').collect::<Vec<_>>());
    let mut connection = server.connection().await;
    user.exec_async(&mut connection).await.expect("granted");
    format!("redis://app:secret@127.0.0.1:{port}")
}

/// Refused when connecting, as a mistake in the program, with these words.
fn refused(connected: Result<Locker, LockError>, words: &[&str]) {
    let error = connected.expect_err("refused");
    assert!(matches!(error, LockError::InvalidRequest { .. }), "{error}");
    let text = error.to_string();
    for part in words {
        assert!(text.contains(part), "{text}");
    }
}

async fn quorum(urls: Vec<String>) -> Result<Locker, LockError> {
    let builder = Locker::builder().server_timeout(LIMIT / 20);
    builder.connect_quorum(urls).await
}

#[tokio::test]
async fn a_node_of_a_cluster_is_no_single_server() {
    let cluster = Cluster::start().await;
    for url in cluster.urls() {
        let words = [
            "is a node of a cluster",
            "`LockerBuilder::connect_cluster`",
            "--cluster",
        ];
        refused(Locker::connect(&url).await, &words);
    }
}

#[tokio::test]
async fn a_lone_node_that_has_all_slots_serves_as_a_single_server() {
    let server = Server::builder().cluster_node().start().await;
    let mut connection = server.connection().await;
    let mut slots = redis::cmd("CLUSTER");
    slots.arg("ADDSLOTSRANGE").arg(0).arg(16_383);
    slots.exec_async(&mut connection).await.expect("its own");
    until(LIMIT, "the cluster is up", async || {
        let mut set = redis::cmd("SET");
        set.arg("up").arg("").arg("PX").arg(1);
        set.exec_async(&mut server.connection().await).await.is_ok()
    })
    .await;
    let locker = locker_at(&server.url()).await;
    for key in ["a", "b", "c"] {
        let held = locker.lock(key).fenced().acquire().await.expect("free");
        let waiting = tokio::spawn(locker.lock(key).wait(LIMIT).run(async {}));
        held.release().await.expect("ours");
        waiting.await.expect("no panic").expect("free");
    }
}

#[tokio::test]
async fn where_nobody_may_ask_a_key_of_another_node_says_what_the_server_is() {
    let cluster = Cluster::start().await;
    let keys = cluster.a_key_per_master("k").await;
    let node = cluster.node(cluster.master_of(&keys[0]).await);
    let url = restricted(node, node.port(), RIGHTS).await;
    let locker = locker_at(&url).await;
    locker.lock(&keys[0]).run(async {}).await.expect("its own");
    for request in [
        locker.lock(&keys[1]).retries(50),
        locker.lock(&keys[1]).wait(LIMIT),
        locker.lock(&keys[1]).wait_forever(),
    ] {
        let error = timeout(LIMIT, request.acquire()).await;
        let error = error.expect("it does not pass").expect_err("elsewhere");
        let text = error.to_string();
        for part in ["a node of a cluster", "tried once", "use `connect_cluster`"] {
            assert!(text.contains(part), "{text}");
        }
    }
}

#[tokio::test]
async fn one_server_at_two_addresses_is_no_quorum() {
    let server = Server::start().await;
    let other = Server::start().await;
    let proxy = server.proxy().await;
    for urls in [
        vec![server.url(), proxy.url()],
        vec![server.url(), proxy.url(), other.url()],
        vec![other.url(), proxy.url(), server.url()],
    ] {
        refused(quorum(urls).await, &["are one server", "leave one out"]);
    }
}

/// The servers don't say which they are, so nobody sees it before the votes are counted.
#[tokio::test]
async fn one_server_has_one_vote() {
    let server = Server::start().await;
    let proxy = server.proxy().await;
    let urls = [
        restricted(&server, server.port(), RIGHTS).await,
        restricted(&server, proxy.port(), RIGHTS).await,
    ];
    let third = Server::start().await;
    let locker = quorum([&urls[..], &[third.url()]].concat()).await;
    let locker = locker.expect("nobody could tell");
    third.kill();
    for request in [
        locker.lock("k"),
        locker.lock("k").retries(2),
        locker.lock("k").wait(LIMIT / 10),
    ] {
        let error = request.ttl(TTL).acquire().await.expect_err("one of three");
        assert!(!error.is_lost(), "{error}");
    }
    locker.shutdown().await;
    assert!(!server.exists("k").await);
    let error = locker.lock("k").wait(LIMIT / 20).acquire().await;
    let text = error.expect_err("one of three").to_string();
    assert!(text.contains("through another of the URLs"), "{text}");

    third.restart().await;
    let two_of_three = locker.lock("k").ttl(TTL).wait(LIMIT).acquire().await;
    let guard = two_of_three.expect("two servers of three addresses");
    guard.release().await.expect("ours");
}

#[tokio::test]
async fn a_replica_has_no_vote() {
    let pair = Pair::start().await;
    let other = Server::start().await;
    let urls = vec![pair.master.url(), pair.replica.url(), other.url()];
    refused(quorum(urls).await, &["is a replica", "leave it out"]);

    // That much every user may ask.
    let url = restricted(&pair.replica, pair.replica.port(), RIGHTS).await;
    let urls = vec![pair.master.url(), url, other.url()];
    refused(quorum(urls).await, &["is a replica", "leave it out"]);
}

#[tokio::test]
async fn a_node_of_a_cluster_has_no_vote() {
    let cluster = Cluster::start().await;
    let others = [Server::start().await, Server::start().await];
    let urls = [others[0].url(), others[1].url(), cluster.node(0).url()];
    refused(quorum(urls.into()).await, &["is a node of a cluster"]);
}

#[tokio::test]
async fn a_server_that_runs_no_scripts_is_found_when_connecting() {
    for answer in [
        "ERR unknown command 'EVALSHA', with args beginning with: 'abc' '1' 'k' ",
        "ERR unsupported command 'evalsha'",
        "ERR unknown command `EVAL`, with args beginning with: ",
    ] {
        let server = FakeAnswers::error(answer).await;
        let error = Locker::connect(&server.url()).await.expect_err("refused");
        assert!(error.is_backend(), "{error}");
        let text = error.to_string();
        for part in [
            "the locker could not be connected",
            "runs no scripts",
            "EVAL",
        ] {
            assert!(text.contains(part), "{text}");
        }
        let urls = vec![server.url(), format!("{}/1", server.url())];
        assert!(quorum(urls).await.is_err());
    }
    let server = Server::start().await;
    for right in ["evalsha", "eval"] {
        server.flush_scripts().await;
        let rights = format!("{RIGHTS} -{right}");
        let url = restricted(&server, server.port(), &rights).await;
        let error = Locker::connect(&url).await.expect_err("refused");
        let text = error.to_string();
        assert!(text.contains(&format!("'{right}'")), "{text}");
    }
    // What may pass, or is about this key, says nothing of scripts.
    for answer in ["LOADING loading", "BUSY busy", "ERR upstream failure"] {
        let server = FakeAnswers::error(answer).await;
        Locker::connect(&server.url()).await.expect("it may pass");
    }
    let elsewhere = RIGHTS.replace("~*", "~jobs:*");
    let url = restricted(&server, server.port(), &elsewhere).await;
    Locker::connect(&url).await.expect("other keys are granted");
}

/// A proxy that closes the connection when it is asked what it does not know.
#[tokio::test]
async fn a_connection_that_breaks_when_asked_what_the_server_is_does_no_harm() {
    let (server, _) = redis().await;
    let proxy = server.proxy().await;
    let builder = Locker::builder().response_timeout(LIMIT / 40);
    proxy.drop_next_answer(bulk("HELLO"), AfterLoss::Cut);
    let locker = builder.connect(&proxy.url()).await.expect("connected");
    assert_eq!(proxy.lost_answers(), 1);
    locker.lock("k").run(async {}).await.expect("free");
}
