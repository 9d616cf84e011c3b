//! One holder at a time, whoever the others are; foreign values are left alone.

mod common;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use common::{LIMIT, locker_at, redis};
use redis_locked::{LockError, Locker, redis_locked};
use redis_locked_test_support::{Server, bulk, until};
use tokio::task::yield_now;

const TTL: Duration = Duration::from_secs(60);

#[redis_locked(key = "k", ttl = TTL, retries = 1_000_000, backoff = "1ms..4ms")]
async fn alone(inside: &AtomicU32, total: &Cell<u32>) -> Result<(), LockError> {
    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "not alone");
    let before = total.get();
    for _ in 0..5 {
        yield_now().await;
    }
    total.set(before + 1);
    inside.fetch_sub(1, Ordering::SeqCst);
    Ok(())
}

#[redis_locked(key = "k", ttl = TTL)]
async fn touch(ran: &AtomicBool) -> Result<(), LockError> {
    ran.store(true, Ordering::SeqCst);
    Ok(())
}

#[tokio::test]
async fn callers_of_several_lockers_run_one_at_a_time() {
    let server = Server::start().await;
    let (inside, total) = (AtomicU32::new(0), Cell::new(0));
    let mut lockers = Vec::new();
    for _ in 0..3 {
        lockers.push(locker_at(&server.url()).await);
    }
    let worker = async |locker: &Locker| {
        for _ in 0..20 {
            locker
                .scope(alone(&inside, &total))
                .await
                .expect("its turn comes");
        }
    };
    let [a, b, c] = &lockers[..] else {
        unreachable!()
    };
    tokio::join!(
        worker(a),
        worker(a),
        worker(b),
        worker(b),
        worker(c),
        worker(c)
    );
    assert_eq!(total.get(), 120);
    assert!(!server.exists("k").await);
}

#[tokio::test]
async fn a_key_set_by_any_client_makes_ours_busy_and_is_left_alone() {
    let (server, locker) = redis().await;
    for theirs in ["theirs", "", ";", "0", "a;b;c"] {
        assert!(server.set_nx_px("k", theirs, 60_000).await);
        let ran = AtomicBool::new(false);
        let error = locker.scope(touch(&ran)).await.expect_err("busy");
        assert!(error.is_busy() && !error.is_backend(), "{error}");
        let left = error.retry_after().expect("it expires");
        assert!(left > Duration::from_secs(30) && left <= TTL, "{left:?}");
        assert!(
            !ran.load(Ordering::SeqCst),
            "the body ran beside {theirs:?}"
        );
        assert_eq!(server.get("k").await.as_deref(), Some(theirs));
        server.del("k").await;
        locker.scope(touch(&ran)).await.expect("free now");
        assert!(ran.load(Ordering::SeqCst));
    }
}

#[tokio::test]
async fn a_key_of_another_type_or_without_an_expiry_is_busy_too() {
    let (server, locker) = redis().await;
    let mut connection = server.connection().await;
    for command in ["SET k v", "RPUSH k v", "HSET k f v", "SADD k v"] {
        let mut words = command.split(' ');
        let mut set = redis::cmd(words.next().expect("a name"));
        for word in words {
            set.arg(word);
        }
        set.query_async::<()>(&mut connection).await.expect("set");
        let ran = AtomicBool::new(false);
        let error = locker.scope(touch(&ran)).await.expect_err("busy");
        assert!(error.is_busy(), "{command}: {error}");
        assert_eq!(error.retry_after(), None);
        assert!(!ran.load(Ordering::SeqCst));
        assert!(server.del("k").await, "{command}: it was removed");
    }
}

#[tokio::test]
async fn ours_makes_set_nx_of_any_client_fail() {
    let (server, locker) = redis().await;
    let guard = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    assert!(!server.set_nx_px("k", "theirs", 60_000).await);
    guard.release().await.expect("ours");
    assert!(server.set_nx_px("k", "theirs", 60_000).await);
}

#[tokio::test]
async fn each_tenure_has_a_token_of_its_own_and_says_who_has_it() {
    let (server, locker) = redis().await;
    let mut tokens = BTreeSet::new();
    for _ in 0..20 {
        let guard = locker.lock("k").acquire().await.expect("free");
        let value = server.get("k").await.expect("set");
        let (token, owner) = value.split_once(';').expect("a token and an owner");
        assert_eq!(token, guard.token());
        assert!(
            owner.ends_with(&format!(":{}", std::process::id())),
            "{owner}"
        );
        tokens.insert(token.to_owned());
        guard.release().await.expect("ours");
    }
    assert_eq!(tokens.len(), 20);

    let named = Locker::builder()
        .owner("web-3")
        .connect(&server.url())
        .await;
    let _guard = named
        .expect("connected")
        .lock("k")
        .acquire()
        .await
        .expect("free");
    let error = locker.lock("k").acquire().await.expect_err("busy");
    assert!(error.to_string().contains("web-3 holds it"), "{error}");
}

