//! How several hold a key.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use redis_locked::{LockError, LockGuard, LockRequest, Locker, redis_locked};
use redis_locked_test_support::until;
use tokio::sync::Barrier;
use tokio::task::yield_now;

use crate::common::LIMIT;
use crate::several::{TTL, Waiter, busy, has, permit, reader, whole};

const PAUSE: Duration = Duration::from_millis(2);

/// One who waits, and has come before anybody who comes now.
async fn waits(locker: &Locker, request: LockRequest, waiting: u64) -> Waiter {
    let waiter = tokio::spawn(request.wait(LIMIT).acquire());
    until(LIMIT, format_args!("{waiting} wait"), async || {
        let error = whole(locker).acquire().await.expect_err("held");
        matches!(error, LockError::Busy { waiting: Some(count), .. } if count == waiting)
    })
    .await;
    waiter
}

async fn comes_in(waiter: Waiter) -> LockGuard {
    let guard = tokio::time::timeout(LIMIT, waiter).await;
    guard.expect("its turn").expect("no panic").expect("room")
}

pub(crate) async fn so_many_at_a_time_and_no_more(locker: Locker) {
    const PERMITS: u32 = 3;
    let (inside, most) = (AtomicU32::new(0), AtomicU32::new(0));
    let work = async || {
        let now = inside.fetch_add(1, Ordering::SeqCst) + 1;
        most.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(1)).await;
        inside.fetch_sub(1, Ordering::SeqCst);
    };
    let waiting = async || {
        for _ in 0..10 {
            let request = permit(&locker, PERMITS).wait(LIMIT);
            request.run(work()).await.expect("its turn");
        }
    };
    let retrying = async || {
        for _ in 0..10 {
            let request = permit(&locker, PERMITS).retries(1_000_000).backoff(PAUSE);
            request.run(work()).await.expect("its turn");
        }
    };
    tokio::join!(
        waiting(),
        waiting(),
        waiting(),
        waiting(),
        waiting(),
        waiting(),
        retrying(),
        retrying(),
    );
    assert_eq!(most.into_inner(), PERMITS);
}

pub(crate) async fn each_looks_at_its_own_number_and_a_holder_counts_for_all(locker: Locker) {
    let first = has(permit(&locker, 2)).await;
    let second = has(permit(&locker, 4)).await;
    busy(permit(&locker, 2)).await;
    let third = has(permit(&locker, 3)).await;
    busy(permit(&locker, 3)).await;
    let fourth = has(permit(&locker, 4)).await;
    busy(permit(&locker, 4)).await;
    // One permit is the whole key.
    busy(permit(&locker, 1)).await;
    for guard in [first, second, third, fourth] {
        guard.release().await.expect("ours");
    }
    let alone = has(permit(&locker, 1)).await;
    busy(permit(&locker, 1000)).await;
    alone.release().await.expect("ours");
}

pub(crate) async fn kinds_keep_each_other_out(locker: Locker) {
    let kinds: [fn(&Locker) -> LockRequest; 3] = [whole, |locker| permit(locker, 5), reader];
    for (one, hold) in kinds.into_iter().enumerate() {
        let held = has(hold(&locker)).await;
        for (other, ask) in kinds.into_iter().enumerate() {
            if one == other && other > 0 {
                has(ask(&locker)).await.release().await.expect("ours");
            } else {
                busy(ask(&locker)).await;
            }
        }
        held.release().await.expect("ours");
    }
}

pub(crate) async fn busy_names_the_holders_and_when_there_is_room(locker: Locker) {
    let mut held = Vec::new();
    for seconds in [100, 200, 300, 400] {
        let request = permit(&locker, 4).ttl(Duration::from_secs(seconds));
        held.push(has(request).await);
    }
    let until_room = async |request: LockRequest| {
        let error = busy(request).await;
        let LockError::Busy { owner, holders, .. } = &error else {
            panic!("{error}");
        };
        assert_eq!(*holders, 4);
        let process = std::process::id();
        let named = owner.as_deref().expect("named");
        assert!(
            named.ends_with(&format!(":{process} (3 places) and 1 more")),
            "{named}"
        );
        let text = error.to_string();
        assert!(
            text.contains(" hold it, and there is no room for at most "),
            "{text}"
        );
        error
            .retry_after()
            .expect("they end")
            .as_secs()
            .div_ceil(100)
            * 100
    };
    assert_eq!(until_room(permit(&locker, 4)).await, 100);
    assert_eq!(until_room(permit(&locker, 2)).await, 300);
    assert_eq!(until_room(reader(&locker)).await, 400);
    assert_eq!(until_room(whole(&locker)).await, 400);
    // An extension changes the order in which they end.
    held[0]
        .extend(Duration::from_secs(500))
        .await
        .expect("ours");
    assert_eq!(until_room(permit(&locker, 4)).await, 200);
    assert_eq!(until_room(whole(&locker)).await, 500);
}

