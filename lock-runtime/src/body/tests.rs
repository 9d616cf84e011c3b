//! Bodies and leases of a machine that sleeps.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::task::yield_now;
use tokio::time::{Instant, advance, sleep};

use crate::error::LockError;
use crate::locker::Locker;
use crate::store::alerts::Alert;
use crate::store::memory::MemoryStore;
use crate::store::{
    Answer, Asking, Attempted, Ear, Entry, Extended, Extension, Holder, Released, Store,
};
use crate::tenure::fall_asleep;

const TTL: Duration = Duration::from_secs(10);
const SECOND: Duration = Duration::from_secs(1);

/// Keys as a server has them, which does not sleep; some questions are under way while this machine does.
#[derive(Debug, Default)]
struct Awake {
    keys: MemoryStore,
    acquiring: Duration,
    extending: Duration,
}

impl Store for Awake {
    fn acquire(
        &self,
        entry: Arc<Entry>,
        ttl: Duration,
        asking: Asking,
    ) -> BoxFuture<'static, Attempted> {
        let (answer, asleep) = (self.keys.acquire(entry, ttl, asking), self.acquiring);
        Box::pin(async move {
            let answer = answer.await;
            fall_asleep(asleep);
            answer
        })
    }

    fn release(&self, entry: Arc<Entry>, keep: Option<Duration>) -> Answer<Released> {
        self.keys.release(entry, keep)
    }

    fn extend(&self, batch: Vec<(Arc<Entry>, Duration)>) -> BoxFuture<'static, Vec<Extension>> {
        let asleep = self.extending;
        let since = Instant::now();
        Box::pin(async move {
            fall_asleep(asleep);
            batch.iter().map(|_| Ok(Extended::Since(since))).collect()
        })
    }

    fn alert(&self, key: &str) -> Alert {
        self.keys.alert(key)
    }

    fn lines_up(&self) -> bool {
        self.keys.lines_up()
    }

    fn listen(&self, entry: &Entry) -> Option<Ear> {
        self.keys.listen(entry)
    }

    fn settles_within(&self) -> Duration {
        self.keys.settles_within()
    }

    fn holders(&self, _key: String) -> Result<Answer<Vec<Holder>>, &'static str> {
        Err("nobody asks")
    }

    fn close(&self) {}
}

fn locker(store: Awake) -> Locker {
    Locker::builder().default_ttl(TTL).build(Arc::new(store))
}

#[tokio::test(start_paused = true)]
async fn a_body_is_not_polled_after_its_deadline_though_no_clock_ran() {
    for (asleep, is_lost) in [(SECOND, false), (9 * SECOND, false), (TTL, true)] {
        let polled = AtomicUsize::new(0);
        let body = async {
            polled.fetch_add(1, Ordering::SeqCst);
            fall_asleep(asleep);
            yield_now().await;
            polled.fetch_add(1, Ordering::SeqCst);
        };
        let ran = locker(Awake::default()).lock("k").run(body).await;
        let lost = matches!(ran, Err(LockError::Lost { .. }));
        assert_eq!(lost, is_lost, "{asleep:?}: {ran:?}");
        assert_eq!(polled.load(Ordering::SeqCst), if is_lost { 1 } else { 2 });
    }
}

/// A body that awaits something is cut off when the rest of its time is over.
#[tokio::test(start_paused = true)]
async fn what_is_left_after_a_sleep_is_counted_from_there() {
    let started = Instant::now();
    let body = async {
        yield_now().await;
        fall_asleep(8 * SECOND);
        sleep(SECOND).await;
        sleep(TTL).await;
    };
    let ran = locker(Awake::default()).lock("k").run(body).await;
    assert!(matches!(ran, Err(LockError::Lost { .. })), "{ran:?}");
    assert!(started.elapsed() < 2 * SECOND, "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_lease_tells_it() {
    let locker = locker(Awake::default());
    let guard = locker.lock("k").acquire().await.expect("free");
    fall_asleep(TTL / 2);
    let left = guard.remaining();
    assert!(left < TTL / 2 && left > 4 * SECOND, "{left:?}");
    assert!(guard.is_held());
    fall_asleep(TTL / 2);
    assert!(!guard.is_held() && guard.remaining().is_zero());
    guard.lost().await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_comes_after_a_sleep_is_as_old_as_its_question() {
    let acquiring = TTL;
    let store = Awake {
        acquiring,
        ..Awake::default()
    };
    let error = locker(store).lock("k").acquire().await.expect_err("late");
    assert!(matches!(error, LockError::Lost { .. }), "{error}");

    let extending = TTL / 2;
    let locker = locker(Awake {
        extending,
        ..Awake::default()
    });
    let guard = locker.lock("k").acquire().await.expect("free");
    advance(TTL / 4).await;
    guard.extend(TTL).await.expect("held");
    let left = guard.remaining();
    assert!(left < TTL / 2 && left > 4 * SECOND, "{left:?}");
}

/// Asleep overnight while it waited, say.
#[tokio::test(start_paused = true)]
async fn a_sleep_before_the_question_is_of_no_account() {
    let locker = locker(Awake::default());
    let other = locker.lock("k").acquire().await.expect("free");
    let waiting = tokio::spawn(locker.lock("k").retries(1_000).acquire());
    yield_now().await;
    fall_asleep(100 * TTL);
    other.release().await.expect("there");
    let guard = waiting.await.expect("no panic").expect("free");
    assert!(guard.remaining() > 9 * SECOND, "{:?}", guard.remaining());
}

/// A renewed lock that was extended after the sleep goes on.
#[tokio::test(start_paused = true)]
async fn a_lock_that_is_extended_in_time_goes_on() {
    let body = async {
        for _ in 0..20 {
            fall_asleep(TTL / 10);
            sleep(TTL / 5).await;
        }
    };
    let renewed = locker(Awake::default()).lock("k").renew();
    renewed.run(body).await.expect("held");
}

/// In memory, the keys sleep along.
#[tokio::test(start_paused = true)]
async fn a_lock_in_memory_knows_of_no_sleep() {
    let locker = Locker::in_memory();
    let guard = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    fall_asleep(100 * TTL);
    assert!(guard.is_held());
    locker.lock("k").acquire().await.expect_err("held");
}

/// The key is gone by then: the next caller gets it anew, from the store.
#[tokio::test(start_paused = true)]
async fn a_lock_is_not_passed_on_after_its_end() {
    let locker = locker(Awake::default());
    let (sender, begun) = tokio::sync::oneshot::channel();
    let first = locker.lock("k").run(async {
        sender.send(()).expect("awaited");
        sleep(SECOND / 100).await;
        fall_asleep(TTL);
    });
    let first = tokio::spawn(first);
    begun.await.expect("it runs");
    let second = locker.lock("k").wait(TTL).run(yield_now());
    let (first, second) = tokio::join!(first, second);
    first.expect("no panic").expect("its result");
    second.expect("held anew");
}
