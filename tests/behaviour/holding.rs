//! What a held lock is.

use std::time::Duration;

use redis_locked::{Lease, LockError, Locker, LostReason};
use redis_locked_test_support::until_some;

use crate::common::LIMIT;

const TTL: Duration = Duration::from_secs(60);
const BRIEF: Duration = Duration::from_millis(200);

pub(crate) async fn a_held_lock_is_busy_for_others(locker: Locker) {
    for _ in 0..3 {
        let guard = locker.lock("k").ttl(TTL).acquire().await.expect("free");
        for _ in 0..2 {
            let error = locker.lock("k").acquire().await.expect_err("busy");
            assert!(error.is_busy(), "{error}");
        }
        assert!(guard.is_held());
        guard.release().await.expect("ours");
    }
}

pub(crate) async fn keys_are_independent(locker: Locker) {
    let _first = locker.lock("a").ttl(TTL).acquire().await.expect("free");
    let second = locker.lock("b").ttl(TTL).acquire().await.expect("free");
    second.release().await.expect("ours");
    let error = locker.lock("a").acquire().await.expect_err("still busy");
    assert!(error.is_busy());
}

pub(crate) async fn busy_tells_who_holds_it_and_for_how_long(locker: Locker) {
    let _guard = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    let error = locker.lock("k").acquire().await.expect_err("busy");
    let left = error.retry_after().expect("it expires");
    assert!(left <= TTL && left > TTL / 2, "{left:?}");
    let LockError::Busy {
        key,
        attempts,
        owner,
        ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!((&*key, attempts), ("k", 1));
    let process = format!(":{}", std::process::id());
    assert!(owner.expect("an owner").ends_with(&process));
}

pub(crate) async fn a_token_names_each_tenure(locker: Locker) {
    let guard = locker.lock("k").acquire().await.expect("free");
    let first = guard.token().to_owned();
    assert_eq!(first.len(), 22);
    assert_eq!(guard.lease().token(), first);
    guard.release().await.expect("ours");
    let guard = locker.lock("k").acquire().await.expect("free");
    assert_ne!(guard.token(), first);
}

pub(crate) async fn remaining_is_a_little_less_than_the_ttl(locker: Locker) {
    let guard = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    let drift = TTL / 100 + Duration::from_millis(2);
    assert!(guard.remaining() + drift <= TTL);
    assert!(guard.remaining() > TTL / 2);
}

pub(crate) async fn an_extension_lengthens_and_never_shortens(locker: Locker) {
    let guard = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    guard.extend(TTL * 2).await.expect("ours");
    let longer = guard.remaining();
    assert!(longer > TTL && longer < TTL * 2);
    guard.extend(BRIEF).await.expect("ours");
    assert!(guard.remaining() > TTL, "shortened");
    let error = locker.lock("k").acquire().await.expect_err("busy");
    assert!(error.retry_after().expect("it expires") > TTL);
}

pub(crate) async fn renew_outlives_the_ttl(locker: Locker) {
    let request = locker.lock("k").ttl(BRIEF * 10).renew();
    let guard = request.acquire().await.expect("free");
    let lost = tokio::time::timeout(BRIEF * 13, guard.lost()).await;
    assert_eq!(lost.ok(), None);
    assert!(
        locker
            .lock("k")
            .acquire()
            .await
            .expect_err("busy")
            .is_busy()
    );
    guard.release().await.expect("ours");
}

pub(crate) async fn what_expired_is_lost_and_free(locker: Locker) {
    let guard = locker.lock("k").ttl(BRIEF).acquire().await.expect("free");
    let reason = tokio::time::timeout(LIMIT, guard.lost()).await;
    assert_eq!(reason.expect("known at the deadline"), LostReason::Expired);
    assert!(!guard.is_held());
    assert_eq!(guard.remaining(), Duration::ZERO);
    assert!(guard.extend(TTL).await.expect_err("too late").is_lost());
    let other = until_some(LIMIT, "others get it", async || {
        locker.lock("k").ttl(TTL).acquire().await.ok()
    });
    other.await.release().await.expect("ours");
}

pub(crate) async fn who_was_late_harms_nobody(locker: Locker) {
    let late = locker.lock("k").ttl(BRIEF).acquire().await.expect("free");
    let next = until_some(LIMIT, "others get it", async || {
        locker.lock("k").ttl(TTL).acquire().await.ok()
    })
    .await;
    let error = late.release().await.expect_err("someone else's");
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
    assert!(
        locker
            .lock("k")
            .acquire()
            .await
            .expect_err("busy")
            .is_busy()
    );
    next.release().await.expect("ours");

    let late = locker.lock("k").ttl(BRIEF).acquire().await.expect("free");
    let other = until_some(LIMIT, "it expired", async || {
        locker.lock("k").ttl(TTL).acquire().await.ok()
    });
    other.await.release().await.expect("ours");
    let error = late.release().await.expect_err("gone");
    assert!(
        matches!(
            error,
            LockError::NotHeld {
                taken_over: false,
                ..
            }
        ),
        "{error}"
    );
}

pub(crate) async fn fencing_tokens_grow(locker: Locker) {
    let mut last = None;
    for number in 0..20 {
        let request = locker.lock("k").ttl(TTL).fenced();
        let guard = request.acquire().await.expect("free");
        let token = guard.fencing_token();
        assert!(token > last, "{token:?} after {last:?}");
        last = token;
        if number % 2 == 0 {
            guard.release().await.expect("ours");
        } else {
            drop(guard);
            locker.shutdown().await;
        }
    }
    let guard = locker.lock("k").acquire().await.expect("free");
    assert_eq!(guard.fencing_token(), None);
}

pub(crate) async fn a_body_sees_its_lease(locker: Locker) {
    let body = async {
        Lease::assert_held("outer");
        tokio::task::yield_now().await;
        let inner = locker.lock("inner").run(async {
            Lease::assert_held("inner");
            Lease::assert_held("outer");
            Lease::current().map(|lease| lease.key().to_owned())
        });
        let inner = inner.await.expect("free");
        let outer = Lease::current().map(|lease| lease.key().to_owned());
        (inner, outer)
    };
    let (inner, outer) = locker.lock("outer").run(body).await.expect("free");
    assert_eq!(
        (inner.as_deref(), outer.as_deref()),
        (Some("inner"), Some("outer"))
    );
    assert!(Lease::current().is_none());
}

pub(crate) async fn many_keys_at_once(locker: Locker) {
    let mut guards = Vec::new();
    for number in 0..500 {
        let request = locker.lock(format!("k{number}")).ttl(TTL);
        guards.push(request.acquire().await.expect("free"));
    }
    drop(guards);
    locker.shutdown().await;
    for number in 0..500 {
        let request = locker.lock(format!("k{number}"));
        request.run(async {}).await.expect("free again");
    }
}
