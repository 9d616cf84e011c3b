//! Hand-over: the lock passes to the next in line without Redis, under the lease that still runs.

mod common;

use std::collections::BTreeMap;
use std::future::pending;
use std::panic::resume_unwind;
use std::time::{Duration, Instant};

use common::{LIMIT, locker_at, redis};
use redis_locked::{LockError, LockGuard, LockRequest, Locker};
use redis_locked_test_support::{Server, until};
use tokio::task::{JoinHandle, yield_now};

/// Longer than any test: who gets such a lock was called.
const TTL: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(300);
/// Within this time a tenure is surely passed on.
const PROMPT: Duration = Duration::from_millis(40);
/// Many times as long as a tenure is passed on.
const LONG_AGO: Duration = Duration::from_millis(200);

fn request(locker: &Locker) -> LockRequest {
    locker.lock("k").ttl(TTL).wait(LIMIT)
}

/// One who has its place in the line when this returns: the test's runtime has one thread.
async fn next<T: Send + 'static>(
    call: impl Future<Output = Result<T, LockError>> + Send + 'static,
) -> JoinHandle<Result<T, LockError>> {
    let task = tokio::spawn(call);
    yield_now().await;
    task
}

async fn turn_of<T>(task: JoinHandle<Result<T, LockError>>) -> T {
    let result = tokio::time::timeout(LIMIT, task).await;
    result
        .expect("in time")
        .expect("no panic")
        .expect("its turn")
}

/// Tries again while the machine is so busy that a tenure grows too old to be passed on.
async fn promptly<T>(mut scenario: impl AsyncFnMut() -> T) -> T {
    let limit = Instant::now() + LIMIT;
    loop {
        let began = Instant::now();
        let result = scenario().await;
        if began.elapsed() < PROMPT || began > limit {
            return result;
        }
    }
}

/// A server, a locker, and a holder of its `k` whose tenure has just begun.
async fn held(request: impl FnOnce(&Locker) -> LockRequest) -> (Server, Locker, LockGuard) {
    let (server, locker) = redis().await;
    let guard = request(&locker).acquire().await.expect("free");
    (server, locker, guard)
}

/// What came of a hand-over.
#[derive(Debug, PartialEq)]
struct Passed {
    tokens: Vec<bool>,
    calls: BTreeMap<String, u64>,
}

fn without_redis(hand_overs: usize) -> Passed {
    Passed {
        tokens: vec![true; hand_overs],
        calls: BTreeMap::new(),
    }
}

#[tokio::test]
async fn redis_is_not_asked_and_the_token_stays() {
    let (server, locker) = redis().await;
    let passed = promptly(async || {
        let mut guard = request(&locker).acquire().await.expect("free");
        server.reset_stats().await;
        let token = guard.token().to_owned();
        let first = next(request(&locker).acquire()).await;
        let second = next(request(&locker).acquire()).await;
        let mut tokens = Vec::new();
        for task in [first, second] {
            let former = guard.lease();
            assert!(former.is_held());
            guard.release().await.expect("passed on");
            assert!(!former.is_held());
            assert_eq!(former.remaining(), Duration::ZERO);
            guard = turn_of(task).await;
            assert!(guard.is_held());
            tokens.push(guard.token() == token);
            let error = former.extend(TTL).await.expect_err("not the holder");
            assert!(error.is_not_held(), "{error}");
        }
        let calls = server.command_calls().await;
        guard.release().await.expect("ours");
        assert!(!server.exists("k").await);
        Passed { tokens, calls }
    })
    .await;
    assert_eq!(passed, without_redis(2));
}

#[tokio::test]
async fn also_from_one_who_did_not_wait_and_by_a_drop() {
    let (server, locker) = redis().await;
    let same = promptly(async || {
        let held = locker.lock("k").ttl(TTL).acquire().await.expect("free");
        let token = held.token().to_owned();
        let task = next(request(&locker).acquire()).await;
        drop(held);
        let guard = turn_of(task).await;
        let same = guard.token() == token;
        guard.release().await.expect("ours");
        same
    })
    .await;
    assert!(same);
    assert!(!server.exists("k").await);
}

#[tokio::test]
async fn a_body_that_panics_passes_on() {
    let (server, locker) = redis().await;
    let passed = promptly(async || {
        let held = request(&locker).acquire().await.expect("free");
        server.reset_stats().await;
        let token = held.token().to_owned();
        let body = async { resume_unwind(Box::new("as asked")) };
        let panics = next(request(&locker).run(body)).await;
        let task = next(request(&locker).acquire()).await;
        held.release().await.expect("passed on");
        let panic: Result<Result<(), LockError>, _> = panics.await;
        assert!(panic.expect_err("panics").is_panic());
        let guard = turn_of(task).await;
        let tokens = vec![guard.token() == token];
        let calls = server.command_calls().await;
        guard.release().await.expect("ours");
        Passed { tokens, calls }
    })
    .await;
    assert_eq!(passed, without_redis(1));
}

