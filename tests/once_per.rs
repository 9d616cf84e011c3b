//! One run that succeeds in each period, on a real server.

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use common::{LIMIT, locker_at, redis};
use redis_locked::{LockError, LockRequest, Locker, Outcome, Recorded, redis_locked};
use redis_locked_test_support::{Monitor, Server, until};
use tokio::time::sleep;

const TTL: Duration = Duration::from_secs(60);
/// The longest, so that no test meets its end.
const PERIOD: Duration = Duration::from_secs(366 * 24 * 60 * 60);

fn job(locker: &Locker) -> LockRequest<Recorded> {
    locker.lock("nightly").ttl(TTL).once_per(PERIOD)
}

async fn succeeds(locker: &Locker) {
    let guard = job(locker).acquire().await.expect("the period is open");
    guard.release().await.expect("ours");
}

async fn is_done(locker: &Locker) -> LockError {
    let error = job(locker).acquire().await.expect_err("it is done");
    assert!(error.is_already_done(), "{error}");
    error
}

#[tokio::test]
async fn the_second_call_on_whatever_machine_is_told_who_has_done_it() {
    let (server, locker) = redis().await;
    let other = locker_at(&server.url()).await;
    succeeds(&locker).await;
    let error = is_done(&other).await;
    let LockError::AlreadyDone { key, ago, next, .. } = &error else {
        panic!("{error:?}");
    };
    assert_eq!(key, "nightly");
    assert!(*ago < LIMIT && *next <= PERIOD, "{error:?}");
    assert_eq!(error.retry_after(), Some(*next));
    assert!(error.to_string().contains(&std::process::id().to_string()));
    assert!(!server.exists("nightly").await);
}

async fn panics() {
    tokio::task::yield_now().await;
    panic!("on purpose");
}

#[tokio::test]
async fn what_fails_leaves_the_period_open() {
    let (_server, locker) = redis().await;
    job(&locker)
        .run(async { Err::<(), _>("no network") })
        .await
        .expect("it had the lock")
        .expect_err("it failed");
    let panics = tokio::spawn(job(&locker).run(panics()));
    assert!(panics.await.expect_err("it panicked").is_panic());
    locker.shutdown().await;
    let outcome = async || {
        let last = locker.last_run("nightly").await.expect("read");
        last.expect("recorded").outcome
    };
    assert_eq!(outcome().await, Some(Outcome::Panicked));
    let short = Duration::from_millis(300);
    let error = job(&locker).ttl(short).run(sleep(TTL)).await;
    assert!(error.expect_err("cut off").is_lost());
    locker.shutdown().await;
    assert_eq!(outcome().await, Some(Outcome::CutOff));
    drop(job(&locker).acquire().await.expect("open"));
    locker.shutdown().await;
    assert_eq!(outcome().await, Some(Outcome::Dropped));
    let guard = job(&locker).acquire().await.expect("open");
    guard.fail().await.expect("ours");
    assert_eq!(outcome().await, Some(Outcome::Error));
    succeeds(&locker).await;
    is_done(&locker).await;
}

#[tokio::test]
async fn each_period_has_its_run() {
    let (_server, locker) = redis().await;
    let second = Duration::from_secs(1);
    let tick = || locker.lock("tick").ttl(TTL).once_per(second);
    let run = async || tick().run(async {}).await;
    let mut periods = 0;
    let began = Instant::now();
    while periods < 3 {
        match run().await {
            Ok(()) => periods += 1,
            Err(error) => {
                assert!(error.is_already_done(), "{error}");
                let next = error.retry_after().expect("known");
                assert!(next <= second + second / 10, "{next:?}");
                sleep(next).await;
            }
        }
    }
    // The first and the third are two periods apart, by their beginnings.
    assert!(began.elapsed() > second, "{:?}", began.elapsed());
}

#[tokio::test]
async fn it_is_done_while_another_holds_the_lock_and_under_min_hold() {
    let (_server, locker) = redis().await;
    job(&locker)
        .min_hold(TTL)
        .run(async {})
        .await
        .expect("open");
    is_done(&locker).await;
    let (_server, locker) = redis().await;
    succeeds(&locker).await;
    let holder = locker
        .lock("nightly")
        .ttl(TTL)
        .acquire()
        .await
        .expect("free");
    is_done(&locker).await;
    // Who waits need not wait for it.
    let began = Instant::now();
    let waits = job(&locker).wait(TTL).acquire().await;
    assert!(waits.expect_err("done").is_already_done());
    assert!(began.elapsed() < LIMIT);
    holder.release().await.expect("ours");
}

