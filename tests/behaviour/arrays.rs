//! How several keys are had by one request.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use redis_locked::{Lease, LockError, LockRequest, Locker, LostReason, redis_locked};
use redis_locked_test_support::until_some;
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};

use crate::common::LIMIT;
use crate::several::{busy, has};

const TTL: Duration = Duration::from_secs(60);
const BRIEF: Duration = Duration::from_millis(400);
const PAUSE: Duration = Duration::from_millis(2);

fn all<const N: usize>(locker: &Locker, keys: [&str; N]) -> LockRequest {
    locker.lock_all(keys).ttl(TTL)
}

fn one_key(locker: &Locker, key: &str) -> LockRequest {
    locker.lock(key).ttl(TTL)
}

/// Each of these keys is had by nobody.
async fn are_free<const N: usize>(locker: &Locker, keys: [&str; N]) {
    for key in keys {
        has(one_key(locker, key))
            .await
            .release()
            .await
            .expect("ours");
    }
}

/// The same as soon as what goes on in the background is over.
async fn become_free<const N: usize>(locker: &Locker, keys: [&str; N]) {
    for key in keys {
        let free = until_some(LIMIT, format_args!("{key} is free"), async || {
            one_key(locker, key).acquire().await.ok()
        })
        .await;
        free.release().await.expect("ours");
    }
}

/// What holds the key of an error.
async fn busy_at(request: LockRequest) -> String {
    busy(request).await.key().expect("of a key").to_owned()
}

fn keys(lease: &Lease) -> Vec<&str> {
    lease.keys().collect()
}

pub(crate) async fn all_are_had_and_released_together(locker: Locker) {
    let held = has(all(&locker, ["c", "a", "b", "a"])).await;
    assert_eq!(keys(&held), ["a", "b", "c"]);
    assert_eq!(held.key(), "a");
    assert_eq!(held.token().len(), 22);
    assert!(held.is_held());
    for key in ["a", "b", "c"] {
        assert_eq!(busy_at(one_key(&locker, key)).await, key);
    }
    let lease = held.lease();
    held.release().await.expect("ours");
    assert!(!lease.is_held() && lease.remaining().is_zero());
    are_free(&locker, ["a", "b", "c"]).await;
}

pub(crate) async fn none_is_kept_where_one_is_busy(locker: Locker) {
    let held = has(one_key(&locker, "c")).await;
    // min_hold is of a lock that was had.
    let request = || all(&locker, ["d", "c", "b", "a"]).min_hold(TTL / 2);
    let error = busy(request()).await;
    assert_eq!(error.key(), Some("c"));
    assert!(error.retry_after().is_some(), "{error}");
    are_free(&locker, ["a", "b", "d"]).await;

    let error = busy(request().retries(2).backoff(PAUSE)).await;
    assert_eq!(error.key(), Some("c"));
    assert!(
        matches!(error, LockError::Busy { attempts: 3, .. }),
        "{error}"
    );
    are_free(&locker, ["a", "b", "d"]).await;

    let error = busy(request().wait(PAUSE * 10)).await;
    assert_eq!(error.key(), Some("c"));
    are_free(&locker, ["a", "b", "d"]).await;
    held.release().await.expect("ours");
}

pub(crate) async fn one_limit_is_for_all(locker: Locker) {
    let (first, second) = (
        has(one_key(&locker, "a")).await,
        has(one_key(&locker, "b")).await,
    );
    let began = Instant::now();
    let waiter = tokio::spawn(all(&locker, ["a", "b"]).wait(BRIEF).acquire());
    sleep(BRIEF / 2).await;
    first.release().await.expect("ours");
    let error = waiter.await.expect("no panic").expect_err("b is held");
    let took = began.elapsed();
    assert_eq!(error.key(), Some("b"));
    assert!(took >= BRIEF * 9 / 10 && took < BRIEF * 2, "{took:?}");
    are_free(&locker, ["a"]).await;
    second.release().await.expect("ours");
}

pub(crate) async fn retries_get_all_that_is_released(locker: Locker) {
    let held = has(one_key(&locker, "b")).await;
    let request = all(&locker, ["a", "b"]).retries(1_000_000).backoff(PAUSE);
    let retrying = tokio::spawn(request.acquire());
    sleep(PAUSE * 5).await;
    // Between its rounds, it holds nothing.
    become_free(&locker, ["a"]).await;
    held.release().await.expect("ours");
    let both = timeout(LIMIT, retrying).await.expect("in time");
    let both = both.expect("no panic").expect("free");
    assert!(both.attempts() > 1);
    both.release().await.expect("ours");
}

