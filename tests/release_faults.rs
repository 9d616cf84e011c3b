//! The release meets a fault. What the body returned reaches the caller, and the key goes.

use std::time::{Duration, Instant};

use redis_locked::{LockError, LockGuard, Locker, redis_locked};
use redis_locked_test_support::{AfterLoss, Logs, Proxy, Server, bulk, until};
use tokio::sync::Notify;
use tokio::time::timeout;
use tracing::Level;

const TTL: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(20);

#[derive(Debug, PartialEq)]
enum BodyError {
    Own,
    Lock(String),
}

impl From<LockError> for BodyError {
    fn from(error: LockError) -> Self {
        Self::Lock(error.to_string())
    }
}

struct Bench {
    server: Server,
    proxy: Proxy,
    locker: Locker,
}

impl Bench {
    /// The locker has released before, so that the server knows the script.
    async fn new() -> Self {
        let server = Server::start().await;
        let proxy = server.proxy().await;
        let locker = Locker::builder()
            .connection_timeout(LIMIT)
            .response_timeout(LIMIT / 8)
            .connect(&proxy.url())
            .await
            .expect("connected");
        let warm = locker.lock("warm").run(async {}).await;
        warm.expect("no faults yet");
        Self {
            server,
            proxy,
            locker,
        }
    }

    /// The key goes long before its ttl is over.
    async fn assert_released(&self) {
        until(LIMIT, "it is released", async || {
            !self.server.exists("key").await
        })
        .await;
        self.locker.shutdown().await;
    }
}

/// Runs a body that brings about a fault as the last thing it does, and fails.
#[redis_locked(key = "key", ttl = TTL, locker = locker)]
async fn failing(locker: &Locker, fault: impl Future<Output = ()>) -> Result<(), BodyError> {
    fault.await;
    Err(BodyError::Own)
}

/// The same, with a body that succeeds.
#[redis_locked(key = "key", ttl = TTL, locker = locker)]
async fn working(locker: &Locker, fault: impl Future<Output = ()>) -> Result<u32, BodyError> {
    fault.await;
    Ok(7)
}

#[tokio::test]
async fn the_scripts_are_flushed() {
    let bench = Bench::new().await;
    let (logs, _guard) = Logs::of_this_thread();
    let flush = || bench.server.flush_scripts();
    assert_eq!(working(&bench.locker, flush()).await, Ok(7));
    assert!(
        !bench.server.exists("key").await,
        "released before the caller went on"
    );
    assert_eq!(failing(&bench.locker, flush()).await, Err(BodyError::Own));
    assert!(!bench.server.exists("key").await);
    assert!(logs.find(Level::WARN, "").is_none(), "{:?}", logs.events());
}

#[tokio::test]
async fn the_server_restarts_empty() {
    let bench = Bench::new().await;
    let (logs, _guard) = Logs::of_this_thread();
    let restart = || bench.server.restart();
    assert_eq!(working(&bench.locker, restart()).await, Ok(7));
    assert_eq!(failing(&bench.locker, restart()).await, Err(BodyError::Own));
    bench.assert_released().await;
    assert!(logs.find(Level::ERROR, "").is_none(), "{:?}", logs.events());
    assert_eq!(
        working(&bench.locker, async {}).await,
        Ok(7),
        "it works again"
    );
}

#[tokio::test]
async fn the_server_is_down_for_a_while() {
    let bench = Bench::new().await;
    let (logs, _guard) = Logs::of_this_thread();
    let kill = async || bench.server.kill();
    assert_eq!(failing(&bench.locker, kill()).await, Err(BodyError::Own));
    assert!(
        logs.find(Level::WARN, "key").is_some(),
        "{:?}",
        logs.events()
    );
    bench.server.restart().await;
    assert_eq!(working(&bench.locker, kill()).await, Ok(7));
    bench.server.restart().await;
    bench.assert_released().await;
}

/// As after a failover that left the address with a replica: the body's error wins, the release
/// is logged, and tried again until it succeeds.
#[tokio::test]
async fn the_server_takes_no_writes_for_a_while() {
    let bench = Bench::new().await;
    for fails in [true, false] {
        let (logs, _guard) = Logs::of_this_thread();
        let read_only = bench.server.set_read_only(true);
        if fails {
            let result = failing(&bench.locker, read_only).await;
            assert_eq!(result, Err(BodyError::Own));
        } else {
            assert_eq!(working(&bench.locker, read_only).await, Ok(7));
        }
        let warning = logs.find(Level::WARN, "READONLY").expect("a warning");
        assert_eq!(warning.fields["lock.key"], "key");
        assert!(bench.server.exists("key").await);
        bench.server.set_read_only(false).await;
        bench.assert_released().await;
    }
}

#[tokio::test]
async fn a_guard_is_told_and_goes_on_in_the_background() {
    let bench = Bench::new().await;
    let guard = bench
        .locker
        .lock("key")
        .ttl(TTL)
        .acquire()
        .await
        .expect("free");
    bench.server.set_read_only(true).await;
    let error = guard.release().await.expect_err("refused");
    assert!(error.is_backend(), "{error}");
    assert!(error.to_string().contains("READONLY"), "{error}");
    bench.server.set_read_only(false).await;
    bench.assert_released().await;
}

