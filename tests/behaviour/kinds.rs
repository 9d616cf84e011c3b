//! What holds for a lock of each kind: the whole key, one of three permits, a shared place.

use std::time::{Duration, Instant};

use redis_locked::{Lease, LockError, LockGuard, LockRequest, Locker, LostReason};
use redis_locked_test_support::until_some;
use tokio::task::yield_now;

use crate::common::LIMIT;

const TTL: Duration = Duration::from_secs(60);
const BRIEF: Duration = Duration::from_millis(200);
const PAUSE: Duration = Duration::from_millis(2);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Exclusive,
    Permits,
    Shared,
}

impl Kind {
    /// A request of this kind.
    fn ask(self, locker: &Locker) -> LockRequest {
        let request = locker.lock("k").ttl(TTL);
        match self {
            Self::Exclusive => request,
            Self::Permits => request.permits(3),
            Self::Shared => request.shared(),
        }
    }

    /// So many that there is no room for one more of this kind.
    async fn fill(self, locker: &Locker, ttl: Duration) -> Vec<LockGuard> {
        let mut held = Vec::new();
        let whole = [locker.lock("k")];
        let requests: Vec<_> = match self {
            Self::Permits => (0..3).map(|_| self.ask(locker)).collect(),
            Self::Exclusive | Self::Shared => whole.into(),
        };
        for request in requests {
            held.push(request.ttl(ttl).acquire().await.expect("room"));
        }
        held
    }
}

async fn is_busy(request: LockRequest) -> LockError {
    let error = request.acquire().await.expect_err("there is no room");
    assert!(error.is_busy(), "{error}");
    error
}

/// As soon as there is room.
async fn once_there_is_room(kind: Kind, locker: &Locker) -> LockGuard {
    until_some(LIMIT, "there is room", async || {
        kind.ask(locker).acquire().await.ok()
    })
    .await
}

async fn whole_key_is_free(locker: &Locker) {
    let whole = until_some(LIMIT, "all is given back", async || {
        locker.lock("k").ttl(TTL).acquire().await.ok()
    });
    whole.await.release().await.expect("ours");
}

pub(crate) async fn what_is_full_is_busy_until_one_is_released(locker: Locker, kind: Kind) {
    for _ in 0..3 {
        let mut held = kind.fill(&locker, TTL).await;
        for _ in 0..2 {
            let error = is_busy(kind.ask(&locker)).await;
            let left = error.retry_after().expect("it expires");
            assert!(left <= TTL && left > TTL / 2, "{left:?}");
        }
        is_busy(locker.lock("k")).await;
        assert!(held.iter().all(|guard| guard.is_held()));
        let one = held.pop().expect("some");
        one.release().await.expect("ours");
        let next = kind.ask(&locker).acquire().await.expect("room");
        assert_eq!(next.token().len(), 22);
        is_busy(locker.lock("k")).await;
        for guard in held.into_iter().chain([next]) {
            guard.release().await.expect("ours");
        }
        let whole = locker.lock("k").ttl(TTL).acquire().await.expect("free");
        whole.release().await.expect("ours");
    }
}

pub(crate) async fn a_dropped_guard_gives_it_back(locker: Locker, kind: Kind) {
    let held = kind.ask(&locker).acquire().await.expect("free");
    drop(held);
    locker.shutdown().await;
    let whole = locker.lock("k").acquire().await.expect("free");
    whole.release().await.expect("ours");
    let mut held = kind.fill(&locker, TTL).await;
    drop(held.pop());
    drop(once_there_is_room(kind, &locker).await);
    drop(held);
    whole_key_is_free(&locker).await;
}

