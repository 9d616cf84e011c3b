//! What nobody sees from outside.

mod in_line;

use std::future::{Future as _, poll_fn};
use std::iter;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use super::attempts::PauseBetween as _;
use super::keys::Keys;
use super::retries::{Once, Retries};
use crate::error::LockError;
use crate::hold::LONGEST_TIME;
use crate::kind::Kind;
use crate::store::memory::MemoryStore;
use crate::store::quorum::QuorumStore;
use crate::store::{Asking, Store};
use crate::{LockRequest, Locker, Outcome};

const TTL: Duration = Duration::from_secs(60);

fn request(locker: &Locker) -> LockRequest {
    locker.lock("k").ttl(TTL).wait(TTL / 2)
}

fn has_line(locker: &Locker) -> bool {
    !locker.common().lines.is_empty()
}

#[tokio::test(start_paused = true)]
async fn an_empty_line_takes_no_memory() {
    let locker = Locker::in_memory();
    let held = request(&locker).acquire().await.expect("free");
    let gives_up = tokio::spawn(request(&locker).ttl(TTL).acquire());
    let next = tokio::spawn(request(&locker).acquire());
    tokio::task::yield_now().await;
    assert!(has_line(&locker));
    gives_up.abort();
    held.release().await.expect("passed on");
    let next = next.await.expect("no panic").expect("its turn");
    assert!(has_line(&locker));
    let too_long = request(&locker).acquire().await.expect_err("held");
    assert!(too_long.is_busy());
    next.release().await.expect("ours");
    assert!(!has_line(&locker));

    drop(request(&locker).acquire().await.expect("free"));
    locker.shutdown().await;
    assert!(!has_line(&locker));

    let held = locker.lock("k").acquire().await.expect("free");
    let too_long = request(&locker).wait(TTL / 60).acquire().await;
    assert!(too_long.expect_err("held").is_busy());
    assert!(!has_line(&locker));
    drop(held);
}

/// Where a lock goes round among processes, each hand-over needs it again.
#[tokio::test(start_paused = true)]
async fn the_keeper_stays_for_a_moment_when_it_has_nothing_to_do() {
    let locker = Locker::in_memory();
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let hold = async || {
        let held = locker.lock("k").ttl(TTL).renew().acquire().await;
        held.expect("free").release().await.expect("ours");
        sleep(Duration::from_millis(5)).await;
    };
    let before = tasks();
    for _ in 0..10 {
        hold().await;
        assert_eq!(tasks(), before + 1);
    }
    sleep(Duration::from_millis(6)).await;
    assert_eq!(tasks(), before);
    hold().await;
    locker.shutdown().await;
    assert_eq!(tasks(), before);
}

fn quorum() -> (Vec<Arc<dyn Store>>, Locker) {
    let stores: Vec<Arc<dyn Store>> = (0..3)
        .map(|_| Arc::new(MemoryStore::default()) as _)
        .collect();
    let quorum = QuorumStore::new(stores.iter().cloned(), Arc::default(), TTL);
    (stores, Locker::builder().build(Arc::new(quorum)))
}

/// It paused deaf after a vote that nobody had won: for up to half a second, nobody used the lock.
#[tokio::test(start_paused = true)]
async fn a_lock_that_is_passed_on_after_a_split_vote_is_taken_at_once() {
    let (stores, locker) = quorum();
    let (now, here) = (Instant::now(), Handle::current());
    let others = Arc::new(
        locker
            .common()
            .entry("k", Kind::Exclusive, None, None, now, &here),
    );
    for store in &stores[..2] {
        let attempted = store.acquire(Arc::clone(&others), TTL, Asking::Plain);
        attempted.await.outcome.expect("free");
    }
    let began = Instant::now();
    let waits = tokio::spawn(request(&locker).acquire());
    tokio::task::yield_now().await;
    for store in &stores[..2] {
        let released = store.release(Arc::clone(&others), None).await;
        released.expect("there");
    }
    let between = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    between.release().await.expect("passed on");
    let next = waits.await.expect("no panic").expect("its turn");
    assert_eq!(began.elapsed(), Duration::ZERO);
    assert_eq!(next.attempts(), 1);
    drop(next);
}

