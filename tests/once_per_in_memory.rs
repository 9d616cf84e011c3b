//! Once per period and the record, in memory on tokio's paused clock.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

use redis_locked::{LockError, LockRequest, Locker, Outcome, Recorded, redis_locked};
use tokio::time::{advance, sleep};

const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
const TTL: Duration = Duration::from_secs(30);

/// So many days and this time after 1970.
fn day(number: u32, time: Duration) -> SystemTime {
    SystemTime::UNIX_EPOCH + DAY * number + time
}

fn at(clock: SystemTime) -> Locker {
    Locker::builder().owner("me").in_memory_at(clock)
}

fn job(locker: &Locker) -> LockRequest<Recorded> {
    locker.lock("nightly").once_per(DAY).ttl(TTL).renew()
}

#[redis_locked(key = "nightly", once_per = "1d", ttl = "30s", renew, skip)]
async fn nightly(runs: &AtomicU32) -> Result<bool, LockError> {
    runs.fetch_add(1, Ordering::SeqCst);
    sleep(TTL).await;
    Ok(true)
}

#[tokio::test(start_paused = true)]
async fn a_year_of_days_has_a_run_each() {
    let locker = at(day(20_000, HOUR * 12));
    let runs = AtomicU32::new(0);
    for days in 1..=365 {
        // Three machines, whose clocks differ.
        for machine in 0..3 {
            let ran = locker.scope(nightly(&runs)).await.expect("no failure");
            assert_eq!(ran, machine == 0, "day {days}");
            advance(HOUR).await;
        }
        assert_eq!(runs.load(Ordering::SeqCst), days);
        advance(Duration::from_secs(21 * 3600 - 30)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_period_is_that_of_the_start_and_begins_at_midnight_utc() {
    let locker = at(day(20_000, HOUR * 23));
    let night = job(&locker).acquire().await.expect("open");
    sleep(HOUR * 2).await;
    night.release().await.expect("renewed");
    // It was that of the day before.
    let error = {
        let guard = job(&locker).acquire().await.expect("this day is open");
        guard.release().await.expect("ours");
        job(&locker).acquire().await.expect_err("done")
    };
    let LockError::AlreadyDone {
        owner, ago, next, ..
    } = &error
    else {
        panic!("{error}");
    };
    assert_eq!(
        (owner.as_str(), *ago, *next),
        ("me", Duration::ZERO, HOUR * 23)
    );
    let last = locker.last_run("nightly").await.expect("read");
    assert_eq!(last.expect("recorded").started, day(20_001, HOUR));
}

#[tokio::test(start_paused = true)]
async fn an_early_clock_counts_to_the_period_that_begins() {
    let second = Duration::from_secs(1);
    let early = 5 * second;
    let locker = at(day(20_001, Duration::ZERO) - early);
    let run = async || job(&locker).run(async {}).await;
    run().await.expect("open");
    let next = |error: LockError| error.retry_after().expect("done");
    // Until the next period begins, not until the tolerance lets one in.
    assert_eq!(next(run().await.expect_err("done")), DAY + early);
    advance(early * 2).await;
    assert_eq!(
        next(run().await.expect_err("done")),
        Duration::from_secs(86_395)
    );
    let locker = at(day(20_001, Duration::ZERO) - early - Duration::from_millis(1));
    let run = async || job(&locker).run(async {}).await;
    run().await.expect("open");
    advance(Duration::from_millis(1)).await;
    run().await.expect("that was the day before");
}

#[tokio::test(start_paused = true)]
async fn a_week_begins_on_thursday() {
    // 2024-10-03 was one.
    let thursday = day(19_999, Duration::ZERO);
    let locker = at(thursday + HOUR);
    let week = || locker.lock("weekly").once_per(DAY * 7).run(async {});
    week().await.expect("open");
    let error = week().await.expect_err("done");
    assert_eq!(error.retry_after(), Some(HOUR * (7 * 24 - 1)));
}

#[tokio::test(start_paused = true)]
async fn another_length_of_the_period_neither_repeats_nor_blocks() {
    let locker = at(day(20_000, HOUR * 15 + HOUR / 2));
    let once_per = async |period| locker.lock("k").once_per(period).run(async {}).await;
    once_per(HOUR).await.expect("open");
    // An hour that is done does its day, and not the next hour.
    let error = once_per(DAY).await.expect_err("done");
    assert_eq!(error.retry_after(), Some(HOUR * 8 + HOUR / 2));
    advance(HOUR).await;
    once_per(HOUR).await.expect("open");
    advance(DAY).await;
    // A day that is done does not do its later hours.
    once_per(DAY).await.expect("open");
    once_per(HOUR).await.expect("open");
    let error = once_per(DAY).await.expect_err("done");
    assert_eq!(error.retry_after(), Some(HOUR * 7 + HOUR / 2));
}

#[tokio::test(start_paused = true)]
async fn a_record_tells_of_the_run_and_lives_as_long_as_asked() {
    let start = day(20_000, HOUR * 12);
    let locker = at(start);
    let last = async || locker.last_run("import").await.expect("read");
    assert_eq!(last().await, None);
    let request = || locker.lock("import").record(DAY).ttl(TTL).renew().fenced();
    let guard = request().acquire().await.expect("free");
    sleep(HOUR).await;
    let running = last().await.expect("recorded");
    assert_eq!((running.owner.as_str(), running.started), ("me", start));
    assert_eq!((running.ended, running.outcome), (None, None));
    assert!(running.running && running.last_success.is_none());
    assert_eq!(running.fencing_token, guard.fencing_token());
    guard.release().await.expect("ours");
    let ended = last().await.expect("recorded");
    assert_eq!(ended.ended, Some(start + HOUR));
    assert_eq!(ended.outcome, Some(Outcome::Ok));
    assert_eq!(ended.last_success, ended.ended);
    assert_eq!(ended.fencing_token, running.fencing_token);
    assert!(!ended.running);
    let failing = request().run(async { Err::<(), ()>(()) }).await;
    failing.expect("free").expect_err("it fails");
    let failed = last().await.expect("recorded");
    assert_eq!(failed.outcome, Some(Outcome::Error));
    // What succeeded before is not forgotten.
    assert_eq!(failed.last_success, ended.ended);
    advance(Duration::from_millis(86_399_999)).await;
    assert!(last().await.is_some());
    advance(Duration::from_millis(1)).await;
    assert_eq!(last().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_longer_life_of_the_record_is_not_cut_short() {
    let locker = at(day(20_000, HOUR));
    let week = DAY * 7;
    let weekly = async || locker.lock("k").once_per(week).run(async {}).await;
    weekly().await.expect("open");
    locker
        .lock("k")
        .record(HOUR)
        .run(async {})
        .await
        .expect("free");
    advance(HOUR * 2).await;
    assert!(weekly().await.expect_err("done").is_already_done());
}

#[tokio::test(start_paused = true)]
async fn a_run_that_has_lost_its_lock_leaves_the_next_one_alone() {
    let locker = at(day(20_000, HOUR));
    let request = || locker.lock("k").record(DAY).ttl(TTL);
    let late = request().acquire().await.expect("free");
    advance(TTL * 2).await;
    let next = request().acquire().await.expect("its time is over");
    late.fail().await.expect_err("lost");
    let last = locker.last_run("k").await.expect("read").expect("recorded");
    assert!(last.running && last.outcome.is_none(), "{last:?}");
    next.release().await.expect("ours");
    let last = locker.last_run("k").await.expect("read").expect("recorded");
    assert_eq!(last.outcome, Some(Outcome::Ok));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_finishes_without_its_lock_is_recorded_while_nobody_has_begun() {
    let locker = at(day(20_000, HOUR));
    let finish = job(&locker).on_lost(redis_locked::OnLost::Finish);
    finish
        .max_hold(TTL)
        .run(sleep(TTL * 3))
        .await
        .expect("it finishes");
    locker.shutdown().await;
    assert!(
        job(&locker)
            .acquire()
            .await
            .expect_err("done")
            .is_already_done()
    );
}

#[tokio::test(start_paused = true)]
async fn those_in_line_are_told_that_it_is_done_and_no_turn_is_passed_on_in_memory() {
    let locker = at(day(20_000, HOUR));
    let first = job(&locker).acquire().await.expect("open");
    let waiting: Vec<_> = (0..10)
        .map(|_| tokio::spawn(job(&locker).wait(HOUR).run(async {})))
        .collect();
    sleep(Duration::from_secs(1)).await;
    first.fail().await.expect("ours");
    let mut runs = 0;
    for waiter in waiting {
        match waiter.await.expect("no panic") {
            Ok(()) => runs += 1,
            Err(error) => assert!(error.is_already_done(), "{error}"),
        }
    }
    assert_eq!(runs, 1);
    // Beside one whose run is not recorded.
    let plain = locker.lock("nightly").wait(HOUR).acquire().await;
    let plain = plain.expect("free");
    let waits = tokio::spawn(locker.lock("nightly").record(DAY).wait(HOUR).acquire());
    sleep(Duration::from_millis(1)).await;
    plain.release().await.expect("ours");
    let recorded = waits.await.expect("no panic").expect("its turn");
    let last = locker.last_run("nightly").await.expect("read");
    assert!(last.expect("recorded").running);
    recorded.release().await.expect("ours");
}

#[tokio::test(start_paused = true)]
async fn what_can_not_be_meant_is_refused() {
    let locker = at(day(20_000, HOUR));
    let refused = async |request: LockRequest<Recorded>, why: &str| {
        let error = request.acquire().await.expect_err("refused");
        let is_invalid = matches!(error, LockError::InvalidRequest { .. });
        assert!(is_invalid && error.to_string().contains(why), "{error}");
    };
    let request = |key: &str| locker.lock(key);
    let short = Duration::from_millis(999);
    refused(
        request("k").once_per(short),
        "give a period from 1s to 366 days",
    )
    .await;
    refused(request("k").once_per(DAY * 367), "from 1s to 366 days").await;
    refused(
        request("k").record(short),
        "give a time from 1s to ten years",
    )
    .await;
    refused(request("k").record(DAY * 4000), "to ten years").await;
    refused(request("a}b").recorded(), "its braces allow no record").await;
    let error = locker.last_run("a}b").await.expect_err("refused");
    assert!(matches!(error, LockError::InvalidRequest { .. }), "{error}");
    let guard = request("k").once_per(DAY * 366).acquire().await;
    guard.expect("fine").release().await.expect("ours");
}
