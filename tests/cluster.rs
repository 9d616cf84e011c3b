//! Locks on a Redis Cluster: three masters with a replica each, started by each test.

#[path = "cluster/bells.rs"]
mod bells;
#[path = "common/failover.rs"]
mod failover;
#[path = "cluster/line.rs"]
mod line;
#[path = "cluster/places.rs"]
mod places;
#[path = "cluster/record.rs"]
mod record;
#[path = "cluster/waiting.rs"]
mod waiting;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use redis_locked::{LockError, LockGuard, Locker, LostReason, redis_locked};
use redis_locked_test_support::{Cluster, Server, until};
use tokio::task::JoinSet;

use waiting::waiter;

/// Longer than anything takes that is awaited, failovers included; shorter than the ttl of a lock
/// that is not to go by itself.
const LIMIT: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(120);
/// Outlasts a failover.
const RETRIES: u32 = 600;
const PAUSE: Duration = Duration::from_millis(100);

async fn connect(cluster: &Cluster) -> Locker {
    let connecting = Locker::builder().connect_cluster(cluster.urls());
    connecting.await.expect("the cluster answers")
}

async fn lock(locker: &Locker, key: &str) -> LockGuard {
    let request = locker.lock(key).ttl(LONG).retries(RETRIES).backoff(PAUSE);
    request.acquire().await.expect("granted")
}

async fn is_busy(locker: &Locker, key: &str) -> bool {
    // An error that may pass is asked about again; `Busy` needs no second attempt.
    let deadline = Instant::now() + LIMIT;
    loop {
        match locker.lock(key).acquire().await {
            Ok(guard) => {
                guard.release().await.expect("released");
                return false;
            }
            Err(error) if error.is_busy() => return true,
            Err(error) => assert!(Instant::now() < deadline, "{error}"),
        }
        tokio::time::sleep(PAUSE).await;
    }
}

#[redis_locked(
    key = "count:{{{bucket}}}:{name}",
    ttl = "60s",
    retries = 600,
    backoff = "1ms..20ms",
    fenced
)]
async fn count(bucket: u32, name: &str, inside: &AtomicUsize) -> Result<(), LockError> {
    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two at a time");
    tokio::task::yield_now().await;
    inside.fetch_sub(1, Ordering::SeqCst);
    Ok(())
}

#[tokio::test]
async fn lockers_exclude_one_another_on_every_shard_with_braces_and_fenced() {
    let cluster = Cluster::start().await;
    let lockers = [connect(&cluster).await, connect(&cluster).await];
    let inside: &[AtomicUsize; 8] = Box::leak(Box::default());
    let mut tasks = JoinSet::new();
    for number in 0..64 {
        let locker = lockers[number % 2].clone();
        let bucket = number / 2 % 8;
        tasks.spawn(locker.scope(async move {
            count(u32::try_from(bucket).unwrap_or(0), "a", &inside[bucket]).await
        }));
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no two at a time").expect("granted");
    }
}

#[tokio::test]
async fn all_that_can_be_asked_of_a_guard() {
    let cluster = Cluster::start().await;
    let (ours, theirs) = (connect(&cluster).await, connect(&cluster).await);
    for key in ["plain", "{tag}:x", "a{b}c{d}", "spaces and ü", "{}"] {
        let guard = lock(&ours, key).await;
        assert_eq!(
            cluster
                .get(key)
                .await
                .map(|value| value.starts_with(guard.token())),
            Some(true)
        );
        assert!(is_busy(&theirs, key).await);
        guard.extend(2 * LONG).await.expect("extended");
        let left = u64::try_from(cluster.pttl(key).await).expect("an expiry");
        assert!(Duration::from_millis(left) > LONG, "{left} ms");
        guard.release().await.expect("released");
        assert_eq!(cluster.get(key).await, None);
    }
    let mut last = None;
    for _ in 0..10 {
        for key in ["plain", "{tag}:x"] {
            let guard = ours.lock(key).fenced().acquire().await.expect("granted");
            let number = guard.fencing_token();
            if key == "plain" {
                assert!(number > last, "{number:?} after {last:?}");
                last = number;
            }
            guard.release().await.expect("released");
        }
    }
    let refused = ours
        .lock("a}b")
        .fenced()
        .acquire()
        .await
        .expect_err("no slot for both");
    assert!(
        matches!(refused, LockError::InvalidRequest { .. }),
        "{refused}"
    );

    // What is not ours is left alone.
    let guard = lock(&ours, "plain").await;
    let master = cluster.master_of("plain").await;
    cluster
        .node(master)
        .set_px("plain", "someone else's", 60_000)
        .await;
    assert!(guard.release().await.expect_err("not ours").is_not_held());
    assert_eq!(
        cluster.get("plain").await.as_deref(),
        Some("someone else's")
    );
}

