//! Connections that carry nothing are kept alive, so that nothing between forgets them.
#![cfg(target_os = "linux")]

use std::fs;
use std::time::Duration;

use redis_locked::{LockError, Locker};
use redis_locked_test_support::{Cluster, FakeAnswers, Server, until};

/// Longer than anything takes that is awaited.
const LIMIT: Duration = Duration::from_secs(20);
/// After so long, the quickest load balancers forget a connection.
const FORGOTTEN: f64 = 30.0;
/// Of the kernel, in a second.
const TICKS: f64 = 100.0;

/// The seconds until the kernel asks whether the other end is there, of each connection of this
/// machine's clients to a port; `None` where it does not.
fn keepalives(port: u16) -> Vec<Option<f64>> {
    let table = fs::read_to_string("/proc/net/tcp").expect("Linux has it");
    let to = format!(":{port:04X}");
    let of = table.lines().skip(1).filter_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (remote, state, timer) = (fields[2], fields[3], fields[5]);
        if !remote.ends_with(&to) || state != "01" {
            return None;
        }
        let (kind, ticks) = timer.split_once(':')?;
        let ticks = u32::from_str_radix(ticks, 16).ok()?;
        Some((kind == "02").then(|| f64::from(ticks) / TICKS))
    });
    of.collect()
}

/// Waits until all its connections are kept alive: another timer runs while something is under way.
async fn all_are_kept_alive(port: u16, count: usize) {
    until(LIMIT, "they are kept alive", async || {
        let all = keepalives(port);
        let is_kept = |left: &Option<f64>| left.is_some_and(|left| left < FORGOTTEN);
        all.len() == count && all.iter().all(is_kept)
    })
    .await;
}

/// One that waits for a lock has so many connections, and all are kept alive meanwhile.
async fn waits(locker: &Locker, key: &str, port: u16, count: usize) {
    let held = locker.lock(key).acquire().await.expect("free");
    let waiting = tokio::spawn(locker.lock(key).wait(LIMIT).acquire());
    all_are_kept_alive(port, count).await;
    held.release().await.expect("ours");
    let waited = waiting.await.expect("no panic").expect("released");
    waited.release().await.expect("ours");
}

#[tokio::test]
async fn of_one_server() -> Result<(), LockError> {
    let server = Server::start().await;
    // Nobody else comes by it.
    let proxy = server.proxy().await;
    let locker = Locker::connect(&proxy.url()).await?;
    waits(&locker, "k", proxy.port(), 2).await;
    Ok(())
}

#[tokio::test]
async fn of_the_master_behind_sentinels() -> Result<(), LockError> {
    let server = Server::start().await;
    let proxy = server.proxy().await;
    let port = proxy.port().to_string();
    let address = format!("*2\r\n$9\r\n127.0.0.1\r\n${}\r\n{port}", port.len());
    let sentinel = FakeAnswers::with(move |question| match question[1].as_str() {
        "MASTER" => "*2\r\n$12\r\nconfig-epoch\r\n$1\r\n1".to_owned(),
        _ => address.clone(),
    })
    .await;
    let builder = Locker::builder();
    let locker = builder
        .connect_sentinel([sentinel.url()], "mymaster")
        .await?;
    waits(&locker, "k", proxy.port(), 2).await;
    Ok(())
}

#[tokio::test]
async fn of_the_nodes_of_a_cluster() -> Result<(), LockError> {
    let cluster = Cluster::start().await;
    let mut proxies = Vec::new();
    for number in 0..3 {
        proxies.push(cluster.node(number).proxy().await);
    }
    let map = proxies.iter().enumerate().map(|(number, proxy)| {
        let announced = cluster.node(number).port();
        (
            format!("127.0.0.1:{announced}"),
            format!("127.0.0.1:{}", proxy.port()),
        )
    });
    let builder = Locker::builder().address_map(map);
    let locker = builder.connect_cluster(&cluster.urls()[..1]).await?;
    let keys = cluster.a_key_per_master("k").await;
    for (key, proxy) in keys.iter().zip(&proxies) {
        // For commands, for what is changed, and for who is first in a line.
        waits(&locker, key, proxy.port(), 3).await;
    }
    Ok(())
}
