//! Several keys in one request, where others meddle with one of them.

mod common;
#[path = "common/five.rs"]
#[allow(dead_code, reason = "not all of it is needed here")]
mod five;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use common::{LIMIT, locker_at, redis};
use redis_locked::{LockError, LockGuard, Locker, LostReason};
use redis_locked_test_support::{AfterLoss, Cluster, Server, bulk, until};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};

const TTL: Duration = Duration::from_secs(60);
/// The first extension comes after a quarter of it.
const BRIEF: Duration = Duration::from_secs(4);
const PAUSE: Duration = Duration::from_millis(2);

async fn until_free(server: &Server, keys: &[&str]) {
    for key in keys {
        let what = format!("{key} is free");
        until(LIMIT, what, async || !server.exists(key).await).await;
    }
}

async fn until_had(server: &Server, key: &str) {
    let what = format!("{key} is had");
    until(LIMIT, what, async || server.exists(key).await).await;
}

fn lost_by(error: &LockError) -> (Option<&str>, LostReason) {
    match error {
        LockError::Lost { reason, .. } => (error.key(), *reason),
        _ => panic!("{error}"),
    }
}

#[tokio::test]
async fn one_that_is_deleted_ends_the_body_and_frees_the_others() {
    let (server, locker) = redis().await;
    let request = locker.lock_all(["a", "b", "c"]).ttl(BRIEF).renew();
    let body = tokio::spawn(request.run(sleep(TTL)));
    until_had(&server, "c").await;
    // From its first extension on, the deletion is heard.
    sleep(BRIEF / 2).await;
    assert!(server.del("b").await);
    let deleted = Instant::now();
    let error = timeout(BRIEF, body).await.expect("at once");
    let error = error.expect("no panic").expect_err("lost");
    assert_eq!(lost_by(&error), (Some("b"), LostReason::Deleted));
    assert!(deleted.elapsed() < BRIEF / 4, "{:?}", deleted.elapsed());
    until_free(&server, &["a", "c"]).await;
}

