//! Servers that are announced by addresses which lead nowhere from here.

use std::error::Error;
use std::time::Duration;

use redis_locked::{LockError, Locker, LockerBuilder};
use redis_locked_test_support::{
    Authority, Cluster, FakeAnswers, Sentinels, Server, servers_have_tls, until,
};

/// Longer than anything takes that is awaited, also on a machine that runs too many tests at once.
const LIMIT: Duration = Duration::from_secs(20);
/// Nobody listens there.
const NOWHERE: &str = "127.0.0.77";

fn builder() -> LockerBuilder {
    Locker::builder()
        .connection_timeout(LIMIT)
        .response_timeout(LIMIT)
}

async fn works(locker: &Locker, key: &str) -> Result<(), LockError> {
    let guard = locker.lock(key).fenced().acquire().await?;
    let busy = locker.lock(key).acquire().await.expect_err("held");
    assert!(busy.is_busy(), "{busy}");
    guard.release().await?;
    Ok(())
}

fn names(error: &LockError, address: &str) {
    let text = error.to_string();
    assert!(error.is_backend(), "{text}");
    assert!(text.contains(address), "{text}");
    assert!(text.contains("`address_map`"), "{text}");
}

/// A cluster with some nodes that tell clients to come to where nobody is.
async fn cluster_with(elsewhere: &[usize]) -> Cluster {
    let cluster = Cluster::start().await;
    for number in 0..6 {
        let node = cluster.node(number);
        let is_elsewhere = elsewhere.contains(&number);
        let host = if is_elsewhere { NOWHERE } else { "127.0.0.1" };
        node.set("cluster-announce-hostname", host).await;
        node.set("cluster-preferred-endpoint-type", "hostname")
            .await;
    }
    // A node that has not heard of another's host yet says "?".
    until(LIMIT, "all nodes know all hosts", async || {
        for number in 0..6 {
            let mut connection = cluster.node(number).connection().await;
            let mut known = redis::cmd("CLUSTER");
            let known = known.arg("NODES").query_async::<String>(&mut connection);
            if known.await.expect("answers").matches(",127.0.0.").count() < 6 {
                return false;
            }
        }
        true
    })
    .await;
    cluster
}

#[tokio::test]
async fn a_cluster_whose_nodes_are_announced_elsewhere() -> Result<(), Box<dyn Error>> {
    let cluster = cluster_with(&[0, 1, 2, 3, 4, 5]).await;
    let error = builder().connect_cluster(cluster.urls()).await;
    let error = error.expect_err("only the seeds can be reached");
    names(&error, &format!("announces a node at {NOWHERE}:"));
    assert!(
        error.to_string().contains("refused the connection"),
        "{error}"
    );

    let ports = (0..6).map(|number| cluster.node(number).port());
    let map = ports.map(|port| (format!("{NOWHERE}:{port}"), format!("127.0.0.1:{port}")));
    let mapped = builder().address_map(map);
    let locker = mapped.connect_cluster(&cluster.urls()[..1]).await?;
    let keys = cluster.a_key_per_master("k").await;
    for key in &keys {
        works(&locker, key).await?;
    }
    // Who waits is told by a node as well.
    let guard = locker.lock(&keys[0]).acquire().await?;
    let waiting = tokio::spawn(locker.lock(&keys[0]).wait(LIMIT).acquire());
    let owner = cluster.node(cluster.master_of(&keys[0]).await);
    owner.wait_until_tracking(LIMIT).await;
    guard.release().await?;
    waiting.await??.release().await?;
    Ok(())
}

/// Each node for itself: the others go on.
#[tokio::test]
async fn a_node_of_a_cluster_that_is_announced_elsewhere() -> Result<(), Box<dyn Error>> {
    let cluster = cluster_with(&[0, 1]).await;
    let keys = cluster.a_key_per_master("k").await;
    let locker = builder().connect_cluster(cluster.urls()).await?;
    let mut elsewhere = 0;
    for key in &keys {
        let port = cluster.node(cluster.master_of(key).await).port();
        match works(&locker, key).await {
            Ok(()) => {}
            Err(error) => {
                names(&error, &format!("{NOWHERE}:{port}"));
                elsewhere += 1;
            }
        }
    }
    assert_eq!(elsewhere, 2);
    Ok(())
}

#[tokio::test]
async fn a_master_that_sentinels_announce_elsewhere() -> Result<(), Box<dyn Error>> {
    let server = Server::start().await;
    let port = server.port();
    let sentinel = FakeAnswers::with(move |question| match question[1].as_str() {
        "MASTER" => "*2\r\n$12\r\nconfig-epoch\r\n$1\r\n1".to_owned(),
        _ => format!(
            "*2\r\n$10\r\n{NOWHERE}\r\n${}\r\n{port}",
            port.to_string().len()
        ),
    })
    .await;
    let sentinels = [sentinel.url()];
    let error = builder().connect_sentinel(&sentinels, "mymaster").await;
    let error = error.expect_err("nobody is there");
    names(&error, &format!("announce the master at {NOWHERE}:{port}"));
    assert!(
        error.to_string().contains("refused the connection"),
        "{error}"
    );

    let mapped =
        builder().address_map([(format!("{NOWHERE}:{port}"), format!("127.0.0.1:{port}"))]);
    let locker = mapped.connect_sentinel(&sentinels, "mymaster").await?;
    works(&locker, "k").await?;
    // Also after the connection is opened again, with the one that tracks.
    server.kill_clients().await;
    let guard = locker.lock("k").acquire().await?;
    let waiting = tokio::spawn(locker.lock("k").wait(LIMIT).acquire());
    server.wait_until_tracking(LIMIT).await;
    guard.release().await?;
    waiting.await??.release().await?;
    Ok(())
}

