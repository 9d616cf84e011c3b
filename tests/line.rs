//! The line of one process: first come first served, and only its head talks to Redis.

mod common;

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use common::{LIMIT, redis};
use redis_locked::{LockError, LockGuard, Locker};
use redis_locked_test_support::{Server, until};
use tokio::task::JoinSet;

/// Longer than any test: who gets such a lock was called.
const TTL: Duration = Duration::from_secs(60);

type Acquiring = Pin<Box<dyn Future<Output = Result<LockGuard, LockError>> + Send>>;

/// A place in the line, from the first poll on.
struct Caller(Acquiring);

impl Caller {
    async fn in_line(locker: &Locker, ttl: Duration) -> Self {
        let mut caller = Self(Box::pin(locker.lock("k").ttl(ttl).wait(LIMIT).acquire()));
        assert!(!caller.is_called().await);
        caller
    }

    async fn is_called(&mut self) -> bool {
        poll_fn(|cx| Poll::Ready(self.0.as_mut().poll(cx).is_ready())).await
    }

    async fn guard(self) -> LockGuard {
        let guard = tokio::time::timeout(LIMIT, self.0).await;
        guard.expect("forgotten in the line").expect("its turn")
    }
}

/// The server, the locker, and the holder of its `k` that came through the line.
async fn held() -> (Server, Locker, LockGuard) {
    let (server, locker) = redis().await;
    let held = locker.lock("k").ttl(TTL).wait(LIMIT).acquire().await;
    (server, locker, held.expect("free"))
}

/// The head of a line on a key that another program holds, after it has asked Redis.
async fn head(server: &Server, locker: &Locker, ttl: Duration) -> Caller {
    let monitor = server.monitor();
    let mut head = Caller::in_line(locker, ttl).await;
    let mut registered = Box::pin(monitor.wait_for(
        |event| event.is_from_script() && event.is("get", "k"),
        LIMIT,
    ));
    poll_fn(|cx| {
        assert!(head.0.as_mut().poll(cx).is_pending());
        registered.as_mut().poll(cx).map(drop)
    })
    .await;
    drop(registered);
    head
}

/// Callers who come one after the other note when they are served.
async fn serve(
    callers: usize,
    locker: &Locker,
    min_hold: Option<Duration>,
) -> (JoinSet<()>, Order) {
    let order = Order::default();
    let mut line = JoinSet::new();
    for number in 0..callers {
        let order = Arc::clone(&order);
        let request = locker.lock("k").ttl(TTL).wait(LIMIT);
        let request = match min_hold {
            Some(min_hold) => request.min_hold(min_hold),
            None => request,
        };
        line.spawn(async move {
            let body = async { order.lock().expect("no panic").push(number) };
            request.run(body).await.expect("its turn");
        });
        // Polled once: it has its place.
        tokio::task::yield_now().await;
    }
    (line, order)
}

type Order = Arc<Mutex<Vec<usize>>>;

async fn assert_in_order((line, order): (JoinSet<()>, Order)) {
    let callers = line.len();
    line.join_all().await;
    let order = order.lock().expect("no panic");
    assert_eq!(*order, (0..callers).collect::<Vec<_>>());
}

#[tokio::test]
async fn first_come_first_served() {
    let (_server, locker, held) = held().await;
    let line = serve(50, &locker, None).await;
    held.release().await.expect("ours");
    assert_in_order(line).await;
}

