//! Wakers are foreign code: they may call the library, and what they keep alive is not small.

mod common;

use std::future::poll_fn;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use common::{LIMIT, locker_at, redis};
use redis_locked::{Lease, LockError, LockGuard, Locker};
use redis_locked_test_support::{Server, bulk, until};
use tokio::task::{JoinHandle, yield_now};

const TTL: Duration = Duration::from_secs(60);

/// Wakes the task that a future is in, and does something else before that.
struct Foreign {
    task: Mutex<Option<Waker>>,
    /// From when on it does.
    on: AtomicBool,
    what: Box<dyn Fn() + Send + Sync>,
}

impl Foreign {
    fn new(what: impl Fn() + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            task: Mutex::default(),
            on: AtomicBool::new(false),
            what: Box::new(what),
        })
    }

    /// Polls the future with this as its waker.
    async fn around<T>(self: Arc<Self>, future: impl Future<Output = T>) -> T {
        let mut future = pin!(future);
        let waker = Waker::from(Arc::clone(&self));
        poll_fn(|cx| {
            *self.task() = Some(cx.waker().clone());
            future.as_mut().poll(&mut Context::from_waker(&waker))
        })
        .await
    }

    fn task(&self) -> MutexGuard<'_, Option<Waker>> {
        self.task.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Foreign {
    fn wake(self: Arc<Self>) {
        if self.on.load(Ordering::SeqCst) {
            (self.what)();
        }
        let task = self.task().take();
        if let Some(task) = task {
            task.wake();
        }
    }
}

/// Polls it once, which is all that a caller does who leaves at once.
fn begin(future: impl Future) {
    let _ = pin!(future).poll(&mut Context::from_waker(Waker::noop()));
}

/// Runs a test that may never end; nobody can end it then.
fn in_time(test: impl AsyncFnOnce() + Send + 'static) {
    let (sender, over) = mpsc::channel();
    let thread = std::thread::spawn(move || {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().build().expect("a runtime");
        runtime.block_on(test());
        let _ = sender.send(());
    });
    if let Err(mpsc::RecvTimeoutError::Timeout) = over.recv_timeout(2 * LIMIT) {
        panic!("it hangs: a waker was called while a mutex was held");
    }
    thread.join().expect("no panic");
}

#[tokio::test]
async fn a_lease_that_is_kept_keeps_the_task_s_memory() {
    let (_server, locker) = redis().await;
    let task = Foreign::new(|| {});
    let memory = Arc::downgrade(&task);
    let body = async {
        // So that there is something to wake.
        yield_now().await;
        Lease::current().expect("in a body")
    };
    let lease = task.around(locker.lock("k").ttl(TTL).run(body)).await;
    let lease = lease.expect("free");
    until(LIMIT, "the task is gone", async || {
        memory.strong_count() == 0
    })
    .await;
    assert!(!lease.is_held());
}

/// The waker of one who waits for `a`, which asks for `b`. Both are busy.
async fn waits(server: &Server, locker: &Locker) -> JoinHandle<Result<LockGuard, LockError>> {
    for key in ["a", "b"] {
        server.set_px(key, "theirs", 60_000).await;
    }
    let another = locker.clone();
    let asks = Foreign::new(move || {
        begin(another.lock("b").ttl(TTL).wait_forever().acquire());
    });
    let waiting = locker.lock("a").ttl(TTL).wait(LIMIT).acquire();
    let waiting = tokio::spawn(Arc::clone(&asks).around(waiting));
    server.wait_until_tracking(LIMIT).await;
    asks.on.store(true, Ordering::SeqCst);
    waiting
}

async fn gets_it(waiting: JoinHandle<Result<LockGuard, LockError>>) {
    let guard = waiting.await.expect("no panic").expect("woken");
    guard.release().await.expect("ours");
}

#[test]
fn a_waiter_s_waker_that_asks_for_a_lock_hangs() {
    in_time(async || {
        let (server, locker) = redis().await;
        let waiting = waits(&server, &locker).await;
        server.del("a").await;
        gets_it(waiting).await;
    });
}

/// The connection is gone that tells when a key is freed.
#[test]
fn a_waiter_s_waker_that_asks_for_a_lock_hangs_when_the_connection_breaks() {
    in_time(async || {
        let (server, locker) = redis().await;
        let waiting = waits(&server, &locker).await;
        server.kill_clients().await;
        server.del("a").await;
        gets_it(waiting).await;
    });
}

#[test]
fn a_waker_that_drops_a_guard_while_releases_are_awaited_hangs() {
    in_time(async || {
        let server = Server::start().await;
        let proxy = server.proxy().await;
        let locker = locker_at(&proxy.url()).await;
        let mut guards = Vec::new();
        for key in ["a", "b", "c"] {
            guards.push(locker.lock(key).ttl(TTL).acquire().await.ok());
        }
        let guards: [Option<LockGuard>; 3] = guards.try_into().expect("three");
        let [first, second, third] = guards.map(|guard| guard.expect("free"));
        proxy.stall_requests(true);
        proxy.forget();
        drop(first);
        proxy.wait_for_request_here(bulk("EVALSHA"), LIMIT).await;
        // Its release is under way, and awaited; then there is another.
        let third = Mutex::new(Some(third));
        let drops = Foreign::new(move || {
            let guard = third.lock().unwrap_or_else(PoisonError::into_inner).take();
            drop(guard);
        });
        drops.on.store(true, Ordering::SeqCst);
        let waiting = locker.clone();
        let shutdown = async move { waiting.shutdown().await };
        let shutdown = tokio::spawn(drops.around(shutdown));
        yield_now().await;
        drop(second);
        yield_now().await;
        proxy.stall_requests(false);
        shutdown.await.expect("no panic");
        until(LIMIT, "all are released", async || {
            server.keys().await.is_empty()
        })
        .await;
    });
}