#[tokio::test]
async fn those_who_wait_for_a_run_are_told_that_it_is_done() {
    let (server, locker) = redis().await;
    let other = locker_at(&server.url()).await;
    let runs = Arc::new(AtomicU32::new(0));
    let first = job(&locker).acquire().await.expect("open");
    let wait = |locker: &Locker| {
        let runs = Arc::clone(&runs);
        let body = async move { runs.fetch_add(1, Ordering::SeqCst) };
        tokio::spawn(job(locker).wait(LIMIT).run(body))
    };
    let waiting: Vec<_> = (0..4).flat_map(|_| [wait(&locker), wait(&other)]).collect();
    until(LIMIT, "both processes wait in the line", async || {
        server.zcard("{nightly}:line").await == 2
    })
    .await;
    // Behind them one that has nothing to do with periods.
    let third = locker_at(&server.url()).await;
    let plain = tokio::spawn(third.lock("nightly").ttl(TTL).wait(LIMIT).acquire());
    until(LIMIT, "it waits, too", async || {
        server.zcard("{nightly}:line").await == 3
    })
    .await;
    // What runs and fails is run again, by one of them, and the others have nothing to do.
    let failed = Instant::now();
    first.fail().await.expect("ours");
    let mut done = 0;
    for waiter in waiting {
        if let Err(error) = waiter.await.expect("no panic") {
            assert!(error.is_already_done(), "{error}");
            done += 1;
        }
    }
    assert_eq!((runs.load(Ordering::SeqCst), done), (1, 7));
    // Who finds it done passes the lock on. What nobody begins would be there for two seconds.
    let plain = plain.await.expect("no panic").expect("its turn");
    let took = failed.elapsed();
    assert!(took < Duration::from_millis(1900), "{took:?}");
    plain.release().await.expect("ours");
    // Nothing is left of the line, or held by one who had nothing to do.
    until(LIMIT, "all is given back", async || {
        !server.exists("nightly").await && !server.exists("{nightly}:line").await
    })
    .await;
}

#[tokio::test]
async fn another_length_of_the_period_neither_repeats_nor_blocks() {
    let (_server, locker) = redis().await;
    let once_per = |period| locker.lock("k").ttl(TTL).once_per(period);
    let day = Duration::from_secs(86_400);
    once_per(day).run(async {}).await.expect("open");
    // A day that is done does not do its later seconds, and they do the day.
    let seconds = once_per(Duration::from_secs(1)).run(async {}).await;
    seconds.expect("this second is not done by the day's beginning");
    let error = once_per(day).run(async {}).await.expect_err("done");
    assert!(error.is_already_done(), "{error}");
}

/// Rounded down to the periods of the one who asks: what is done may be the beginning of an hour.
#[tokio::test]
async fn what_is_done_counts_for_the_whole_period_around_it() {
    let (server, locker) = redis().await;
    succeeds(&locker).await;
    let now = millis_since_1970();
    let done = now.to_string();
    server.hset("{nightly}:last", "done", &done).await;
    let next = is_done(&locker).await.retry_after().expect("known");
    let period = u64::try_from(PERIOD.as_millis()).expect("small");
    let end = (now / period + 1) * period;
    let left = Duration::from_millis(end - now);
    assert!(next <= left && next + LIMIT > left, "{next:?}, {left:?}");
}

fn millis_since_1970() -> u64 {
    let now = std::time::UNIX_EPOCH.elapsed().expect("later");
    u64::try_from(now.as_millis()).expect("not so late")
}

#[tokio::test]
async fn who_is_early_runs_for_the_period_that_begins() {
    let (_server, locker) = redis().await;
    // A period that begins in two to three seconds.
    let (now, number) = (millis_since_1970(), 1000);
    let length = (now + 3000) / number;
    let begins = length * number;
    let period = Duration::from_millis(length);
    let once = || locker.lock("k").ttl(TTL).once_per(period);
    once().run(async {}).await.expect("open");
    let error = once().acquire().await.expect_err("done");
    let next = error.retry_after().expect("known");
    assert!(millis_since_1970() < begins, "this machine stood still");
    assert!(
        next > period && next <= period + Duration::from_secs(3),
        "{next:?}"
    );
}