pub(crate) async fn waiting_keeps_what_is_there_and_comes_in_order(locker: Locker) {
    let held = has(one_key(&locker, "b")).await;
    let waiter = tokio::spawn(all(&locker, ["b", "a"]).wait(LIMIT).acquire());
    let error = until_some(LIMIT, "a is had", async || {
        one_key(&locker, "a").acquire().await.err()
    });
    assert!(error.await.is_busy());
    let behind = tokio::spawn(one_key(&locker, "b").wait(LIMIT).acquire());
    sleep(PAUSE * 10).await;
    held.release().await.expect("ours");
    let both = timeout(LIMIT, waiter).await.expect("its turn");
    let both = both.expect("no panic").expect("free");
    assert!(both.is_held() && !behind.is_finished());
    both.release().await.expect("ours");
    let last = timeout(LIMIT, behind).await.expect("its turn");
    last.expect("no panic")
        .expect("free")
        .release()
        .await
        .expect("ours");
}

pub(crate) async fn what_is_held_meanwhile_is_extended_and_all_begin_together(locker: Locker) {
    let (second, third) = (
        has(one_key(&locker, "b")).await,
        has(one_key(&locker, "c")).await,
    );
    let request = locker.lock_all(["a", "b", "c"]).ttl(BRIEF).wait(LIMIT);
    let waiter = tokio::spawn(request.acquire());
    sleep(BRIEF * 3 / 2).await;
    assert_eq!(busy_at(one_key(&locker, "a")).await, "a");
    second.release().await.expect("ours");
    sleep(BRIEF * 3 / 2).await;
    for key in ["a", "b"] {
        assert_eq!(busy_at(one_key(&locker, key)).await, key);
    }
    third.release().await.expect("ours");
    let all = timeout(LIMIT, waiter).await.expect("its turn");
    let all = all.expect("no panic").expect("free");
    let had = Instant::now();
    // The first may be as old as the pause between extensions, and is wanted for a ttl from now.
    assert!(all.remaining() > BRIEF / 3, "{:?}", all.remaining());
    sleep(BRIEF * 4 / 5).await;
    if had.elapsed() < BRIEF * 9 / 10 {
        assert!(all.is_held());
    }
    assert_eq!(all.lost().await, LostReason::Expired);
    let ended = had.elapsed();
    assert!(ended < BRIEF * 3 / 2, "{ended:?}");
    drop(all);
    become_free(&locker, ["a", "b", "c"]).await;
}

pub(crate) async fn renew_keeps_all(locker: Locker) {
    let held = has(locker.lock_all(["a", "b"]).ttl(BRIEF).renew()).await;
    sleep(BRIEF * 2).await;
    assert!(held.is_held());
    for key in ["a", "b"] {
        assert_eq!(busy_at(one_key(&locker, key)).await, key);
    }
    held.release().await.expect("ours");
    are_free(&locker, ["a", "b"]).await;
}

pub(crate) async fn an_extension_lengthens_all(locker: Locker) {
    let held = has(locker.lock_all(["a", "b"]).ttl(BRIEF)).await;
    held.extend(TTL).await.expect("ours");
    assert!(held.remaining() > TTL / 2);
    sleep(BRIEF * 2).await;
    assert!(held.is_held());
    for key in ["a", "b"] {
        let left = busy(one_key(&locker, key)).await.retry_after();
        assert!(left.expect("it expires") > TTL / 2);
    }
    held.release().await.expect("ours");
    let expired = has(locker.lock_all(["a", "b"]).ttl(BRIEF)).await;
    sleep(BRIEF * 2).await;
    let error = expired.extend(TTL).await.expect_err("it is over");
    assert!(error.is_lost(), "{error}");
    assert_eq!(error.key(), Some("a"));
}