pub(crate) async fn a_body_runs_under_it(locker: Locker, kind: Kind) {
    // A body's own key is not asked for again, so another task looks.
    let seen = kind.ask(&locker).run(async {
        Lease::assert_held("k");
        let locker = locker.clone();
        tokio::spawn(async move { locker.lock("k").acquire().await.is_err() }).await
    });
    assert!(seen.await.expect("free").expect("no panic"), "not held");
    let start = Instant::now();
    let endless = kind
        .ask(&locker)
        .ttl(BRIEF)
        .run(std::future::pending::<()>());
    let error = endless.await.expect_err("cut off");
    let LockError::Lost { reason, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(reason, LostReason::Expired);
    assert!(start.elapsed() >= BRIEF * 9 / 10);
    whole_key_is_free(&locker).await;
}

pub(crate) async fn it_is_extended_and_never_shortened(locker: Locker, kind: Kind) {
    let guard = kind.ask(&locker).acquire().await.expect("free");
    guard.extend(TTL * 2).await.expect("ours");
    let longer = guard.remaining();
    assert!(longer > TTL && longer < TTL * 2);
    guard.extend(BRIEF).await.expect("ours");
    assert!(guard.remaining() > TTL, "shortened");
    let error = is_busy(locker.lock("k")).await;
    assert!(error.retry_after().expect("it expires") > TTL);
    guard.release().await.expect("ours");
}

pub(crate) async fn renew_keeps_it(locker: Locker, kind: Kind) {
    let request = kind.ask(&locker).ttl(BRIEF * 10).renew();
    let guard = request.acquire().await.expect("free");
    let lost = tokio::time::timeout(BRIEF * 13, guard.lost()).await;
    assert_eq!(lost.ok(), None);
    is_busy(locker.lock("k")).await;
    guard.release().await.expect("ours");
    whole_key_is_free(&locker).await;
}

pub(crate) async fn what_ended_is_lost_and_harms_nobody(locker: Locker, kind: Kind) {
    let late = kind.ask(&locker).ttl(BRIEF).acquire().await.expect("free");
    let reason = tokio::time::timeout(LIMIT, late.lost()).await;
    assert_eq!(reason.expect("known at the deadline"), LostReason::Expired);
    assert!(late.extend(TTL).await.expect_err("too late").is_lost());
    let whole = until_some(LIMIT, "others get it", async || {
        locker.lock("k").ttl(TTL).acquire().await.ok()
    });
    let whole = whole.await;
    let error = late.release().await.expect_err("someone else's");
    assert!(error.is_not_held(), "{error}");
    assert!(whole.is_held());
    is_busy(locker.lock("k")).await;
    whole.release().await.expect("ours");
}

pub(crate) async fn min_hold_keeps_its_room(locker: Locker, kind: Kind) {
    if kind == Kind::Shared {
        // Room for others is there in any case; the whole key is kept from them.
        let guard = kind.ask(&locker).min_hold(BRIEF * 5).acquire().await;
        guard.expect("free").release().await.expect("ours");
        drop(kind.ask(&locker).acquire().await.expect("room"));
        locker.shutdown().await;
        is_busy(locker.lock("k")).await;
        return whole_key_is_free(&locker).await;
    }
    let least = BRIEF * 5;
    for released in [true, false] {
        let mut held = kind.fill(&locker, TTL).await;
        held.pop().expect("some").release().await.expect("ours");
        let start = Instant::now();
        let guard = kind.ask(&locker).min_hold(least).acquire().await;
        let guard = guard.expect("room");
        if released {
            guard.release().await.expect("ours");
        } else {
            drop(guard);
            locker.shutdown().await;
        }
        is_busy(kind.ask(&locker)).await;
        let next = once_there_is_room(kind, &locker).await;
        let took = start.elapsed();
        assert!(took >= least * 9 / 10, "room after {took:?}");
        for guard in held.into_iter().chain([next]) {
            guard.release().await.expect("ours");
        }
    }
}

pub(crate) async fn numbers_grow_past_who_is_kept_out(locker: Locker, kind: Kind) {
    let mut last = None;
    for _ in 0..5 {
        for request in [kind.ask(&locker), locker.lock("k").ttl(TTL)] {
            let guard = request.fenced().acquire().await.expect("free");
            let token = guard.fencing_token();
            assert!(token > last, "{token:?} after {last:?}");
            last = token;
            guard.release().await.expect("ours");
        }
    }
}

pub(crate) async fn retries_get_what_is_released(locker: Locker, kind: Kind) {
    let mut held = kind.fill(&locker, TTL).await;
    let request = kind.ask(&locker).retries(1_000_000).backoff(PAUSE);
    let retries = tokio::spawn(request.acquire());
    tokio::time::sleep(BRIEF / 10).await;
    assert!(!retries.is_finished());
    held.pop().expect("some").release().await.expect("ours");
    drop(retries.await.expect("no panic").expect("room"));
}

pub(crate) async fn waiting_gets_what_is_released(locker: Locker, kind: Kind) {
    let mut held = kind.fill(&locker, TTL).await;
    let waits = tokio::spawn(kind.ask(&locker).wait(LIMIT).acquire());
    tokio::time::sleep(BRIEF / 4).await;
    assert!(!waits.is_finished());
    held.pop().expect("some").release().await.expect("ours");
    let guard = tokio::time::timeout(LIMIT, waits).await.expect("its turn");
    let guard = guard.expect("no panic").expect("its turn");
    assert!(guard.is_held());
    drop((guard, held));
    whole_key_is_free(&locker).await;
}

pub(crate) async fn waiting_gets_what_expires(locker: Locker, kind: Kind) {
    for guard in kind.fill(&locker, BRIEF).await {
        // As of a process that has died.
        std::mem::forget(guard);
    }
    let request = kind.ask(&locker).wait(LIMIT);
    request.run(async {}).await.expect("its turn");
}

pub(crate) async fn waiting_runs_out(locker: Locker, kind: Kind) {
    let held = kind.fill(&locker, TTL).await;
    let start = Instant::now();
    is_busy(kind.ask(&locker).wait(BRIEF)).await;
    assert!(start.elapsed() >= BRIEF);
    drop(held);
    whole_key_is_free(&locker).await;
}

pub(crate) async fn who_waits_comes_in_order(locker: Locker, kind: Kind) {
    let held = kind.fill(&locker, TTL).await;
    let (send, mut order) = tokio::sync::mpsc::unbounded_channel();
    let mut waiting = Vec::new();
    for number in 0..9 {
        // Each third wants the whole key, so that no two of others can overtake each other there.
        let request = match number % 3 {
            2 => locker.lock("k").ttl(TTL),
            _ => kind.ask(&locker),
        };
        let send = send.clone();
        let body = async move { send.send(number / 3 * 2 + u32::from(number % 3 == 2)) };
        waiting.push(tokio::spawn(request.wait(LIMIT).run(body)));
        yield_now().await;
    }
    drop(send);
    for guard in held {
        guard.release().await.expect("ours");
    }
    let mut seen = Vec::new();
    while let Some(number) = order.recv().await {
        seen.push(number);
    }
    for call in waiting {
        let _ = call.await.expect("no panic").expect("its turn");
    }
    assert_eq!(seen.len(), 9);
    assert!(seen.is_sorted(), "{seen:?}");
}

pub(crate) async fn a_lock_inside_itself(locker: Locker, kind: Kind) {
    let body = async {
        let inner = kind.ask(&locker).wait_forever().run(async {});
        let error = inner.await.expect_err("it would wait for itself");
        assert!(matches!(error, LockError::WouldDeadlock { .. }), "{error}");
    };
    kind.ask(&locker).run(body).await.expect("free");
}