#[tokio::test]
async fn first_come_first_served_by_way_of_redis() {
    let (server, locker) = redis().await;
    assert!(server.set_nx_px("k", "theirs", 60_000).await);
    // What a holder keeps is not passed on.
    let line = serve(10, &locker, Some(Duration::from_millis(20))).await;
    server.del("k").await;
    assert_in_order(line).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_callers_cost_what_one_does() {
    let (server, locker) = redis().await;
    assert!(server.set_nx_px("k", "theirs", 60_000).await);
    let monitor = server.monitor();
    let inside = Arc::new(AtomicUsize::new(0));
    let mut line = JoinSet::new();
    for _ in 0..200 {
        let inside = Arc::clone(&inside);
        line.spawn(locker.lock("k").ttl(TTL).wait(LIMIT).run(async move {
            assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
            tokio::task::yield_now().await;
            inside.fetch_sub(1, Ordering::SeqCst);
        }));
    }
    monitor
        .wait_for(
            |event| event.is_from_script() && event.is("get", "k"),
            LIMIT,
        )
        .await;
    server.reset_stats().await;
    server.del("k").await;
    while let Some(call) = line.join_next().await {
        call.expect("no panic").expect("its turn");
    }
    let calls = server.command_calls().await;
    let asked = |name| calls.get(name).copied().unwrap_or(0);
    // Two or three for each tenure, which is passed on for 50 ms; much less than one a caller.
    let commands = asked("evalsha") + asked("eval");
    assert!((2..=60).contains(&commands), "{calls:?}");
    assert!(!server.exists("k").await);
}

#[tokio::test]
async fn one_in_the_middle_gives_up() {
    let (_server, locker, held) = held().await;
    let front = Caller::in_line(&locker, TTL).await;
    let middle = Caller::in_line(&locker, TTL).await;
    let mut last = Caller::in_line(&locker, TTL).await;
    drop(middle);
    held.release().await.expect("ours");
    let front = front.guard().await;
    assert!(!last.is_called().await);
    front.release().await.expect("ours");
    assert!(last.guard().await.is_held());
}

#[tokio::test]
async fn the_head_gives_up_while_it_waits_for_this_process() {
    let (_server, locker, held) = held().await;
    let gone = Caller::in_line(&locker, TTL).await;
    let next = Caller::in_line(&locker, TTL).await;
    drop(gone);
    held.release().await.expect("ours");
    assert!(next.guard().await.is_held());
}

#[tokio::test]
async fn the_head_gives_up_while_it_waits_for_redis() {
    let (server, locker) = redis().await;
    assert!(server.set_nx_px("k", "theirs", 60_000).await);
    let gone = head(&server, &locker, TTL).await;
    let next = Caller::in_line(&locker, TTL).await;
    drop(gone);
    server.del("k").await;
    assert!(next.guard().await.is_held());
}

#[tokio::test]
async fn the_head_gives_up_before_it_has_asked() {
    let (server, locker) = redis().await;
    assert!(server.set_nx_px("k", "theirs", 60_000).await);
    // Its command is under way, or not even sent.
    let head = Caller::in_line(&locker, TTL).await;
    let next = Caller::in_line(&locker, TTL).await;
    drop(head);
    server.del("k").await;
    assert!(next.guard().await.is_held());
    locker.shutdown().await;
    until(LIMIT, "the key is gone", async || !server.exists("k").await).await;
}

#[tokio::test]
async fn one_gives_up_who_was_just_handed_the_lock() {
    let (server, locker, held) = held().await;
    let token = held.token().to_owned();
    let gone = Caller::in_line(&locker, TTL).await;
    let next = Caller::in_line(&locker, TTL).await;
    held.release().await.expect("ours");
    // Not polled since.
    drop(gone);
    let guard = next.guard().await;
    assert_eq!(guard.token(), token);
    drop(guard);
    until(LIMIT, "the key is gone", async || !server.exists("k").await).await;
}

#[tokio::test]
async fn the_last_gives_up_who_was_just_handed_the_lock() {
    let (server, locker, held) = held().await;
    let gone = Caller::in_line(&locker, TTL).await;
    held.release().await.expect("ours");
    assert!(server.exists("k").await);
    drop(gone);
    until(LIMIT, "the key is gone", async || !server.exists("k").await).await;
}

#[tokio::test]
async fn all_give_up_at_once() {
    let (server, locker, held) = held().await;
    let mut line = Vec::new();
    for _ in 0..1_000 {
        line.push(Caller::in_line(&locker, TTL).await);
    }
    held.release().await.expect("ours");
    drop(line);
    until(LIMIT, "the key is gone", async || !server.exists("k").await).await;
    let again = locker.lock("k").wait(LIMIT).acquire().await;
    assert!(again.expect("free").is_held());
}

#[tokio::test]
async fn the_next_gets_it_when_the_holder_says_nothing() {
    const SHORT: Duration = Duration::from_millis(200);
    let (server, locker) = redis().await;
    assert!(server.set_nx_px("k", "theirs", 60_000).await);
    let head = head(&server, &locker, SHORT).await;
    // It came when nobody of this process had the lock.
    let next = Caller::in_line(&locker, TTL).await;
    server.del("k").await;
    let lies_around = head.guard().await;
    assert!(next.guard().await.is_held());
    assert!(!lies_around.is_held());
}

#[tokio::test]
async fn the_one_after_the_next_gets_it_when_the_next_says_nothing() {
    const SHORT: Duration = Duration::from_millis(200);
    let (server, locker) = redis().await;
    assert!(server.set_nx_px("k", "theirs", 60_000).await);
    let head = head(&server, &locker, SHORT).await;
    let next = Caller::in_line(&locker, SHORT).await;
    let after = Caller::in_line(&locker, TTL).await;
    server.del("k").await;
    head.guard().await.release().await.expect("ours");
    let lies_around = next.guard().await;
    assert!(after.guard().await.is_held());
    assert!(!lies_around.is_held());
}