#[tokio::test]
async fn nothing_is_passed_on_once_the_release_is_under_way() {
    let server = Server::start().await;
    let proxy = server.proxy().await;
    let locker = locker_at(&proxy.url()).await;
    // So that the server knows the script.
    let before = request(&locker).acquire().await.expect("free");
    before.release().await.expect("ours");
    let held = request(&locker).acquire().await.expect("free");
    let token = held.token().to_owned();
    proxy.stall_answers(true);
    let mut release = Box::pin(held.release());
    tokio::select! {
        _ = &mut release => panic!("nobody answers"),
        () = until(LIMIT, "it has landed", async || !server.exists("k").await) => {}
    }
    let task = next(request(&locker).acquire()).await;
    // A caller who leaves just then, with one waiting who was not there when it began.
    drop(release);
    proxy.stall_answers(false);
    let guard = turn_of(task).await;
    assert_ne!(guard.token(), token);
    let value = server.get("k").await.expect("really locked");
    assert!(value.starts_with(guard.token()), "{value}");
}

#[tokio::test]
async fn nothing_is_passed_on_after_a_release_that_failed() {
    let (server, locker, held) = held(request).await;
    let token = held.token().to_owned();
    server.set_read_only(true).await;
    let mut release = Box::pin(held.release());
    let polled = std::future::poll_fn(|cx| std::task::Poll::Ready(release.as_mut().poll(cx)));
    assert!(polled.await.is_pending());
    let task = next(request(&locker).acquire()).await;
    let error = release.await.expect_err("read-only");
    assert!(error.is_backend(), "{error}");
    server.set_read_only(false).await;
    assert_ne!(turn_of(task).await.token(), token);
}

#[tokio::test]
async fn nothing_is_passed_on_within_min_hold() {
    const AT_LEAST: Duration = Duration::from_millis(400);
    let began = Instant::now();
    let (_server, locker, held) = held(|locker| request(locker).min_hold(AT_LEAST)).await;
    let token = held.token().to_owned();
    let task = next(request(&locker).acquire()).await;
    held.release().await.expect("ours");
    let guard = turn_of(task).await;
    assert!(began.elapsed() >= AT_LEAST);
    assert_ne!(guard.token(), token);
}

#[tokio::test]
async fn the_keeper_extends_for_one_who_needs_longer() {
    let (server, locker) = redis().await;
    let (task, same) = promptly(async || {
        server.del("k").await;
        let held = request(&locker).ttl(SHORT).acquire().await.expect("free");
        let token = held.token().to_owned();
        let task = next(request(&locker).run(pending::<()>())).await;
        held.release().await.expect("passed on");
        let value = server.get("k").await;
        let same = value.is_some_and(|value| value.starts_with(&token));
        (task, same)
    })
    .await;
    assert!(same);
    let extended = async || server.pttl("k").await > 30_000;
    until(LIMIT, "the key lasts as long as the next needs", extended).await;
    task.abort();
    until(LIMIT, "the key is gone", async || !server.exists("k").await).await;
}

#[tokio::test]
async fn the_next_has_its_own_deadline() {
    let (_server, locker, held) = held(request).await;
    let call = request(&locker).ttl(SHORT).run(pending::<()>());
    let task = next(call).await;
    let started = Instant::now();
    held.release().await.expect("passed on");
    let result = tokio::time::timeout(LIMIT, task).await.expect("cut off");
    assert!(result.expect("no panic").expect_err("too long").is_lost());
    assert!(started.elapsed() >= SHORT * 9 / 10);
}

/// If it then dies, or ends without a word, others wait no longer than it asked for.
#[tokio::test]
async fn the_next_that_asked_for_less_keeps_the_longer_ttl_in_redis() {
    let (server, locker, held) = held(request).await;
    let shorter = request(&locker).ttl(Duration::from_secs(5)).acquire();
    let task = next(shorter).await;
    held.release().await.expect("ours");
    let guard = turn_of(task).await;
    assert!(guard.is_held());
    let left = server.pttl("k").await;
    assert!(left <= 5_000, "{left} ms left");
}

#[tokio::test]
async fn an_old_tenure_is_not_passed_on_and_others_get_their_turn() {
    let (server, locker, held) = held(request).await;
    let token = held.token().to_owned();
    let other = locker_at(&server.url()).await;
    let mut tasks = Vec::new();
    let theirs = next(other.lock("k").ttl(TTL).wait(LIMIT).acquire()).await;
    until(LIMIT, "the other asks to be told", async || {
        server.command_calls().await.contains_key("client|tracking")
            && server
                .command_calls()
                .await
                .get("get")
                .is_some_and(|calls| *calls > 0)
    })
    .await;
    let ours = next(request(&locker).acquire()).await;
    // Older than any tenure that is passed on: time is what is tested here.
    tokio::time::sleep(LONG_AGO).await;
    held.release().await.expect("ours");
    for task in [ours, theirs] {
        // Whichever has it first: the other then gets it, too.
        let released = tokio::spawn(async move {
            let guard = turn_of(task).await;
            let token = guard.token().to_owned();
            guard.release().await.map(|()| token)
        });
        tasks.push(released);
    }
    for task in tasks {
        assert_ne!(turn_of(task).await, token);
    }
}
