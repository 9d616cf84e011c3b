//! What the guide's page on deploys says of stopping, connections and maintenance.

mod common;

use std::error::Error;
use std::future::pending;
use std::time::Duration;

use common::{LIMIT, locker_at, redis};
use futures_util::future::join_all;
use redis_locked::{LockError, Locker};
#[cfg(feature = "cluster")]
use redis_locked_test_support::Cluster;
use redis_locked_test_support::{Server, until};
use tokio::sync::oneshot;
use tokio::time::sleep;

const TTL: Duration = Duration::from_secs(60);

/// The page's `serve`: the body, then its lock, are dropped, and the releases waited for.
#[tokio::test]
async fn a_program_that_is_told_to_stop_leaves_nothing_behind() {
    let (server, locker) = redis().await;
    let (sender, begun) = oneshot::channel();
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(async move {
        let body = async {
            sender.send(()).expect("awaited");
            pending::<()>().await;
        };
        tokio::select! {
            _ = locker.lock("import").ttl(TTL).renew().run(body) => {}
            _ = stopped => {}
        }
        locker.shutdown().await;
    });
    begun.await.expect("it runs");
    assert!(server.exists("import").await);
    stop.send(()).expect("it listens");
    serving.await.expect("no panic");
    assert!(!server.exists("import").await);
    until(LIMIT, "its connections are closed", async || {
        server.connections().await == 0
    })
    .await;
}

/// A caller waits for a lock which is busy, until there are the connections that there should be.
async fn waits(locker: &Locker, are_there: impl AsyncFnMut() -> bool) {
    let held = locker.lock("busy").ttl(TTL).acquire().await.expect("free");
    let waiting = tokio::spawn(locker.lock("busy").ttl(TTL).wait(LIMIT).acquire());
    until(LIMIT, "the connections are there", are_there).await;
    held.release().await.expect("ours");
    let waited = waiting.await.expect("no panic").expect("released");
    waited.release().await.expect("ours");
}

async fn many(locker: &Locker) {
    for number in 0..100 {
        let guard = locker.lock(format!("{number}")).ttl(TTL).acquire();
        guard.await.expect("free").release().await.expect("ours");
    }
}

#[tokio::test]
async fn connections_of_one_server() {
    let (server, locker) = redis().await;
    many(&locker).await;
    assert_eq!(server.connections().await, 1);
    waits(&locker, async || server.connections().await == 2).await;
    many(&locker).await;
    assert_eq!(server.connections().await, 2);
}

#[tokio::test]
async fn connections_of_a_quorum() -> Result<(), LockError> {
    let servers = [
        Server::start().await,
        Server::start().await,
        Server::start().await,
    ];
    let builder = Locker::builder().server_timeout(LIMIT);
    let locker = builder
        .connect_quorum(servers.each_ref().map(Server::url))
        .await?;
    many(&locker).await;
    for server in &servers {
        assert_eq!(server.connections().await, 1);
    }
    waits(&locker, async || {
        let counts = servers.iter().map(Server::connections);
        join_all(counts).await.iter().all(|count| *count == 2)
    })
    .await;
    Ok(())
}

#[cfg(feature = "cluster")]
#[tokio::test]
async fn connections_of_a_cluster() -> Result<(), LockError> {
    let cluster = Cluster::start().await;
    let mut before = Vec::new();
    for number in 0..3 {
        before.push(cluster.node(number).connections().await);
    }
    // By one seed, so that no connection to another seed is there for the moment of connecting.
    let locker = Locker::builder()
        .connect_cluster(&cluster.urls()[..1])
        .await?;
    many(&locker).await;
    for (number, before) in before.iter().enumerate() {
        assert_eq!(cluster.node(number).connections().await, before + 1);
    }
    let with_the_key = cluster.master_of("busy").await;
    waits(&locker, async || {
        let counts = (0..3).map(|number| cluster.node(number).connections());
        let counts = join_all(counts).await;
        let mut added = (0..).zip(counts.iter().zip(&before));
        added.all(|(number, (count, before))| {
            let more = if number == with_the_key { 3 } else { 2 };
            *count == before + more
        })
    })
    .await;
    Ok(())
}

/// One that keeps its data.
#[tokio::test]
async fn a_restart_of_redis_loses_no_lock_that_is_renewed() -> Result<(), Box<dyn Error>> {
    let server = Server::start().await;
    let locker = locker_at(&server.url()).await;
    let ttl = Duration::from_secs(4);
    let body = async {
        sleep(ttl / 4).await;
        server.restart_loading().await;
        sleep(ttl / 4).await;
        server.finish_loading().await;
        sleep(ttl).await;
    };
    locker.lock("k").ttl(ttl).renew().run(body).await?;
    assert!(!server.exists("k").await);
    Ok(())
}
