//! Fencing numbers: each holder has a larger one than the one before, also where no command is sent.

mod common;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::{LIMIT, locker_at, redis};
use redis_locked::{FencingToken, LockError, Locker};
use tokio::task::JoinSet;

const TTL: Duration = Duration::from_secs(60);

type Numbers = Arc<Mutex<Vec<FencingToken>>>;

async fn hold(locker: Locker, fenced: bool, numbers: Numbers) -> Result<(), LockError> {
    let request = locker.lock("k").ttl(TTL).wait(LIMIT);
    let request = if fenced { request.fenced() } else { request };
    let guard = request.acquire().await?;
    assert_eq!(guard.fencing_token().is_some(), fenced);
    numbers
        .lock()
        .expect("no panic")
        .extend(guard.fencing_token());
    guard.release().await
}

fn assert_growing(numbers: &Numbers, expected: usize) {
    let numbers = numbers.lock().expect("no panic");
    assert_eq!(numbers.len(), expected);
    for pair in numbers.windows(2) {
        assert!(pair[0] < pair[1], "{pair:?}");
    }
}

async fn finished(mut calls: JoinSet<Result<(), LockError>>) {
    while let Some(call) = calls.join_next().await {
        call.expect("no panic").expect("its turn");
    }
}

#[tokio::test]
async fn past_a_thousand_hand_overs() {
    let (_server, locker) = redis().await;
    let numbers = Numbers::default();
    let mut calls = JoinSet::new();
    for _ in 0..3_000 {
        calls.spawn(hold(locker.clone(), true, Arc::clone(&numbers)));
    }
    finished(calls).await;
    assert_growing(&numbers, 3_000);
}

#[tokio::test]
async fn among_some_who_want_none() {
    let (_server, locker) = redis().await;
    let numbers = Numbers::default();
    let mut calls = JoinSet::new();
    for number in 0..400 {
        calls.spawn(hold(locker.clone(), number % 3 == 1, Arc::clone(&numbers)));
    }
    finished(calls).await;
    assert_growing(&numbers, 133);
}

#[tokio::test]
async fn with_another_process() {
    let (server, locker) = redis().await;
    let other = locker_at(&server.url()).await;
    let numbers = Numbers::default();
    let mut calls = JoinSet::new();
    for _ in 0..200 {
        calls.spawn(hold(locker.clone(), true, Arc::clone(&numbers)));
        calls.spawn(hold(other.clone(), true, Arc::clone(&numbers)));
    }
    finished(calls).await;
    assert_growing(&numbers, 400);
}

#[tokio::test]
async fn a_lease_keeps_its_number_when_the_lock_is_passed_on() {
    let (_server, locker) = redis().await;
    let fenced = locker
        .lock("k")
        .ttl(TTL)
        .fenced()
        .acquire()
        .await
        .expect("free");
    let first = fenced.lease();
    let number = fenced.fencing_token().expect("fenced");
    let mut plain = tokio::spawn(locker.lock("k").ttl(TTL).wait(LIMIT).acquire());
    tokio::task::yield_now().await;
    fenced.release().await.expect("passed on");
    let plain = (&mut plain).await.expect("no panic").expect("its turn");
    assert_eq!(plain.token(), first.token());
    assert_eq!(plain.fencing_token(), None);
    assert_eq!(first.fencing_token(), Some(number));
}
