//! Locks that replicas have to confirm.

use std::time::{Duration, Instant};

use redis_locked::{LockError, Locker, LockerBuilder};
use redis_locked_test_support::{Pair, Server, until};
use tokio::time::{sleep, timeout};

/// Longer than anything takes that is awaited, and shorter than the ttl of a lock.
const LIMIT: Duration = Duration::from_secs(20);
const TTL: Duration = Duration::from_secs(60);
/// How long replicas may take to confirm; longer than one takes that works.
const CONFIRMING: Duration = Duration::from_secs(3);
/// The same, where they are not to confirm.
const SHORT: Duration = Duration::from_millis(200);

async fn locker(server: &Server, builder: LockerBuilder) -> Locker {
    builder.connect(&server.url()).await.expect("it answers")
}

fn confirmed(count: u32, within: Duration) -> LockerBuilder {
    Locker::builder().replicas(count, within)
}

fn assert_too_few(error: &LockError, text: &str) {
    assert!(error.is_backend(), "{error:?}");
    assert!(error.to_string().contains(text), "{error}");
}

#[tokio::test]
async fn a_granted_lock_is_on_the_replica() {
    let pair = Pair::start().await;
    let locker = locker(&pair.master, confirmed(1, CONFIRMING)).await;
    for request in [
        locker.lock("plain"),
        locker.lock("fenced").fenced(),
        locker.lock("waited").wait(LIMIT),
    ] {
        let guard = request.ttl(TTL).acquire().await.expect("confirmed");
        let value = pair
            .replica
            .get(guard.key())
            .await
            .expect("the replica has it");
        assert!(value.starts_with(guard.token()), "{value}");
        guard.release().await.expect("ours");
    }
    let guard = locker.lock("plain").ttl(TTL).acquire().await.expect("free");
    let error = locker.lock("plain").acquire().await.expect_err("held");
    assert!(error.is_busy(), "{error}");
    guard.extend(TTL * 2).await.expect("confirmed");
    assert!(pair.replica.pttl("plain").await > 100_000);
}

#[tokio::test]
async fn too_few_confirmations_are_backend_and_the_key_is_released() {
    let pair = Pair::start().await;
    let two = locker(&pair.master, confirmed(2, SHORT * 10)).await;
    let error = two
        .lock("k")
        .ttl(TTL)
        .acquire()
        .await
        .expect_err("there is only one");
    assert_too_few(&error, "only 1 of 2 replicas confirmed the lock within 2s");
    until(LIMIT, "released", async || !pair.master.exists("k").await).await;

    let one = locker(&pair.master, confirmed(1, SHORT)).await;
    pair.replica.stop_process();
    for request in [
        one.lock("k"),
        one.lock("k").fenced(),
        one.lock("k").wait(SHORT),
    ] {
        let start = Instant::now();
        let body = async { panic!("it runs without the lock") };
        let error = request
            .ttl(TTL)
            .run(body)
            .await
            .expect_err("it stands still");
        assert_too_few(&error, "only 0 of 1 replicas");
        assert!(
            start.elapsed() < Duration::from_secs(3),
            "{:?}",
            start.elapsed()
        );
        until(LIMIT, "released", async || !pair.master.exists("k").await).await;
    }
    pair.replica.continue_process();
    let request = one.lock("k").ttl(TTL).retries(100).backoff(SHORT);
    let guard = request.acquire().await.expect("confirmed again");
    guard.release().await.expect("ours");
}

#[tokio::test]
async fn retries_outlast_a_replica_that_is_behind() {
    let pair = Pair::start().await;
    let locker = locker(&pair.master, confirmed(1, SHORT)).await;
    pair.link.stall_answers(true);
    let acquiring = locker
        .lock("k")
        .ttl(TTL)
        .retries(100)
        .backoff(SHORT)
        .acquire();
    let acquiring = tokio::spawn(acquiring);
    until(LIMIT, "the master has it", async || {
        pair.master.exists("k").await
    })
    .await;
    assert!(!pair.replica.exists("k").await);
    sleep(SHORT * 3).await;
    assert!(
        !acquiring.is_finished(),
        "granted before the replica has it"
    );
    pair.link.stall_answers(false);
    let guard = acquiring.await.expect("no panic").expect("confirmed");
    assert!(pair.replica.exists("k").await);
    guard.release().await.expect("ours");
}