#[tokio::test]
async fn a_guard_whose_key_was_taken_tells_which() {
    let (server, locker) = redis().await;
    let request = locker.lock_all(["a", "b", "c"]).ttl(TTL);
    let all = request.acquire().await.expect("free");
    server.set_px("b", "thief", 60_000).await;
    let error = all.extend(TTL).await.expect_err("lost");
    assert_eq!(lost_by(&error), (Some("b"), LostReason::TakenOver));
    assert_eq!(all.lost().await, LostReason::TakenOver);
    assert!(!all.is_held() && all.remaining().is_zero());
    let lease = all.lease();
    let loss = lease.loss().expect("lost");
    assert_eq!(lost_by(&loss), (Some("b"), LostReason::TakenOver));
    let error = all.release().await.expect_err("not ours");
    assert!(
        matches!(
            error,
            LockError::NotHeld {
                taken_over: true,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(error.key(), Some("b"));
    assert!(lease.loss().is_none(), "released");
    until_free(&server, &["a", "c"]).await;
    assert_eq!(server.get("b").await.as_deref(), Some("thief"));
}

#[tokio::test]
async fn a_lease_tells_which_key_was_lost() {
    let (server, locker) = redis().await;
    let request = locker.lock_all(["a", "b", "c"]).ttl(BRIEF).renew();
    let all = request.acquire().await.expect("free");
    assert!(all.loss().is_none());
    assert!(server.del("b").await);
    assert_eq!(all.lost().await, LostReason::Deleted);
    let loss = all.loss().expect("lost");
    assert_eq!(lost_by(&loss), (Some("b"), LostReason::Deleted));
}

#[tokio::test]
async fn a_round_does_not_find_what_the_one_before_has_set() {
    const KEEPER_PAUSES: Duration = Duration::from_millis(800);
    let server = Server::start().await;
    let proxy = server.proxy().await;
    let locker = locker_at(&proxy.url()).await;
    proxy.drop_next_answer(bulk("SET"), AfterLoss::Cut);
    proxy.refuse(true).await;
    let request = locker.lock_all(["a", "b"]).ttl(TTL).retries(1);
    let both = tokio::spawn(request.backoff(KEEPER_PAUSES).acquire());
    until_had(&server, "a").await;
    // What releases in the background has asked often by now, and pauses for long.
    sleep(KEEPER_PAUSES * 7 / 8).await;
    assert!(server.exists("a").await, "nobody could release it");
    proxy.refuse(false).await;
    let both = both.await.expect("no panic").expect("ours, or free");
    assert_eq!((both.attempts(), proxy.lost_answers()), (2, 1));
    both.release().await.expect("ours");
    assert!(!server.exists("a").await && !server.exists("b").await);
}

#[tokio::test]
async fn what_a_round_may_have_set_is_free_when_the_next_does_not_come_to_it() {
    let server = Server::start().await;
    let proxy = server.proxy().await;
    let locker = locker_at(&proxy.url()).await;
    proxy.drop_next_answer(bulk("b"), AfterLoss::Cut);
    proxy.refuse(true).await;
    let request = locker.lock_all(["a", "b"]).ttl(TTL).retries(1_000_000);
    let both = tokio::spawn(request.backoff(PAUSE).acquire());
    until_had(&server, "b").await;
    server.set_px("a", "theirs", 60_000).await;
    proxy.refuse(false).await;
    until_free(&server, &["b"]).await;
    assert!(!both.is_finished());
    assert!(server.del("a").await);
    let both = timeout(LIMIT, both).await.expect("in time");
    let both = both.expect("no panic").expect("free");
    both.release().await.expect("ours");
}

#[tokio::test]
async fn one_that_is_deleted_while_the_next_is_waited_for_ends_the_request() {
    let (server, locker) = redis().await;
    server.set_px("c", "theirs", 60_000).await;
    let request = locker.lock_all(["a", "b", "c"]).ttl(BRIEF).wait(TTL);
    let waiter = tokio::spawn(request.acquire());
    until_had(&server, "b").await;
    sleep(BRIEF / 2).await;
    assert!(server.del("a").await);
    let deleted = Instant::now();
    let error = timeout(LIMIT, waiter).await.expect("at once");
    let error = error.expect("no panic").expect_err("lost");
    assert_eq!(lost_by(&error), (Some("a"), LostReason::Deleted));
    assert!(deleted.elapsed() < BRIEF / 4, "{:?}", deleted.elapsed());
    // Awaited before the error was told.
    assert!(!server.exists("b").await);
    assert_eq!(server.get("c").await.as_deref(), Some("theirs"));
}

#[tokio::test]
async fn what_is_given_back_goes_to_who_waits_for_it() {
    let (server, locker) = redis().await;
    server.set_px("b", "theirs", 60_000).await;
    let waits = Duration::from_millis(500);
    let both = locker.lock_all(["a", "b"]).ttl(TTL).wait(waits).acquire();
    let both = tokio::spawn(both);
    until_had(&server, "a").await;
    let elsewhere = locker_at(&server.url()).await;
    let other = tokio::spawn(elsewhere.lock("a").ttl(TTL).wait(LIMIT).acquire());
    let own = tokio::spawn(locker.lock("a").ttl(TTL).wait(LIMIT).acquire());
    let error = both.await.expect("no panic").expect_err("busy");
    assert_eq!(error.key(), Some("b"));
    // In whatever order: they came at once.
    let has_its_turn = async |waiter: JoinHandle<Result<LockGuard, LockError>>| {
        let guard = timeout(LIMIT, waiter).await.expect("its turn");
        let guard = guard.expect("no panic").expect("free");
        guard.release().await.expect("ours");
    };
    tokio::join!(has_its_turn(other), has_its_turn(own));
}

#[tokio::test]
async fn who_is_told_of_a_busy_key_finds_nothing_of_the_others() {
    let (server, _) = redis().await;
    server.set_px("c", "theirs", 60_000).await;
    let proxy = server.proxy().await;
    let locker = locker_at(&proxy.url()).await;
    proxy.delay_requests(Duration::from_millis(50));
    let request = || locker.lock_all(["a", "b", "c"]).ttl(TTL);
    for request in [request(), request().wait(PAUSE * 50)] {
        let error = request.acquire().await.expect_err("busy");
        assert_eq!(error.key(), Some("c"));
        assert!(!server.exists("a").await && !server.exists("b").await);
    }
}

/// Two of the keys at a time, in either order, by waiting and by retrying.
async fn go_round(lockers: Vec<Locker>, keys: &'static [&'static str]) {
    let inside: Arc<Vec<AtomicU32>> = Arc::new(keys.iter().map(|_| AtomicU32::new(0)).collect());
    let mut tasks = JoinSet::new();
    for number in 0..24 {
        let locker = lockers[number % lockers.len()].clone();
        let inside = Arc::clone(&inside);
        tasks.spawn(async move {
            let (one, other) = (number % keys.len(), (number / 2 + 1) % keys.len());
            for _ in 0..5 {
                let request = locker.lock_all([keys[one], keys[other]]).ttl(TTL);
                let request = if number % 3 == 0 {
                    request.retries(1_000_000).backoff(PAUSE)
                } else {
                    request.wait(LIMIT)
                };
                let places = if one == other {
                    vec![one]
                } else {
                    vec![one, other]
                };
                let body = async {
                    for place in &places {
                        assert_eq!(inside[*place].fetch_add(1, Ordering::SeqCst), 0);
                    }
                    sleep(PAUSE / 2).await;
                    for place in &places {
                        inside[*place].fetch_sub(1, Ordering::SeqCst);
                    }
                };
                request.run(body).await.expect("its turn");
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.expect("no panic");
    }
}

#[tokio::test]
async fn the_keys_may_lie_anywhere_in_a_cluster() {
    // On all three shards.
    const KEYS: &[&str] = &["a", "b", "c", "d"];
    let cluster = Cluster::start().await;
    let connect = async || {
        let connected = Locker::builder().connect_cluster(cluster.urls()).await;
        connected.expect("the nodes answer")
    };
    let locker = connect().await;
    let all: LockGuard = locker
        .lock_all(KEYS.iter().copied())
        .ttl(TTL)
        .acquire()
        .await
        .expect("free");
    for key in KEYS {
        let error = locker.lock(*key).acquire().await.expect_err("held");
        assert_eq!(error.key(), Some(*key));
    }
    all.extend(TTL * 2).await.expect("ours");
    assert!(all.remaining() > TTL);
    all.release().await.expect("ours");
    go_round(vec![locker, connect().await], KEYS).await;
}

#[tokio::test]
async fn several_keys_are_had_on_a_quorum() {
    let five = five::Five::start().await;
    let locker = five.locker().await;
    let all = locker
        .lock_all(["b", "a"])
        .ttl(TTL)
        .acquire()
        .await
        .expect("free");
    for key in ["a", "b"] {
        assert!(five.with(key).await >= 3);
        let error = locker.lock(key).acquire().await.expect_err("held");
        assert_eq!(error.key(), Some(key));
    }
    all.extend(TTL * 2).await.expect("ours");
    all.release().await.expect("ours");
    for key in ["a", "b"] {
        five.until_nobody_has(key).await;
    }
    go_round(vec![locker, five.locker().await], &["a", "b", "c"]).await;
}
