//! Connections with TLS: with and without client certificates, and what is said when it fails.

#[path = "tls/renewed.rs"]
mod renewed;
#[cfg(feature = "sentinel")]
#[path = "tls/sentinels.rs"]
mod sentinels;

use std::time::Duration;

use redis_locked::{LockError, Locker, LockerBuilder};
use redis_locked_test_support::{Authority, Server, servers_have_tls, until};
use tokio::time::timeout;

const TTL: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(20);

/// A server with TLS, whose clients need a certificate or not; `None` where it is built without.
async fn server(authority: &Authority, clients: &str) -> Option<Server> {
    if !servers_have_tls() {
        eprintln!("skipped: this server is built without TLS");
        return None;
    }
    let builder = Server::builder().tls(authority, &["localhost", "127.0.0.1"]);
    Some(builder.arg("tls-auth-clients", clients).start().await)
}

fn url(server: &Server) -> String {
    format!("rediss://localhost:{}", server.tls_port())
}

fn trusting(authority: &Authority) -> LockerBuilder {
    Locker::builder().root_certificate(authority.pem())
}

/// What it says when it can't connect, and the cause.
async fn refusal(builder: LockerBuilder, url: &str) -> String {
    let error = builder.connect(url).await.expect_err("refused");
    assert!(error.is_backend(), "{error:?}");
    let cause = std::error::Error::source(&error).expect("a cause");
    format!("{error} | {cause}")
}

/// Locks, is busy for the other, and is released.
async fn works(locker: &Locker, other: &Locker) {
    let guard = locker
        .lock("k")
        .ttl(TTL)
        .fenced()
        .acquire()
        .await
        .expect("free");
    let error = other.lock("k").acquire().await.expect_err("held");
    assert!(error.is_busy(), "{error}");
    guard.release().await.expect("ours");
    let guard = other
        .lock("k")
        .ttl(TTL)
        .acquire()
        .await
        .expect("free again");
    guard.release().await.expect("ours");
}

#[tokio::test]
async fn locks_over_tls_and_without_exclude_each_other() {
    let authority = Authority::new();
    let Some(server) = server(&authority, "no").await else {
        return;
    };
    let locker = trusting(&authority)
        .connect(&url(&server))
        .await
        .expect("connected");
    let plain = Locker::connect(&server.url()).await.expect("connected");
    works(&locker, &plain).await;
    works(&plain, &locker).await;
}

#[tokio::test]
async fn a_client_is_let_in_with_its_certificate_only() {
    let authority = Authority::new();
    let Some(server) = server(&authority, "yes").await else {
        return;
    };
    let own = authority.sign(&["client"]);
    let builder = trusting(&authority).client_certificate(own.certificate, own.key);
    let locker = builder.connect(&url(&server)).await.expect("connected");
    works(&locker, &locker.clone()).await;

    let said = refusal(trusting(&authority), &url(&server)).await;
    assert!(said.contains("or asks for one"), "{said}");
    assert!(said.contains("`client_certificate`"), "{said}");

    let other = Authority::new().sign(&["client"]);
    let builder = trusting(&authority).client_certificate(other.certificate, other.key);
    let said = refusal(builder, &url(&server)).await;
    assert!(said.contains("refused the client's certificate"), "{said}");
}

#[tokio::test]
async fn a_server_that_nobody_trusted_has_signed_is_refused() {
    let authority = Authority::new();
    let Some(server) = server(&authority, "no").await else {
        return;
    };
    for builder in [trusting(&Authority::new()), Locker::builder()] {
        let said = refusal(builder, &url(&server)).await;
        assert!(said.contains("no trusted authority has signed"), "{said}");
        assert!(said.contains("`root_certificate`"), "{said}");
    }
}