/// What another client may have put in the place of our value.
fn foreign_values(ours: &str) -> Vec<String> {
    let (token, owner) = ours.split_once(';').expect("a token and an owner");
    vec![
        "theirs".into(),
        String::new(),
        token.into(),
        format!("{token};"),
        format!("{token};{owner}x"),
        format!("{};{owner}", "A".repeat(22)),
        ours.to_uppercase(),
    ]
}

#[tokio::test]
async fn a_foreign_value_is_not_deleted() {
    let (server, locker) = redis().await;
    for number in 0..7 {
        let guard = locker.lock("k").ttl(TTL).acquire().await.expect("free");
        let ours = server.get("k").await.expect("set");
        let theirs = foreign_values(&ours).swap_remove(number);
        server.set_px("k", &theirs, 50_000).await;
        let error = guard.release().await.expect_err("not ours");
        assert!(error.is_not_held(), "{error}");
        assert!(matches!(
            error,
            LockError::NotHeld {
                taken_over: true,
                ..
            }
        ));
        assert_eq!(server.get("k").await, Some(theirs));
        server.del("k").await;

        let guard = locker.lock("k").ttl(TTL).acquire().await.expect("free");
        server.set_px("k", "theirs", 50_000).await;
        drop(guard);
        locker.shutdown().await;
        assert_eq!(server.get("k").await.as_deref(), Some("theirs"));
        server.del("k").await;
    }
}

#[tokio::test]
async fn a_foreign_value_is_not_extended() {
    let (server, locker) = redis().await;
    for number in 0..7 {
        let guard = locker.lock("k").ttl(TTL).acquire().await.expect("free");
        let ours = server.get("k").await.expect("set");
        let theirs = foreign_values(&ours).swap_remove(number);
        server.set_px("k", &theirs, 50_000).await;
        let error = guard.extend(TTL).await.expect_err("not ours");
        assert!(error.is_lost(), "{error}");
        assert!(!guard.is_held());
        assert!(server.pttl("k").await <= 50_000);
        assert_eq!(server.get("k").await, Some(theirs));
        server.del("k").await;
    }
}

#[tokio::test]
async fn a_foreign_value_is_not_extended_by_renewal_either() {
    let server = Server::start().await;
    let proxy = server.proxy().await;
    let locker = locker_at(&proxy.url()).await;
    let ttl = Duration::from_secs(4);
    let guard = locker
        .lock("k")
        .ttl(ttl)
        .renew()
        .acquire()
        .await
        .expect("free");
    server.set_px("k", "theirs", 3_000).await;
    let reason = tokio::time::timeout(LIMIT, guard.lost())
        .await
        .expect("noticed");
    assert_eq!(reason, redis_locked::LostReason::TakenOver);
    // Connecting has sent the first.
    assert!(proxy.count_requests(bulk("EVALSHA")) >= 2);
    assert!(server.pttl("k").await <= 3_000);
    assert_eq!(server.get("k").await.as_deref(), Some("theirs"));
}

#[tokio::test]
async fn a_hash_in_the_place_of_our_value_is_left_alone() {
    let (server, locker) = redis().await;
    let guard = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    server.del("k").await;
    let mut connection = server.connection().await;
    let set = redis::cmd("HSET").arg("k").arg("f").arg("v").to_owned();
    set.query_async::<()>(&mut connection).await.expect("set");
    assert!(guard.extend(TTL).await.expect_err("not ours").is_lost());
    drop(guard);
    locker.shutdown().await;
    assert!(server.exists("k").await);
    assert_eq!(server.pttl("k").await, -1);
}

#[tokio::test]
async fn what_expired_is_free_for_others_and_no_longer_ours() {
    let (server, locker) = redis().await;
    let brief = locker.lock("k").ttl(Duration::from_millis(200));
    let guard = brief.acquire().await.expect("free");
    until(LIMIT, "others get it", async || {
        server.set_nx_px("k", "theirs", 60_000).await
    })
    .await;
    assert!(!guard.is_held(), "two at a time");
    assert!(guard.release().await.expect_err("not ours").is_not_held());
    assert_eq!(server.get("k").await.as_deref(), Some("theirs"));
}