pub(crate) async fn nobody_is_let_past_one_who_waits_for_the_whole_key(locker: Locker) {
    let first = has(reader(&locker)).await;
    let writer = waits(&locker, whole(&locker), 1).await;
    busy(reader(&locker)).await;
    busy(reader(&locker).retries(2).backoff(PAUSE)).await;
    let behind = tokio::spawn(reader(&locker).wait(LIMIT).acquire());
    yield_now().await;
    first.release().await.expect("ours");
    let writing = comes_in(writer).await;
    yield_now().await;
    assert!(!behind.is_finished());
    writing.release().await.expect("ours");
    drop(comes_in(behind).await);
}

pub(crate) async fn who_waits_behind_one_that_gives_up_comes_in(locker: Locker) {
    let first = has(reader(&locker)).await;
    let writer = tokio::spawn(whole(&locker).wait(LIMIT).acquire());
    yield_now().await;
    let behind = tokio::spawn(reader(&locker).wait(LIMIT).acquire());
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!behind.is_finished());
    writer.abort();
    let second = comes_in(behind).await;
    assert!(first.is_held() && second.is_held());
}

pub(crate) async fn readers_come_in_together(locker: Locker) {
    const READERS: usize = 20;
    let writer = has(whole(&locker)).await;
    let all_inside = Arc::new(Barrier::new(READERS));
    let mut readers = Vec::new();
    for _ in 0..READERS {
        let all_inside = Arc::clone(&all_inside);
        let body = async move { all_inside.wait().await };
        readers.push(tokio::spawn(reader(&locker).wait(LIMIT).run(body)));
        yield_now().await;
    }
    writer.release().await.expect("ours");
    for call in readers {
        let call = tokio::time::timeout(LIMIT, call).await;
        call.expect("together").expect("no panic").expect("room");
    }
}

pub(crate) async fn a_permit_goes_round_in_a_process(locker: Locker) {
    let done = Arc::new(AtomicU32::new(0));
    let mut calls = Vec::new();
    for _ in 0..64 {
        let (locker, done) = (locker.clone(), Arc::clone(&done));
        calls.push(tokio::spawn(async move {
            for _ in 0..20 {
                let request = permit(&locker, 8).wait(LIMIT);
                let turn = request.run(async { done.fetch_add(1, Ordering::SeqCst) });
                turn.await.expect("its turn");
            }
        }));
    }
    for call in calls {
        call.await.expect("no panic");
    }
    assert_eq!(done.load(Ordering::SeqCst), 64 * 20);
    until(LIMIT, "all is given back", async || {
        whole(&locker).acquire().await.is_ok()
    })
    .await;
}

pub(crate) async fn requests_that_cannot_be_meant(locker: Locker) {
    for request in [
        whole(&locker).permits(0),
        whole(&locker).permits(1001),
        whole(&locker).permits(3).shared(),
        whole(&locker).permits(1).shared(),
    ] {
        let shown = format!("{request:?}");
        let error = request.run(async { panic!("it ran") }).await;
        let error = Result::<(), _>::expect_err(error, "refused");
        assert!(
            matches!(error, LockError::InvalidRequest { .. }),
            "{shown}: {error}"
        );
    }
    for several in [whole(&locker).permits(3), whole(&locker).shared()] {
        let recorded = several.record(TTL).run(async { panic!("it ran") }).await;
        let error = Result::<(), _>::expect_err(recorded, "refused");
        let refused = matches!(error, LockError::InvalidRequest { .. });
        assert!(refused, "{error}");
    }
    has(whole(&locker)).await.release().await.expect("free");
}

#[redis_locked(key = "k", permits = number, ttl = TTL, skip, bind = lease)]
async fn export(number: u32) -> Option<String> {
    Some(lease.token().to_owned())
}

#[redis_locked(key = "k", shared, ttl = TTL, or_else = |error| error.to_string())]
async fn read() -> String {
    "read".to_owned()
}

pub(crate) async fn the_attribute_has_both(locker: Locker) {
    let permits = has(permit(&locker, 2)).await;
    let (free, full, text) = locker
        .scope(async { (export(2).await, export(1).await, read().await) })
        .await;
    assert_eq!((free.map(|token| token.len()), full), (Some(22), None));
    assert!(text.starts_with("lock \"k\" is busy: "), "{text}");
    permits.release().await.expect("ours");
    let shared = has(reader(&locker)).await;
    assert_eq!(locker.scope(read()).await, "read");
    shared.release().await.expect("ours");
}
