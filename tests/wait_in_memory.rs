//! Waiting on locks in memory: the same line and the same hand-over, on tokio's clock.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis_locked::{LockError, LockRequest, Locker};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep};

const TTL: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(600);

fn request(locker: &Locker) -> LockRequest {
    locker.lock("k").ttl(TTL).wait(LONG)
}

#[tokio::test(start_paused = true)]
async fn first_come_first_served_under_one_token() {
    let locker = Locker::in_memory();
    let held = request(&locker).acquire().await.expect("free");
    let token = held.token().to_owned();
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut line = Vec::new();
    for number in 0..20 {
        let (locker, order) = (locker.clone(), Arc::clone(&order));
        line.push(tokio::spawn(async move {
            let guard = request(&locker).acquire().await?;
            order
                .lock()
                .expect("no panic")
                .push((number, guard.token().to_owned()));
            guard.release().await
        }));
        yield_now().await;
    }
    held.release().await.expect("passed on");
    for call in line {
        call.await.expect("no panic").expect("its turn");
    }
    let order = order.lock().expect("no panic");
    let expected: Vec<_> = (0..20).map(|number| (number, token.clone())).collect();
    assert_eq!(*order, expected);
}

#[tokio::test(start_paused = true)]
async fn the_wait_is_over_on_time() {
    let locker = Locker::in_memory();
    let held = locker.lock("k").ttl(LONG).acquire().await.expect("free");
    let started = Instant::now();
    let wait = Duration::from_secs(7);
    let error = locker
        .lock("k")
        .wait(wait)
        .acquire()
        .await
        .expect_err("held");
    let LockError::Busy { waited, owner, .. } = error else {
        panic!("{error}")
    };
    assert!(owner.is_some());
    assert!(waited >= wait && started.elapsed() < wait + Duration::from_millis(5));
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn a_holder_who_says_nothing_costs_its_ttl_and_no_more() {
    for waits in [false, true] {
        let locker = Locker::in_memory();
        let holder = locker.lock("k").ttl(TTL);
        let holder = if waits { holder.wait(LONG) } else { holder };
        let started = Instant::now();
        let lies_around = holder.acquire().await.expect("free");
        let guard = request(&locker).acquire().await.expect("expired");
        let waited = started.elapsed();
        assert!(
            waited >= TTL && waited < TTL + Duration::from_millis(10),
            "{waited:?}"
        );
        assert!(guard.is_held() && !lies_around.is_held());
        drop(lies_around);
        sleep(Duration::from_millis(10)).await;
        assert!(guard.is_held());
        let busy = locker.lock("k").acquire().await.expect_err("held");
        assert!(busy.is_busy());
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_has_its_own_deadline_and_the_keeper_extends() {
    let locker = Locker::in_memory();
    let held = request(&locker).acquire().await.expect("free");
    let longer = tokio::spawn(request(&locker).ttl(3 * TTL).run(async {
        sleep(2 * TTL).await;
        Instant::now()
    }));
    yield_now().await;
    let shorter = tokio::spawn(
        request(&locker)
            .ttl(TTL / 60)
            .run(async { sleep(TTL).await }),
    );
    yield_now().await;
    held.release().await.expect("passed on");
    let ended = longer.await.expect("no panic").expect("not cut off");
    let error = shorter.await.expect("no panic").expect_err("too long");
    assert!(error.is_lost(), "{error}");
    assert!(ended.elapsed() < TTL / 30);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_passed_on_within_min_hold() {
    let locker = Locker::in_memory();
    let began = Instant::now();
    let held = request(&locker)
        .min_hold(TTL / 2)
        .acquire()
        .await
        .expect("free");
    let token = held.token().to_owned();
    let next = tokio::spawn(request(&locker).acquire());
    yield_now().await;
    held.release().await.expect("ours");
    let guard = next.await.expect("no panic").expect("its turn");
    let waited = began.elapsed();
    assert!(
        waited >= TTL / 2 && waited < TTL / 2 + Duration::from_millis(10),
        "{waited:?}"
    );
    assert_ne!(guard.token(), token);
}

#[tokio::test(start_paused = true)]
async fn numbers_grow_with_each_holder() {
    let locker = Locker::in_memory();
    let numbers = Arc::new(Mutex::new(Vec::new()));
    let calls: Vec<_> = (0..1_500)
        .map(|_| {
            let (locker, numbers) = (locker.clone(), Arc::clone(&numbers));
            tokio::spawn(async move {
                let guard = request(&locker).fenced().acquire().await?;
                numbers
                    .lock()
                    .expect("no panic")
                    .push(guard.fencing_token());
                guard.release().await
            })
        })
        .collect();
    for call in calls {
        call.await.expect("no panic").expect("its turn");
    }
    let numbers = numbers.lock().expect("no panic");
    assert_eq!(numbers.len(), 1_500);
    assert!(numbers.is_sorted_by(|one, next| one.is_some() && one < next));
}