#[tokio::test]
async fn the_connection_is_cut_before_the_release() {
    let bench = Bench::new().await;
    assert_eq!(working(&bench.locker, bench.proxy.cut()).await, Ok(7));
    assert!(
        !bench.server.exists("key").await,
        "released before the caller went on"
    );
}

/// The server has released; nobody knows, and the release is asked for again.
#[tokio::test]
async fn the_answer_to_the_release_is_lost() {
    let bench = Bench::new().await;
    for then in [AfterLoss::Cut, AfterLoss::Silence] {
        let (logs, _guard) = Logs::of_this_thread();
        let lose = async || bench.proxy.drop_next_answer(bulk("EVALSHA"), then);
        assert_eq!(working(&bench.locker, lose()).await, Ok(7));
        timeout(LIMIT, bench.assert_released())
            .await
            .expect("a silent connection is given up");
        if then == AfterLoss::Cut {
            assert!(logs.find(Level::WARN, "").is_none(), "{:?}", logs.events());
        }
    }
    assert!(bench.proxy.lost_answers() >= 2);
}

/// Loses the answer to a release, and has another take the key before the release is asked again.
/// Answers are held back already.
async fn take_over(bench: &Bench) -> LockGuard {
    let direct = Locker::builder().connect(&bench.server.url()).await;
    let waiting = direct.expect("connected").lock("key").ttl(TTL).wait(LIMIT);
    let theirs = waiting.acquire().await.expect("it was released");
    bench.proxy.cut().await;
    bench.proxy.stall_answers(false);
    theirs
}

/// Nobody was told of a loss: the release was carried out, whoever has the key by now.
async fn nothing_was_lost(logs: &Logs, theirs: LockGuard) {
    let told = logs.find(Level::WARN, "").or(logs.find(Level::ERROR, ""));
    assert!(told.is_none(), "{told:?}");
    theirs.release().await.expect("still theirs");
}

#[tokio::test]
async fn a_guard_is_told_that_its_lock_was_lost_though_it_was_released() {
    let bench = Bench::new().await;
    let (logs, _guard) = Logs::of_this_thread();
    let guard = bench.locker.lock("key").ttl(TTL).acquire().await;
    bench.proxy.stall_answers(true);
    let release = guard.expect("free").release();
    let (released, theirs) = tokio::join!(release, take_over(&bench));
    released.expect("it was carried out");
    nothing_was_lost(&logs, theirs).await;
}

#[tokio::test]
async fn the_log_is_told_that_a_body_lost_its_lock_though_it_was_released() {
    let bench = Bench::new().await;
    let (logs, _guard) = Logs::of_this_thread();
    let held = Notify::new();
    let working = working(&bench.locker, async {
        bench.proxy.stall_answers(true);
        held.notify_one();
    });
    let taking = async {
        held.notified().await;
        take_over(&bench).await
    };
    let (result, theirs) = tokio::join!(working, taking);
    assert_eq!(result, Ok(7));
    nothing_was_lost(&logs, theirs).await;
}

#[tokio::test]
async fn the_log_is_told_that_a_dropped_guard_lost_its_lock_though_it_was_released() {
    let bench = Bench::new().await;
    let (logs, _guard) = Logs::of_this_thread();
    let guard = bench.locker.lock("key").ttl(TTL).acquire().await;
    bench.proxy.stall_answers(true);
    drop(guard.expect("free"));
    let theirs = take_over(&bench).await;
    bench.locker.shutdown().await;
    nothing_was_lost(&logs, theirs).await;
}

/// A release that is under way must not be overtaken by a hand-over of what it deletes.
#[tokio::test]
async fn a_lock_whose_release_is_under_way_is_not_passed_on() {
    let bench = Bench::new().await;
    // Passing on is for the first moments of a tenure: try until all of it came about in time.
    for _ in 0..20 {
        let started = Instant::now();
        let wait = || bench.locker.lock("key").ttl(TTL).wait(LIMIT);
        let guard = wait().acquire().await.expect("free");
        let value = bench.server.get("key").await.expect("ours");
        bench.proxy.stall_requests(true);
        let mut releasing = Box::pin(guard.release());
        assert!(poll_once(&mut releasing).await.is_none());
        let next = tokio::spawn(wait().acquire());
        tokio::task::yield_now().await;
        drop(releasing);
        let in_time = started.elapsed() < Duration::from_millis(40);
        bench.proxy.stall_requests(false);
        let next = next.await.expect("no panic").expect("free again");
        let held = bench.server.get("key").await.expect("the next holder's");
        assert!(held.starts_with(next.token()), "held by {held}");
        assert_ne!(held, value, "handed over while it was being deleted");
        next.release().await.expect("held");
        if in_time {
            return;
        }
    }
    panic!("this machine is too slow for the test");
}

async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|cx| match std::pin::Pin::new(&mut *future).poll(cx) {
        std::task::Poll::Ready(output) => std::task::Poll::Ready(Some(output)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}
