//! What a run tells of itself: its span, and what the spans of its body are inside of.

use std::future::{pending, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Poll;
use std::time::Duration;

use redis_locked::{LockError, Locker, redis_locked};
use redis_locked_test_support::logs::Span;
use redis_locked_test_support::{Logs, Process};
use tokio::time::{sleep, timeout};
use tracing::{Level, info_span};

const TTL: Duration = Duration::from_secs(5);
const LIMIT: Duration = Duration::from_secs(20);

/// Opens a span of its own each time that it goes on.
async fn work(takes: Duration) {
    info_span!("inside").in_scope(|| ());
    sleep(takes).await;
    info_span!("inside").in_scope(|| ());
}

#[redis_locked(key = "report:{tenant}", ttl = TTL)]
async fn report(tenant: u32, takes: Duration) -> Result<(), LockError> {
    work(takes).await;
    Ok(())
}

#[redis_locked(key = "report:{tenant}", ttl = TTL, retries = 2, backoff = "100ms")]
async fn retrying(tenant: u32) -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "report:{tenant}", ttl = TTL, wait)]
async fn waiting(tenant: u32, takes: Duration) -> Result<(), LockError> {
    work(takes).await;
    Ok(())
}

#[redis_locked(key = ["account:{from}", "account:{to}", from.max(to)], ttl = TTL)]
async fn transfer(from: u32, to: u32) -> Result<(), LockError> {
    work(Duration::from_secs(2)).await;
    Ok(())
}

#[redis_locked(key = "report:{tenant}", ttl = TTL, name = "reports")]
async fn named(tenant: u32) -> Result<(), LockError> {
    Ok(())
}

/// The only span of a run, which is over.
fn run(logs: &Logs) -> Span {
    let spans = logs.spans();
    let mut runs = spans.into_iter().filter(|span| span.name == "lock");
    let run = runs.next().expect("a span of the run");
    assert!(runs.next().is_none(), "one for each run");
    assert!(run.closed, "{run:?}");
    assert_eq!(run.level, Level::INFO);
    run
}

fn field<'a>(run: &'a Span, name: &str) -> Option<&'a str> {
    let text = run.fields.get(&format!("lock.{name}"));
    text.map(|text| text.trim_matches('"'))
}

/// Attempts, time waited, time held, outcome, other holder.
fn course(run: &Span) -> [Option<&str>; 5] {
    ["attempts", "waited", "held", "outcome", "holder"].map(|name| field(run, name))
}

fn levels(logs: &Logs) -> Vec<Level> {
    logs.events().iter().map(|event| event.level).collect()
}