#[tokio::test]
async fn a_clock_that_was_ahead_is_told() {
    let (server, locker) = redis().await;
    succeeds(&locker).await;
    let far = (1_u64 << 50).to_string();
    let running = locker.lock("nightly").ttl(TTL).once_per(PERIOD / 366);
    server.del("{nightly}:last").await;
    let running = running.acquire().await.expect("open");
    server.hset("{nightly}:last", "done", &far).await;
    // A success of before takes nothing away.
    running.release().await.expect("ours");
    let done = server.hget("{nightly}:last", "done").await;
    assert_eq!(done.as_deref(), Some(far.as_str()));
    let error = is_done(&locker).await;
    assert!(matches!(
        error,
        LockError::AlreadyDone {
            clock_stepped_back: true,
            ..
        }
    ));
    assert!(error.to_string().contains("stepped back"), "{error}");
    assert!(error.to_string().contains("redis-locked forget"), "{error}");
}

/// A locker whose connection is open, at a server that knows the scripts, and that server's log.
async fn warm() -> (Server, Locker, Monitor) {
    let (server, locker) = redis().await;
    for fenced in [false, true] {
        let warm = locker.lock(format!("warm-{fenced}")).ttl(TTL);
        let warm = if fenced { warm.fenced() } else { warm };
        warm.once_per(PERIOD).run(async {}).await.expect("open");
    }
    let monitor = server.monitor();
    (server, locker, monitor)
}

#[redis_locked(key = "job:{id}", ttl = TTL, once_per = PERIOD, fenced, skip)]
async fn annotated(id: u32) -> Result<u32, LockError> {
    Ok(id + 1)
}

#[tokio::test]
async fn two_commands_a_run_and_one_for_who_comes_late() {
    let (_server, locker, monitor) = warm().await;
    for id in 0..20 {
        assert_eq!(locker.scope(annotated(id)).await.expect("open"), id + 1);
        let request = locker.lock(format!("other:{id}")).once_per(PERIOD);
        let guard = request.acquire().await.expect("open");
        guard.release().await.expect("ours");
    }
    let sent = async || {
        let events = monitor.events().await;
        let sent = events.iter().filter(|event| !event.is_from_script());
        sent.map(redis_locked_test_support::Event::command)
            .collect::<Vec<_>>()
    };
    assert_eq!(sent().await, vec!["evalsha"; 80]);
    for id in 0..20 {
        assert_eq!(locker.scope(annotated(id)).await.expect("skipped"), 0);
    }
    assert_eq!(sent().await.len(), 100);
}

#[tokio::test]
async fn the_attribute_knows_an_error_by_its_type() {
    type Short<T> = Result<T, LockError>;
    #[redis_locked(key = "alias", ttl = TTL, once_per = PERIOD)]
    async fn alias(fail: Option<LockError>) -> Short<u32> {
        fail.map_or(Ok(1), Err)
    }
    #[redis_locked(key = "opaque", ttl = TTL, once_per = PERIOD)]
    async fn opaque(fail: Option<LockError>) -> Result<impl Iterator<Item = u8>, LockError> {
        fail.map_or(Ok(0..5), Err)
    }
    #[redis_locked(key = "optional", ttl = TTL, once_per = PERIOD, skip)]
    async fn optional() -> Option<bool> {
        Some(false)
    }
    let (_server, locker) = redis().await;
    let outcome = async |key| {
        let last = locker.last_run(key).await.expect("read");
        last.expect("recorded").outcome.expect("ended")
    };
    let _ = locker.scope(alias(Some(locker_error().await))).await;
    assert_eq!(outcome("alias").await, Outcome::Error);
    let _ = locker.scope(alias(None)).await.expect("open");
    assert_eq!(outcome("alias").await, Outcome::Ok);
    assert!(
        locker
            .scope(opaque(Some(locker_error().await)))
            .await
            .is_err()
    );
    assert_eq!(outcome("opaque").await, Outcome::Error);
    assert!(locker.scope(opaque(None)).await.is_ok());
    assert_eq!(outcome("opaque").await, Outcome::Ok);
    assert_eq!(locker.scope(optional()).await, Some(false));
    assert_eq!(outcome("optional").await, Outcome::Ok);
    assert_eq!(locker.scope(optional()).await, None);
}

/// Any error.
async fn locker_error() -> LockError {
    let error = Locker::in_memory().lock("").acquire().await;
    error.expect_err("without a key")
}