#[tokio::test]
async fn a_certificate_for_another_name_is_refused() {
    if !servers_have_tls() {
        return;
    }
    let authority = Authority::new();
    let builder = Server::builder().tls(&authority, &["elsewhere"]);
    let server = builder.arg("tls-auth-clients", "no").start().await;
    let said = refusal(trusting(&authority), &url(&server)).await;
    assert!(said.contains("is for another name or address"), "{said}");
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_named() {
    let authority = Authority::new();
    let server = Server::start().await;
    let url = format!("rediss://localhost:{}", server.port());
    let said = refusal(trusting(&authority), &server.url()).await;
    assert!(
        said.contains("write rediss:// instead of redis://"),
        "{said}"
    );
    let said = refusal(Locker::builder().root_certificate("none"), &url).await;
    assert!(
        said.contains("the root certificate cannot be read"),
        "{said}"
    );
    let own = authority.sign(&["client"]);
    let builder = Locker::builder().client_certificate(own.certificate, "none");
    let said = refusal(builder, &url).await;
    assert!(said.contains("client's certificate or its key"), "{said}");
}

/// Each is asked in a way that it does not speak.
#[tokio::test]
async fn where_one_side_alone_speaks_tls() {
    let plain = Server::start().await;
    let short = Locker::builder().connection_timeout(TTL / 20);
    let url_of_plain = format!("rediss://localhost:{}", plain.port());
    let said = refusal(short.clone(), &url_of_plain).await;
    assert!(said.contains("does not speak TLS"), "{said}");
    assert!(
        said.contains(&format!("localhost:{}", plain.port())),
        "{said}"
    );

    let authority = Authority::new();
    let Some(server) = server(&authority, "no").await else {
        return;
    };
    let url_of_tls = format!("redis://localhost:{}", server.tls_port());
    let said = refusal(short, &url_of_tls).await;
    assert!(
        said.contains("write rediss:// instead of redis://"),
        "{said}"
    );
}

/// Who waits is told over TLS that the lock is free.
#[tokio::test]
async fn waiting_is_woken_over_tls() {
    let authority = Authority::new();
    let Some(server) = server(&authority, "no").await else {
        return;
    };
    let locker = trusting(&authority)
        .connect(&url(&server))
        .await
        .expect("connected");
    assert!(server.set_nx_px("k", "theirs", 60_000).await);
    let waiting = tokio::spawn(locker.lock("k").wait(TTL).acquire());
    until(LIMIT, "its connection tracks", async || {
        tracks(&server).await
    })
    .await;
    server.del("k").await;
    let guard = timeout(LIMIT, waiting)
        .await
        .expect("woken")
        .expect("no panic");
    guard.expect("free").release().await.expect("ours");
}

async fn tracks(server: &Server) -> bool {
    let mut connection = server.connection().await;
    let mut list = redis::cmd("CLIENT");
    let list: String = list
        .arg("LIST")
        .query_async(&mut connection)
        .await
        .expect("answers");
    let port = format!(":{} ", server.tls_port());
    let tracks = |line: &str| {
        line.contains(&port) && (line.contains("flags=t") || line.contains("flags=Pt"))
    };
    list.lines().any(tracks)
}

#[tokio::test]
async fn a_renewed_lock_outlives_its_connection_over_tls() {
    let authority = Authority::new();
    let Some(server) = server(&authority, "no").await else {
        return;
    };
    let locker = trusting(&authority)
        .connect(&url(&server))
        .await
        .expect("connected");
    let ttl = Duration::from_secs(2);
    let body = async {
        for _ in 0..4 {
            server.kill_clients().await;
            tokio::time::sleep(ttl / 2).await;
        }
    };
    let request = locker.lock("k").ttl(ttl).renew();
    request.run(body).await.expect("held all the time");
}

#[tokio::test]
async fn a_quorum_over_tls() -> Result<(), LockError> {
    let authority = Authority::new();
    let mut servers = Vec::new();
    for _ in 0..3 {
        let Some(server) = server(&authority, "yes").await else {
            return Ok(());
        };
        servers.push(server);
    }
    let own = authority.sign(&["client"]);
    let builder = trusting(&authority).client_certificate(own.certificate, own.key);
    let urls: Vec<_> = servers.iter().map(url).collect();
    let builder = builder.server_timeout(Duration::from_secs(2));
    let locker = builder.connect_quorum(&urls).await?;
    let guard = locker.lock("k").ttl(TTL).acquire().await?;
    assert!(
        locker
            .lock("k")
            .acquire()
            .await
            .expect_err("held")
            .is_busy()
    );
    guard.release().await
}

/// A cluster of one node, whose clients need a certificate.
#[cfg(feature = "cluster")]
async fn cluster(authority: &Authority) -> Server {
    let builder = Server::builder().tls(authority, &["localhost", "127.0.0.1"]);
    let builder = builder.cluster_node().arg("tls-cluster", "yes");
    let server = builder
        .arg("cluster-require-full-coverage", "no")
        .start()
        .await;
    let mut connection = server.connection().await;
    let mut slots = redis::cmd("CLUSTER");
    slots.arg("ADDSLOTSRANGE").arg(0).arg(16_383);
    slots
        .query_async::<()>(&mut connection)
        .await
        .expect("no slot is taken");
    until(LIMIT, "the cluster is up", async || {
        let mut connection = connection.clone();
        let mut info = redis::cmd("CLUSTER");
        let info = info.arg("INFO").query_async::<String>(&mut connection);
        info.await.expect("answers").contains("cluster_state:ok")
    })
    .await;
    server
}

/// A cluster of one node, which is reached with TLS only after its slots were asked for with TLS.
#[cfg(feature = "cluster")]
#[tokio::test]
async fn a_cluster_over_tls() -> Result<(), LockError> {
    if !servers_have_tls() {
        return Ok(());
    }
    let authority = Authority::new();
    let server = cluster(&authority).await;
    let own = authority.sign(&["client"]);
    let builder = trusting(&authority).client_certificate(own.certificate, own.key);
    let urls = [format!("rediss://127.0.0.1:{}", server.tls_port())];
    let locker = builder.connect_cluster(&urls).await?;
    let guard = locker.lock("k").ttl(TTL).acquire().await?;
    assert!(
        locker
            .lock("k")
            .acquire()
            .await
            .expect_err("held")
            .is_busy()
    );
    let waiting = tokio::spawn(locker.lock("k").wait(TTL).acquire());
    guard.release().await?;
    timeout(LIMIT, waiting)
        .await
        .expect("woken")
        .expect("no panic")?
        .release()
        .await
}