#[tokio::test]
async fn a_renewed_lock_is_lost_when_its_extensions_are_not_confirmed() {
    let pair = Pair::start().await;
    let ttl = Duration::from_secs(4);
    let locker = locker(&pair.master, confirmed(1, ttl / 4)).await;
    let guard = locker
        .lock("k")
        .ttl(ttl)
        .renew()
        .acquire()
        .await
        .expect("confirmed");
    let held = timeout(ttl * 2, guard.lost()).await;
    assert!(
        held.is_err(),
        "it is renewed while the replica confirms: {held:?}"
    );
    pair.replica.stop_process();
    timeout(ttl * 2, guard.lost())
        .await
        .expect("lost at its deadline");
}

/// The key was set when the server refuses to wait for replicas.
#[tokio::test]
async fn a_user_who_may_not_wait_is_told_so_and_leaves_no_key() {
    let pair = Pair::start().await;
    let mut connection = pair.master.connection().await;
    let mut user = redis::cmd("ACL");
    user.arg("SETUSER").arg("jobs").arg("on").arg(">secret");
    user.arg("~*").arg("+@all").arg("-wait");
    user.query_async::<()>(&mut connection)
        .await
        .expect("a user");
    let url = format!("redis://jobs:secret@127.0.0.1:{}", pair.master.port());
    let locker = confirmed(1, SHORT).connect(&url).await.expect("it answers");
    let error = locker
        .lock("k")
        .ttl(TTL)
        .acquire()
        .await
        .expect_err("no right");
    assert_too_few(&error, "NOPERM");
    assert!(error.to_string().contains("wait"), "{error}");
    locker.shutdown().await;
    assert!(!pair.master.exists("k").await);
}

/// Zero is "for ever" to `WAIT`: the connection would never answer again.
#[tokio::test]
async fn no_time_at_all_is_not_for_ever() {
    let pair = Pair::start().await;
    pair.replica.stop_process();
    let locker = locker(&pair.master, confirmed(1, Duration::ZERO)).await;
    let error = locker
        .lock("k")
        .ttl(TTL)
        .acquire()
        .await
        .expect_err("not confirmed");
    assert_too_few(&error, "only 0 of 1 replicas");
    until(LIMIT, "released", async || !pair.master.exists("k").await).await;
}

/// How many of some locks were granted again by the replica that took over, while still held.
async fn lost_in_failovers(pair: &Pair, builder: LockerBuilder, tries: usize) -> usize {
    let before = locker(&pair.master, builder).await;
    let after = locker(&pair.replica, Locker::builder()).await;
    let mut lost = 0;
    for number in 0..tries {
        let key = format!("k{number}");
        let guard = before.lock(&key).ttl(TTL).acquire().await.expect("granted");
        pair.promote().await;
        let again = after.lock(&key).acquire().await;
        assert!(guard.is_held());
        lost += usize::from(again.is_ok());
        drop(again);
        pair.follow().await;
        guard.release().await.expect("the old master has it");
    }
    lost
}

#[tokio::test]
async fn a_failover_right_after_the_grant_loses_no_confirmed_lock() {
    let pair = Pair::start().await;
    pair.link.delay_answers(Duration::from_millis(20));
    let lost = lost_in_failovers(&pair, confirmed(1, CONFIRMING), 10).await;
    assert_eq!(lost, 0);
    // That it can be lost at all: what the promise is about.
    let lost = lost_in_failovers(&pair, Locker::builder(), 3).await;
    assert_eq!(lost, 3, "the replica is behind by 20 ms");
}