pub(crate) async fn a_body_is_cut_off_at_the_earliest_deadline(locker: Locker) {
    let request = locker.lock_all(["a", "b"]).ttl(BRIEF / 4);
    let error = request.run(sleep(TTL)).await.expect_err("cut off");
    assert!(
        matches!(
            error,
            LockError::Lost {
                reason: LostReason::Expired,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(error.key(), Some("a"));
    become_free(&locker, ["a", "b"]).await;
}

pub(crate) async fn max_hold_and_min_hold_count_from_the_last(locker: Locker) {
    let held = has(one_key(&locker, "b")).await;
    let request = all(&locker, ["a", "b"]).renew().max_hold(BRIEF).wait(LIMIT);
    let waiter = tokio::spawn(request.acquire());
    sleep(BRIEF * 3 / 2).await;
    held.release().await.expect("ours");
    let both = timeout(LIMIT, waiter).await.expect("its turn");
    let both = both.expect("no panic").expect("free");
    let had = Instant::now();
    assert_eq!(both.lost().await, LostReason::MaxHold);
    let lasted = had.elapsed();
    assert!(lasted > BRIEF / 2 && lasted < BRIEF * 2, "{lasted:?}");
    drop(both);
    become_free(&locker, ["a", "b"]).await;

    let kept = has(all(&locker, ["a", "b"]).min_hold(TTL / 2)).await;
    kept.release().await.expect("ours");
    for key in ["a", "b"] {
        let left = busy(one_key(&locker, key)).await.retry_after();
        let left = left.expect("it expires");
        assert!(left > TTL / 3 && left <= TTL / 2, "{left:?}");
    }
}

pub(crate) async fn who_leaves_gives_back_all(locker: Locker) {
    drop(has(all(&locker, ["a", "b"])).await);
    become_free(&locker, ["a", "b"]).await;

    let held = has(one_key(&locker, "b")).await;
    let waiter = tokio::spawn(all(&locker, ["a", "b"]).wait(LIMIT).acquire());
    let error = until_some(LIMIT, "a is had", async || {
        one_key(&locker, "a").acquire().await.err()
    });
    assert!(error.await.is_busy());
    waiter.abort();
    become_free(&locker, ["a"]).await;
    held.release().await.expect("ours");
    become_free(&locker, ["b"]).await;

    let panics = all(&locker, ["a", "b"]).run(async { panic!("on purpose") });
    tokio::spawn(panics).await.expect_err("it panics");
    become_free(&locker, ["a", "b"]).await;
}

pub(crate) async fn a_lock_inside_itself(locker: Locker) {
    let inner = async {
        Lease::assert_held("a");
        Lease::assert_held("b");
        let lease = Lease::current().expect("in a body");
        assert_eq!(keys(&lease), ["a", "b"]);
        for (request, key) in [
            (one_key(&locker, "b").wait(LIMIT), "b"),
            (all(&locker, ["c", "b"]).wait(LIMIT), "b"),
            (all(&locker, ["a", "0"]).wait(LIMIT), "a"),
        ] {
            let error = request
                .acquire()
                .await
                .expect_err("it would wait for itself");
            assert!(matches!(error, LockError::WouldDeadlock { .. }), "{error}");
            assert_eq!(error.key(), Some(key));
        }
        has(all(&locker, ["c", "d"])).await.release().await
    };
    let result = all(&locker, ["a", "b"]).run(inner).await.expect("free");
    result.expect("ours");
}

pub(crate) async fn opposite_orders_do_not_wait_for_each_other(locker: Locker) {
    const TURNS: u32 = 50;
    let inside = Arc::new(AtomicU32::new(0));
    let mut calls = Vec::new();
    for (number, keys) in [["a", "b"], ["b", "a"], ["b", "c"], ["c", "a"]]
        .into_iter()
        .cycle()
        .take(8)
        .enumerate()
    {
        let (locker, inside) = (locker.clone(), Arc::clone(&inside));
        calls.push(tokio::spawn(async move {
            for _ in 0..TURNS {
                let request = if number % 2 == 0 {
                    all(&locker, keys).wait(LIMIT)
                } else {
                    all(&locker, keys).retries(1_000_000).backoff(PAUSE)
                };
                // Any two of these have a key in common.
                let body = async {
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    yield_now().await;
                    inside.fetch_sub(1, Ordering::SeqCst);
                };
                request.run(body).await.expect("its turn");
            }
        }));
    }
    for call in calls {
        timeout(LIMIT, call)
            .await
            .expect("in time")
            .expect("no panic");
    }
    become_free(&locker, ["a", "b", "c"]).await;
}

pub(crate) async fn each_key_has_places_of_its_own(locker: Locker) {
    let pair = |keys| all(&locker, keys).permits(2);
    let first = has(pair(["a", "b"])).await;
    let second = has(pair(["b", "c"])).await;
    assert_eq!(busy_at(pair(["b", "d"])).await, "b");
    let third = has(pair(["a", "c"])).await;
    for guard in [first, second, third] {
        guard.release().await.expect("ours");
    }
    let readers = || all(&locker, ["a", "b"]).shared();
    let (first, second) = (has(readers()).await, has(readers()).await);
    assert_eq!(busy_at(one_key(&locker, "b")).await, "b");
    first.release().await.expect("ours");
    second.release().await.expect("ours");
    are_free(&locker, ["a", "b", "c", "d"]).await;
}

const COMMON: &str = "common";

struct Account {
    id: u32,
}

impl Account {
    fn key(&self) -> String {
        format!("account:{}", self.id)
    }

    #[redis_locked(key = ["account:{self.id}", other.key(), "{COMMON}"], ttl = TTL, bind = lease)]
    async fn pay(&self, other: Self) -> Result<Vec<String>, LockError> {
        Lease::assert_held(&other.key());
        Ok(lease.keys().map(str::to_owned).collect())
    }
}

macro_rules! locked {
    ($name:ident, $id:ident, $keys:expr, $key:expr) => {
        #[redis_locked(key = $keys, ttl = TTL, skip)]
        async fn $name($id: u32) -> Option<u32> {
            #[redis_locked(key = [$key, "inner"], ttl = TTL, skip)]
            async fn inside($id: u32) -> Option<u32> {
                Some($id)
            }
            inside($id).await
        }
    };
}

locked!(by_macro, id, ["a:{id}", "b"], "c:{id}");

#[redis_locked(key = ["a:{name}", "b"], locker = locker)]
async fn named(locker: &Locker, name: &str) -> Result<(), LockError> {
    Ok(())
}

pub(crate) async fn the_attribute_takes_an_array(locker: Locker) {
    let (one, other) = (Account { id: 2 }, Account { id: 1 });
    let paid = locker.scope(one.pay(other)).await.expect("free");
    assert_eq!(paid, ["account:1", "account:2", "common"]);
    let held = has(all(&locker, ["account:1", "account:3"])).await;
    let error = locker.scope(one.pay(Account { id: 1 })).await;
    assert_eq!(error.expect_err("held").key(), Some("account:1"));
    held.release().await.expect("ours");

    assert_eq!(locker.scope(by_macro(7)).await, Some(7));
    let held = has(one_key(&locker, "a:7")).await;
    assert_eq!(locker.scope(by_macro(7)).await, None);
    assert_eq!(locker.scope(by_macro(8)).await, Some(8));
    held.release().await.expect("ours");

    let error = named(&locker, " ").await.expect_err("empty");
    assert!(error.to_string().contains("`name`"), "{error}");
    assert_eq!(error.key(), Some("a: "));
    named(&locker, "ann").await.expect("free");
}

pub(crate) async fn requests_that_cannot_be_meant(locker: Locker) {
    let refused = async |request: LockRequest, key: Option<&str>, says: &str| {
        let error = request.acquire().await.expect_err("refused");
        assert!(matches!(error, LockError::InvalidRequest { .. }), "{error}");
        assert_eq!(error.key(), key, "{error}");
        assert!(error.to_string().contains(says), "{error}");
    };
    let many = |count| locker.lock_all((0..count).map(|number| format!("{number:02}")));
    refused(many(0), None, "names none").await;
    refused(many(65), Some("00"), "64").await;
    refused(all(&locker, ["b", "a"]).fenced(), Some("a"), "`fenced`").await;
    let coalesce = all(&locker, ["b", "a"]).wait(LIMIT).coalesce();
    refused(coalesce, Some("a"), "`coalesce`").await;
    refused(all(&locker, ["a", "a"]).fenced(), Some("a"), "one key").await;
    refused(all(&locker, ["b", ""]), Some(""), "empty").await;
    refused(all(&locker, ["{z}:fence", "a"]), Some("{z}:fence"), "name").await;
    for recorded in [
        all(&locker, ["b", "a"]).record(TTL),
        all(&locker, ["b", "a"]).once_per(TTL),
    ] {
        let error = recorded.acquire().await.expect_err("refused");
        assert!(error.to_string().contains("record"), "{error}");
    }
    let most = has(many(64)).await;
    assert_eq!(most.keys().count(), 64);
    most.release().await.expect("ours");
}