#[tokio::test(start_paused = true)]
async fn a_body_that_ran_under_several_keys() {
    let locker = Locker::in_memory();
    let name = "account:{from},account:{to},from.max(to)";
    {
        let (logs, _guard) = Logs::of_this_thread();
        locker.scope(transfer(7, 12)).await.expect("free");
        let run = run(&logs);
        assert_eq!(field(&run, "key"), Some("12,account:12,account:7"));
        assert_eq!(field(&run, "name"), Some(name));
        let expected = [Some("1"), Some("0ns"), Some("2s"), Some("ran"), None];
        assert_eq!(course(&run), expected);
    }
    let (logs, _guard) = Logs::of_this_thread();
    let _held = locker.lock("account:12").acquire().await.expect("free");
    let refused = locker.scope(transfer(12, 7)).await;
    assert_eq!(refused.expect_err("held").key(), Some("account:12"));
    let run = run(&logs);
    assert_eq!(field(&run, "key"), Some("12,account:12,account:7"));
    assert_eq!(field(&run, "outcome"), Some("busy"));
    assert!(field(&run, "holder").is_some());
    // The event tells which it was.
    let events = logs.events();
    assert_eq!(events.len(), 1, "{events:?}");
    let key = events[0].fields.get("lock.key");
    assert_eq!(key.map(|key| key.trim_matches('"')), Some("account:12"));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_ran() {
    let (logs, _guard) = Logs::of_this_thread();
    let ran = report(7, Duration::from_secs(2));
    Locker::in_memory().scope(ran).await.expect("free");
    let run = run(&logs);
    assert_eq!(field(&run, "key"), Some("report:7"));
    assert_eq!(field(&run, "name"), Some("report:{tenant}"));
    let expected = [Some("1"), Some("0ns"), Some("2s"), Some("ran"), None];
    assert_eq!(course(&run), expected);
    assert!(logs.events().is_empty(), "{:?}", logs.events());
    let spans = logs.spans();
    let inside: Vec<_> = spans.iter().filter(|span| span.name == "inside").collect();
    assert_eq!(inside.len(), 2);
    assert!(
        inside
            .iter()
            .all(|span| span.inside.as_deref() == Some("lock"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_name_in_the_attribute_stands_for_the_template() {
    let (logs, _guard) = Logs::of_this_thread();
    Locker::in_memory().scope(named(7)).await.expect("free");
    let run = run(&logs);
    assert_eq!(field(&run, "key"), Some("report:7"));
    assert_eq!(field(&run, "name"), Some("reports"));
}

#[tokio::test(start_paused = true)]
async fn busy_names_the_other_holder_at_debug() {
    let (logs, _guard) = Logs::of_this_thread();
    let locker = Locker::builder().owner("web-3:812").in_memory();
    let held = locker.lock("report:7").acquire().await.expect("free");
    let busy = locker.scope(retrying(7)).await;
    assert!(busy.expect_err("held").is_busy());
    held.release().await.expect("ours");
    let run = run(&logs);
    let busy = [
        Some("3"),
        Some("200ms"),
        None,
        Some("busy"),
        Some("web-3:812"),
    ];
    assert_eq!(course(&run), busy);
    assert_eq!(levels(&logs), [Level::DEBUG]);
    let event = logs.find(Level::DEBUG, "busy").expect("an event");
    assert_eq!(event.fields["lock.key"], "report:7");
    assert_eq!(event.fields["lock.name"], "report:{tenant}");
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_is_passed_on_takes_no_attempt() {
    let locker = Locker::in_memory();
    let held = locker.lock("report:7").ttl(TTL).wait_forever();
    let held = held.acquire().await.expect("free");
    let (logs, _guard) = Logs::of_this_thread();
    let next = locker.scope(waiting(7, Duration::from_secs(1)));
    let passed_on = async {
        sleep(Duration::from_millis(20)).await;
        held.release().await
    };
    let (next, passed_on) = tokio::join!(next, passed_on);
    next.and(passed_on).expect("passed on");
    let passed_on = [Some("0"), Some("20ms"), Some("1s"), Some("ran"), None];
    assert_eq!(course(&run(&logs)), passed_on);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_has_to_ask_counts_its_attempts() {
    let locker = Locker::in_memory();
    let held = locker.lock("report:7").acquire().await.expect("free");
    let (logs, _guard) = Logs::of_this_thread();
    let next = locker.scope(waiting(7, Duration::ZERO));
    // Longer than a lock is passed on.
    let released = async {
        sleep(Duration::from_secs(2)).await;
        held.release().await
    };
    let (next, released) = tokio::join!(next, released);
    next.and(released).expect("released");
    let run = run(&logs);
    assert_eq!(field(&run, "waited"), Some("2s"));
    assert_eq!(field(&run, "outcome"), Some("ran"));
    let attempts: u32 = field(&run, "attempts").expect("a count").parse().unwrap();
    assert!(attempts > 0, "the store was asked: {run:?}");
}

#[tokio::test(start_paused = true)]
async fn a_lost_lock_is_a_warning_once() {
    let (logs, _guard) = Logs::of_this_thread();
    let lost = report(7, Duration::from_secs(60));
    let lost = Locker::in_memory().scope(lost).await;
    assert!(lost.expect_err("cut off").is_lost());
    // The ttl, less 1 % and 2 ms.
    let lost = [Some("1"), Some("0ns"), Some("4.948s"), Some("lost"), None];
    assert_eq!(course(&run(&logs)), lost);
    assert_eq!(levels(&logs), [Level::WARN]);
}

#[redis_locked(key = "report:{tenant}", ttl = TTL, on_lost = finish)]
async fn finishing(tenant: u32) -> Result<(), LockError> {
    work(Duration::from_secs(60)).await;
    Ok(())
}

/// It ran, and one warning says that a part of it was without the lock: that the release finds the
/// key gone is no news.
#[tokio::test(start_paused = true)]
async fn a_body_that_finishes_without_its_lock() {
    let (logs, _guard) = Logs::of_this_thread();
    let finished = Locker::in_memory().scope(finishing(7)).await;
    finished.expect("its own result");
    let ran = [Some("1"), Some("0ns"), Some("60s"), Some("ran"), None];
    assert_eq!(course(&run(&logs)), ran);
    assert_eq!(levels(&logs), [Level::WARN, Level::DEBUG]);
}

#[redis_locked(key = "report:{tenant}")]
async fn around(tenant: u32) -> Result<Result<(), LockError>, LockError> {
    Ok(report(tenant, Duration::ZERO).await)
}

#[tokio::test(start_paused = true)]
async fn a_run_inside_of_its_own_lock() {
    let (logs, _guard) = Logs::of_this_thread();
    let around = Locker::in_memory().scope(around(7)).await;
    around.expect("free").expect_err("it would wait for itself");
    let spans = logs.spans();
    let outcomes: Vec<_> = spans.iter().map(|span| field(span, "outcome")).collect();
    assert_eq!(outcomes, [Some("ran"), Some("would_deadlock")]);
    assert_eq!(spans[1].inside.as_deref(), Some("lock"));
}

#[redis_locked(key = "report:{tenant}", ttl = Duration::ZERO)]
async fn without_time(tenant: u32) -> Result<(), LockError> {
    Ok(())
}

#[tokio::test]
async fn a_request_that_cannot_be_meant_so() {
    let (logs, _guard) = Logs::of_this_thread();
    let refused = Locker::in_memory().scope(without_time(7)).await;
    refused.expect_err("no ttl");
    assert_eq!(field(&run(&logs), "outcome"), Some("invalid_request"));
}

#[tokio::test]
async fn no_locker() {
    let child = Process::test("no_locker_child").env("REDIS_URL", "no url");
    let ended = child.start().wait(LIMIT).await;
    assert!(ended.success());
}

#[tokio::test]
#[ignore = "a child of `no_locker`, with an environment of its own"]
async fn no_locker_child() {
    let (logs, _guard) = Logs::of_this_thread();
    report(7, Duration::ZERO).await.expect_err("no locker");
    assert_eq!(field(&run(&logs), "outcome"), Some("not_configured"));
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_leaves() {
    let locker = Locker::in_memory();
    let held = locker.lock("report:7").acquire().await.expect("free");
    let (logs, guard) = Logs::of_this_thread();
    let left = timeout(TTL / 5, locker.scope(waiting(7, Duration::ZERO))).await;
    left.expect_err("held");
    let while_waiting = [None, Some("1s"), None, Some("cancelled"), None];
    assert_eq!(course(&run(&logs)), while_waiting);
    held.release().await.expect("ours");
    drop(guard);

    let (logs, _guard) = Logs::of_this_thread();
    let left = timeout(TTL / 5, locker.scope(report(7, TTL))).await;
    left.expect_err("it takes longer");
    let while_held = [Some("1"), Some("0ns"), Some("1s"), Some("cancelled"), None];
    assert_eq!(course(&run(&logs)), while_held);
    assert!(logs.events().is_empty(), "{:?}", logs.events());
}

#[redis_locked(key = "panics", ttl = TTL)]
async fn panics() -> Result<(), LockError> {
    sleep(Duration::from_secs(1)).await;
    panic!("as it is meant to");
}

/// Whenever the future is dropped after that.
#[tokio::test(start_paused = true)]
async fn a_body_that_panics() {
    let (logs, _guard) = Logs::of_this_thread();
    let mut panics = Box::pin(Locker::in_memory().scope(panics()));
    let caught = poll_fn(|cx| {
        let polled = catch_unwind(AssertUnwindSafe(|| panics.as_mut().poll(cx)));
        polled.map_or_else(|panic| Poll::Ready(Err(panic)), |poll| poll.map(Ok))
    });
    caught.await.expect_err("a panic");
    drop(panics);
    let panicked = [Some("1"), Some("0ns"), Some("1s"), Some("panicked"), None];
    assert_eq!(course(&run(&logs)), panicked);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_body_that_is_dropped_is_inside_too() {
    struct Ends;
    impl Drop for Ends {
        fn drop(&mut self) {
            info_span!("ends").in_scope(|| ());
        }
    }
    let (logs, _guard) = Logs::of_this_thread();
    let ends = Ends;
    let body = async move {
        pending::<()>().await;
        drop(ends);
    };
    let locker = Locker::in_memory();
    let left = timeout(TTL, locker.lock("report:7").run(body)).await;
    left.expect_err("it never ends");
    let ends = logs.span("ends").expect("it was dropped");
    assert_eq!(ends.inside.as_deref(), Some("lock"));
}

#[tokio::test]
async fn a_run_that_nobody_awaits_tells_nothing() {
    let (logs, _guard) = Logs::of_this_thread();
    drop(Locker::in_memory().scope(report(7, Duration::ZERO)));
    assert!(logs.spans().is_empty(), "{:?}", logs.spans());
}

#[tokio::test]
async fn a_run_by_hand_has_the_name_that_it_is_given() {
    let locker = Locker::in_memory();
    for (request, name) in [
        (locker.lock("report:7"), "unnamed"),
        (locker.lock("report:7").name("report"), "report"),
    ] {
        let (logs, _guard) = Logs::of_this_thread();
        request.run(async {}).await.expect("free");
        assert_eq!(field(&run(&logs), "name"), Some(name));
        assert_eq!(field(&run(&logs), "key"), Some("report:7"));
    }
}

#[tokio::test]
async fn a_guard_has_no_span() {
    let (logs, _guard) = Logs::of_this_thread();
    let held = Locker::in_memory().lock("report:7").acquire().await;
    held.expect("free").release().await.expect("ours");
    assert!(logs.spans().is_empty(), "{:?}", logs.spans());
}