/// Real sentinels announce what reaches the master, and the way through a proxy is as good.
#[tokio::test]
async fn each_master_of_real_sentinels_is_reached_where_the_map_says() -> Result<(), Box<dyn Error>>
{
    let sentinels = Sentinels::start().await;
    let mut proxies = Vec::new();
    for number in 0..3 {
        proxies.push(sentinels.server(number).proxy().await);
    }
    let map = (0..3).map(|number| {
        let announced = sentinels.server(number).port();
        let reachable = proxies[number].port();
        (
            format!("127.0.0.1:{announced}"),
            format!("127.0.0.1:{reachable}"),
        )
    });
    let mapped = builder().address_map(map);
    let locker = mapped
        .connect_sentinel(sentinels.urls(), sentinels.name())
        .await?;
    works(&locker, "k").await?;
    let first = sentinels.master().await;
    assert!(proxies[first].accepted() > 0);
    let second = sentinels.fail_over().await;
    assert_ne!(first, second);
    // The old master takes writes until it hears of it.
    sentinels.server(first).kill_clients().await;
    until(LIMIT, "the new master is reached", async || {
        if let Ok(guard) = locker.lock("k").acquire().await {
            let _ = guard.release().await;
        }
        proxies[second].accepted() > 0
    })
    .await;
    works(&locker, "k").await?;
    Ok(())
}

/// The certificate has a name, and the cluster announces an address.
#[tokio::test]
async fn an_address_that_no_certificate_names() -> Result<(), Box<dyn Error>> {
    if !servers_have_tls() {
        eprintln!("skipped: this server is built without TLS");
        return Ok(());
    }
    let authority = Authority::new();
    let node = Server::builder().tls(&authority, &["localhost"]);
    let node = node.cluster_node().arg("tls-cluster", "yes");
    let node = node.arg("tls-auth-clients", "no").start().await;
    let mut connection = node.connection().await;
    let mut slots = redis::cmd("CLUSTER");
    let slots = slots.arg("ADDSLOTSRANGE").arg(0).arg(16_383);
    slots.query_async::<()>(&mut connection).await?;
    node.set("cluster-announce-ip", "127.0.0.1").await;
    until(LIMIT, "the cluster is up", async || {
        let mut connection = connection.clone();
        let mut info = redis::cmd("CLUSTER");
        let info = info.arg("INFO").query_async::<String>(&mut connection);
        info.await.expect("answers").contains("cluster_state:ok")
    })
    .await;
    let port = node.tls_port();
    let urls = [format!("rediss://localhost:{port}")];
    let builder = builder().root_certificate(authority.pem());
    let error = builder
        .clone()
        .connect_cluster(&urls)
        .await
        .expect_err("no such name");
    names(&error, &format!("announces a node at 127.0.0.1:{port}"));
    assert!(error.to_string().contains("is for another name"), "{error}");
    let map = [(format!("127.0.0.1:{port}"), format!("localhost:{port}"))];
    let locker = builder.address_map(map).connect_cluster(&urls).await?;
    works(&locker, "k").await?;
    Ok(())
}

#[tokio::test]
async fn a_map_of_what_is_no_address_is_refused() {
    let server = Server::start().await;
    for (from, to) in [
        ("10.0.0.1", "10.0.0.2:1"),
        ("10.0.0.1:1", "redis://10.0.0.2:1"),
    ] {
        let builder = builder().address_map([(from, to)]);
        let error = builder
            .connect_cluster([server.url()])
            .await
            .expect_err("refused");
        let text = error.to_string();
        assert!(
            text.contains("address_map") && text.contains("host:port"),
            "{text}"
        );
    }
}

/// As an address behind a firewall does, which swallows all.
#[tokio::test]
async fn a_node_of_a_cluster_where_nobody_answers() -> Result<(), Box<dyn Error>> {
    let cluster = Cluster::start().await;
    let keys = cluster.a_key_per_master("k").await;
    let silent = cluster.node(cluster.master_of(&keys[0]).await);
    let proxy = silent.proxy().await;
    proxy.stall_requests(true);
    let announced = format!("127.0.0.1:{}", silent.port());
    let map = [(announced.clone(), format!("127.0.0.1:{}", proxy.port()))];
    let builder = Locker::builder().address_map(map);
    let locker = builder.connect_cluster(cluster.urls()).await?;
    // redis-rs may hold up the others for a moment while it looks for the node.
    let patient = |key| locker.lock(key).retries(100).backoff(LIMIT / 200);
    for key in &keys[1..] {
        let guard = patient(key).fenced().acquire().await?;
        until(LIMIT, "it is busy", async || {
            let second = locker.lock(key).acquire().await;
            second.is_err_and(|error| error.is_busy())
        })
        .await;
        drop(guard);
    }
    let error = locker.lock(&keys[0]).acquire().await.expect_err("silent");
    names(&error, &announced);
    // Those that were dropped are free, long before their ttl is over.
    for key in &keys[1..] {
        drop(patient(key).acquire().await?);
    }
    proxy.stall_requests(false);
    patient(&keys[0]).acquire().await?.release().await?;
    Ok(())
}