#[tokio::test]
async fn leases_on_many_slots_are_renewed_together() {
    let cluster = Cluster::start().await;
    let locker = connect(&cluster).await;
    let ttl = Duration::from_secs(3);
    let mut guards = Vec::new();
    for number in 0..60 {
        let request = locker.lock(format!("job:{number}")).ttl(ttl).renew();
        guards.push(request.acquire().await.expect("granted"));
    }
    let start = Instant::now();
    until(LIMIT, "twice the ttl has passed", async || {
        start.elapsed() > 2 * ttl
    })
    .await;
    for guard in guards {
        assert!(guard.is_held(), "{} was lost", guard.key());
        guard.release().await.expect("still ours");
    }
}

#[tokio::test]
async fn a_lease_that_is_deleted_is_lost_and_others_are_kept() {
    let cluster = Cluster::start().await;
    let locker = connect(&cluster).await;
    let ttl = Duration::from_secs(3);
    let keys = cluster.a_key_per_master("job").await;
    let mut guards = Vec::new();
    for key in &keys {
        let request = locker.lock(key).ttl(ttl).renew();
        guards.push(request.acquire().await.expect("granted"));
    }
    let master = cluster.master_of(&keys[1]).await;
    assert!(cluster.node(master).del(&keys[1]).await);
    assert_eq!(guards[1].lost().await, LostReason::Deleted);
    assert!(guards[0].is_held() && guards[2].is_held());
}

#[tokio::test]
async fn a_locker_lives_on_in_another_runtime() {
    let cluster = Cluster::start().await;
    let locker = connect(&cluster).await;
    lock(&locker, "job")
        .await
        .release()
        .await
        .expect("released");
    let elsewhere = locker.clone();
    let thread = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(async {
            let locker = Locker::builder().connect_cluster(cluster.urls()).await;
            let locker = locker.expect("the cluster answers");
            lock(&locker, "job")
                .await
                .release()
                .await
                .expect("released");
            (cluster, locker)
        })
    });
    let (cluster, from_a_runtime_that_ended) = tokio::task::spawn_blocking(|| thread.join())
        .await
        .expect("ran")
        .expect("ran");
    for locker in [&elsewhere, &from_a_runtime_that_ended] {
        let guard = lock(locker, "job").await;
        let waiting = waiter(locker, "job");
        guard.release().await.expect("released");
        waiting.await.expect("ran").expect("granted");
    }
    drop(cluster);
}

#[tokio::test]
async fn connecting_tells_what_is_wrong() {
    let nobody = Locker::builder().connect_cluster([] as [&str; 0]).await;
    let error = nobody.expect_err("no url");
    assert!(
        matches!(error, LockError::InvalidRequest { key: None, .. }),
        "{error}"
    );

    let server = Server::builder().password("right").start().await;
    let alone = connect_error(server.url()).await;
    assert!(alone.contains("ERR"), "{alone}");
    let refused = connect_error(server.url_with_password("wrong")).await;
    assert!(
        refused.contains("refused the user name or the password"),
        "{refused}"
    );
    server.kill();
    let down = connect_error(server.url()).await;
    assert!(down.contains("refused the connection"), "{down}");
    let unusable = connect_error("http://nothing".into()).await;
    assert!(unusable.contains("check the URL"), "{unusable}");
}

async fn connect_error(url: String) -> String {
    let error = Locker::builder()
        .connect_cluster([url])
        .await
        .expect_err("no cluster");
    assert!(error.is_backend() && error.key().is_none(), "{error:?}");
    error.to_string()
}

/// By a load balancer, say: it is asked on new ones, within the same attempt.
#[tokio::test]
async fn connections_that_something_has_forgotten_cost_no_attempt() {
    let cluster = Cluster::start().await;
    let mut proxies = Vec::new();
    let mut map = Vec::new();
    for number in 0..6 {
        let node = cluster.node(number);
        let proxy = node.proxy().await;
        let [announced, reachable] =
            [node.port(), proxy.port()].map(|port| format!("127.0.0.1:{port}"));
        map.push((announced, reachable));
        proxies.push(proxy);
    }
    let builder = Locker::builder().address_map(map);
    let locker = builder
        .connect_cluster(cluster.urls())
        .await
        .expect("connected");
    let keys = cluster.a_key_per_master("k").await;
    for key in &keys {
        let guard = locker.lock(key).acquire().await.expect("free");
        guard.release().await.expect("ours");
    }
    // From then on, a connection may have been forgotten.
    tokio::time::sleep(Duration::from_millis(5_200)).await;
    for proxy in &proxies {
        proxy.silence();
    }
    for key in &keys {
        let guard = locker.lock(key).acquire().await.expect("asked again");
        guard.release().await.expect("ours");
    }
}