#[test]
fn the_keys_of_a_request_are_in_order_and_each_once() {
    let one = Keys::One("b".to_owned());
    assert!(!one.is_array() && one.others().is_empty());
    assert_eq!((one.first(), &*one.shown()), ("b", "b"));
    let keys = |names: &[&str]| Keys::array(names.iter().map(ToString::to_string).collect());
    let some = keys(&["c", "a", "b", "a"]);
    assert!(some.is_array() && keys(&["a"]).is_array());
    assert_eq!((some.first(), &*some.shown()), ("a", "a,b,c"));
    assert_eq!(some.others(), ["b", "c"]);
    assert!(some.check().is_ok());
    let none = keys(&[]);
    assert_eq!((none.first(), none.others().len()), ("", 0));
    assert!(none.check().is_err());
    let many = |count: usize| Keys::array((0..count).map(|number| number.to_string()).collect());
    assert!(many(64).check().is_ok());
    let error = many(65).check().expect_err("too many").to_string();
    assert!(error.contains("one of 65 keys, and 64"), "{error}");
}

/// Only the last attempt has to tell its caller who has the key.
#[test]
fn the_last_attempt_asks_who_holds() {
    let retries = Retries {
        retries: 2,
        pauses: iter::empty::<Duration>(),
    };
    let asks = |attempt| matches!(retries.asking(attempt), Asking::WhoHolds);
    assert_eq!([1, 2, 3].map(asks), [false, false, true]);
    let once = |is_last| {
        let in_doubt = None;
        Once { is_last, in_doubt }.asking(1)
    };
    assert!(matches!(once(false), Asking::Plain));
    assert!(matches!(once(true), Asking::WhoHolds));
}

#[tokio::test(start_paused = true)]
async fn as_many_attempts_as_retries_follow_the_first() {
    let locker = Locker::in_memory();
    let held = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    for retries in 0..3 {
        let request = locker.lock("k").retries(retries).backoff(TTL / 60);
        let error = request.acquire().await.expect_err("held");
        assert!(matches!(error, LockError::Busy { attempts, .. } if attempts == 1 + retries));
    }
    drop(held);
}

/// It was polled without a pause, from the first extension on.
#[tokio::test(start_paused = true)]
async fn who_has_some_of_several_keys_is_woken_for_them_now_and_then() {
    let locker = Locker::in_memory();
    let last = locker.lock("b").ttl(TTL * 2).acquire().await.expect("free");
    let waits = locker.lock_all(["a", "b"]).ttl(TTL).wait(TTL * 2).acquire();
    let (mut waits, mut polls) = (pin!(waits), 0);
    let waits = poll_fn(|cx| {
        polls += 1;
        assert!(polls < 100, "it spins");
        waits.as_mut().poll(cx)
    });
    let releases = async {
        sleep(TTL).await;
        last.release().await.expect("ours");
    };
    let (had, ()) = tokio::join!(waits, releases);
    assert!(had.expect("all").is_held());
    assert!(polls > 1, "it has waited");
}

/// Its record would say that the run goes on.
#[tokio::test(start_paused = true)]
async fn a_lock_whose_run_is_recorded_is_not_passed_on_in_the_process() {
    let locker = Locker::in_memory();
    let recorded = request(&locker).recorded().acquire().await;
    let recorded = recorded.expect("free");
    let token = recorded.token().to_owned();
    let next = tokio::spawn(request(&locker).acquire());
    tokio::task::yield_now().await;
    recorded.release().await.expect("ours");
    let next = next.await.expect("no panic").expect("its turn");
    assert_ne!(next.token(), token);
    let last = locker.last_run("k").await.expect("known");
    assert_eq!(last.and_then(|last| last.outcome), Some(Outcome::Ok));
}

fn is_invalid(error: &LockError, why: &str) -> bool {
    matches!(error, LockError::InvalidRequest { .. }) && error.to_string().contains(why)
}

#[tokio::test]
async fn who_coalesces_has_to_wait_where_it_is_known_who_waits() {
    let locker = Locker::in_memory();
    let error = locker.lock("k").coalesce().acquire().await;
    let error = error.expect_err("it does not wait");
    assert!(is_invalid(&error, "`coalesce` needs `wait`"), "{error}");
    let error = request(&quorum().1).coalesce().acquire().await;
    let error = error.expect_err("a quorum has no line");
    assert!(is_invalid(&error, "no `coalesce`"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn no_time_of_a_request_is_over_ten_years() {
    let times: [fn(LockRequest, Duration) -> LockRequest; 3] = [
        LockRequest::max_hold,
        LockRequest::min_hold,
        LockRequest::max_idle,
    ];
    for time in times {
        let locker = Locker::in_memory();
        let request = || locker.lock("k").ttl(TTL).renew();
        for odd in [Duration::ZERO, LONGEST_TIME + Duration::from_nanos(1)] {
            let error = time(request(), odd).acquire().await.expect_err("odd");
            assert!(is_invalid(&error, "is zero or over ten years"), "{error}");
        }
        let longest = time(request(), LONGEST_TIME).acquire().await;
        drop(longest.expect("free"));
    }
}
