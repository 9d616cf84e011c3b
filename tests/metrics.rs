//! Every metric, as the recorder of the crate `metrics` gets to see it.

mod common;
#[path = "common/recorder.rs"]
mod recorder;

use std::future::pending;
use std::time::Duration;

use common::{LIMIT, locker_at, redis};
use metrics::Unit;
use metrics_util::MetricKind;
use recorder::Metrics;
use redis_locked::{LockError, LockRequest, Locker, redis_locked};
use redis_locked_test_support::{Server, until};
use tokio::time::{sleep, timeout};

const TTL: Duration = Duration::from_secs(5);

/// So short that the background soon gives up on a dead server.
const BRIEF: Duration = Duration::from_secs(1);

fn request(locker: &Locker, name: &'static str) -> LockRequest {
    locker.lock("report:7").ttl(TTL).name(name)
}

#[redis_locked(key = "report:{tenant}", ttl = TTL)]
async fn report(tenant: u32, takes: Duration) -> Result<(), LockError> {
    sleep(takes).await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn all_are_described_and_shown_at_zero_from_the_first_request() {
    let (metrics, _guard) = Metrics::record();
    let locker = Locker::in_memory();
    let before = metrics.snapshotter.snapshot().into_vec();
    assert!(before.is_empty(), "the names are not known yet");
    locker.scope(report(7, Duration::ZERO)).await.expect("free");
    let seen = metrics.snapshotter.snapshot().into_vec();
    let mut seen: Vec<_> = seen
        .iter()
        .map(|(key, unit, help, _)| {
            assert!(help.as_ref().is_some_and(|help| help.len() > 10));
            let name = key.key().name().strip_prefix("redis_locked_");
            (name.expect("a prefix"), key.kind(), unit.expect("a unit"))
        })
        .collect();
    seen.sort_by_key(|(name, ..)| *name);
    let expected = [
        ("acquired_total", MetricKind::Counter, Unit::Count),
        ("already_done_total", MetricKind::Counter, Unit::Count),
        ("backend_errors_total", MetricKind::Counter, Unit::Count),
        ("busy_total", MetricKind::Counter, Unit::Count),
        ("failed_releases_total", MetricKind::Counter, Unit::Count),
        ("held", MetricKind::Gauge, Unit::Count),
        ("held_seconds", MetricKind::Histogram, Unit::Seconds),
        ("lost_total", MetricKind::Counter, Unit::Count),
        ("waited_seconds", MetricKind::Histogram, Unit::Seconds),
        ("waiting", MetricKind::Gauge, Unit::Count),
    ];
    assert_eq!(seen, expected);
}

#[tokio::test]
async fn what_is_named_beforehand_is_shown_at_zero_from_the_start() {
    let (metrics, _guard) = Metrics::record();
    let builder = Locker::builder().names(["nightly", "report:{tenant}"]);
    let _locker = builder.in_memory();
    for name in ["nightly", "report:{tenant}"] {
        assert_eq!(metrics.counts(name), "");
        let totals = metrics.totals.borrow();
        // The histograms have no zero.
        assert_eq!(totals.keys().filter(|(of, _)| of == name).count(), 8);
    }
}

/// As when an exporter is installed after the first locks were had: what it did not see begin does
/// not end before its eyes.
#[tokio::test(start_paused = true)]
async fn a_recorder_that_is_installed_late_is_shown_all_the_same() {
    let locker = Locker::in_memory();
    let unseen = request(&locker, "late").acquire().await.expect("free");
    let (metrics, _guard) = Metrics::record();
    let busy = request(&locker, "late").acquire().await;
    busy.expect_err("held");
    unseen.release().await.expect("ours");
    assert_eq!(
        metrics.counts("late"),
        "busy_total 1, waited_seconds_count 1"
    );
    let lost = ("late".to_owned(), "lost_total".to_owned());
    assert!(metrics.totals.borrow().contains_key(&lost));
    let seen = metrics.snapshotter.snapshot().into_vec();
    assert!(seen.iter().all(|(_, _, help, _)| help.is_some()));
}

#[tokio::test(start_paused = true)]
async fn an_annotated_function_counts_by_its_template() {
    let (metrics, _guard) = Metrics::record();
    let locker = Locker::in_memory();
    for tenant in 0..3 {
        let ran = locker.scope(report(tenant, Duration::from_secs(2))).await;
        ran.expect("free");
    }
    let name = "report:{tenant}";
    assert_eq!(
        metrics.counts(name),
        "acquired_total 3, held_seconds_count 3, waited_seconds_count 3"
    );
    assert_eq!(metrics.time(name, "held"), Duration::from_secs(6));
}

#[tokio::test(start_paused = true)]
async fn an_annotated_function_with_a_name_counts_by_it() {
    #[redis_locked(key = "report:{tenant}", name = "reports")]
    async fn named(tenant: u32) -> Result<(), LockError> {
        Ok(())
    }
    let (metrics, _guard) = Metrics::record();
    Locker::in_memory().scope(named(7)).await.expect("free");
    assert_eq!(metrics.counts("report:{tenant}"), "");
    assert!(metrics.counts("reports").starts_with("acquired_total 1"));
}

#[tokio::test(start_paused = true)]
async fn several_keys_wait_once_and_are_held_each() {
    let (metrics, _guard) = Metrics::record();
    let locker = Locker::in_memory();
    let request = |name| locker.lock_all(["a", "b", "c"]).ttl(TTL).name(name);
    let held = request("held").acquire().await.expect("free");
    assert_eq!(
        metrics.counts("held"),
        "acquired_total 3, held 3, waited_seconds_count 1"
    );
    let busy = request("busy").retries(2).backoff(TTL / 10).acquire().await;
    busy.expect_err("held");
    assert_eq!(
        metrics.counts("busy"),
        "busy_total 1, waited_seconds_count 1"
    );
    let waiter = request("waiting").wait(TTL).acquire();
    let mut waiter = Box::pin(waiter);
    timeout(TTL / 10, &mut waiter).await.expect_err("held");
    assert_eq!(metrics.counts("waiting"), "waiting 1");
    sleep(TTL / 10).await;
    held.release().await.expect("ours");
    assert_eq!(
        metrics.counts("held"),
        "acquired_total 3, held_seconds_count 3, waited_seconds_count 1"
    );
    assert_eq!(metrics.time("held", "held"), TTL / 10 * 4 * 3);
    waiter.await.expect("free").release().await.expect("ours");
    assert_eq!(
        metrics.counts("waiting"),
        "acquired_total 3, held_seconds_count 3, waited_seconds_count 1"
    );
}

/// It was counted until it had the first of them.
#[tokio::test(start_paused = true)]
async fn who_has_some_of_several_keys_waits() {
    let (metrics, _guard) = Metrics::record();
    let locker = Locker::in_memory();
    let held = locker.lock("b").ttl(TTL).acquire().await.expect("free");
    let waiter = locker.lock_all(["a", "b"]).ttl(TTL).name("waiting");
    let mut waiter = Box::pin(waiter.wait(TTL).acquire());
    timeout(TTL / 10, &mut waiter).await.expect_err("held");
    let busy = locker.lock("a").acquire().await;
    assert!(busy.expect_err("had").is_busy());
    assert_eq!(metrics.counts("waiting"), "waiting 1");
    held.release().await.expect("ours");
    waiter.await.expect("free").release().await.expect("ours");
    assert_eq!(
        metrics.counts("waiting"),
        "acquired_total 2, held_seconds_count 2, waited_seconds_count 1"
    );
}

#[tokio::test(start_paused = true)]
async fn a_request_without_a_name() {
    let (metrics, _guard) = Metrics::record();
    let held = Locker::in_memory().lock("report:7").acquire().await;
    assert_eq!(
        metrics.counts("unnamed"),
        "acquired_total 1, held 1, waited_seconds_count 1"
    );
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn busy_and_waiting() {
    let (metrics, _guard) = Metrics::record();
    let locker = Locker::in_memory();
    let held = request(&locker, "first").acquire().await.expect("free");

    let retrying = request(&locker, "busy").retries(1).backoff(TTL / 10);
    retrying.acquire().await.expect_err("held");
    assert_eq!(
        metrics.counts("busy"),
        "busy_total 1, waited_seconds_count 1"
    );
    assert_eq!(metrics.time("busy", "waited"), Duration::from_millis(500));

    let mut waiting = Box::pin(request(&locker, "left").wait_forever().acquire());
    let soon = timeout(TTL / 10, waiting.as_mut()).await;
    soon.expect_err("held");
    assert_eq!(metrics.counts("left"), "waiting 1");
    // A caller who leaves: neither busy nor an error.
    drop(waiting);
    assert_eq!(metrics.counts("left"), "waited_seconds_count 1");
    assert_eq!(metrics.time("left", "waited"), Duration::from_millis(500));

    assert_eq!(
        metrics.counts("first"),
        "acquired_total 1, held 1, waited_seconds_count 1"
    );
    held.release().await.expect("ours");
    assert_eq!(
        metrics.counts("first"),
        "acquired_total 1, held_seconds_count 1, waited_seconds_count 1"
    );
    assert_eq!(metrics.time("first", "held"), Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_lock_that_is_passed_on_is_acquired_and_held_by_each() {
    let (metrics, _guard) = Metrics::record();
    let locker = Locker::in_memory();
    let mut line = Vec::new();
    for name in ["one", "two"] {
        let run = request(&locker, name).wait_forever();
        let body = async { sleep(Duration::from_millis(10)).await };
        line.push(tokio::spawn(run.run(body)));
    }
    for run in line {
        run.await.expect("no panic").expect("its turn");
    }
    for name in ["one", "two"] {
        assert_eq!(
            metrics.counts(name),
            "acquired_total 1, held_seconds_count 1, waited_seconds_count 1"
        );
        assert_eq!(metrics.time(name, "held"), Duration::from_millis(10));
    }
    assert_eq!(metrics.time("two", "waited"), Duration::from_millis(10));
}

const LOST: &str = "acquired_total 1, held_seconds_count 1, lost_total 1, waited_seconds_count 1";

/// The same, found out by a release.
const LOST_BEFORE_RELEASE: &str = "acquired_total 1, failed_releases_total 1, \
                                   held_seconds_count 1, lost_total 1, waited_seconds_count 1";

#[tokio::test(start_paused = true)]
async fn a_loss_is_counted_once_whoever_finds_out() {
    let (metrics, _guard) = Metrics::record();
    let locker = Locker::in_memory();
    let cut_off = request(&locker, "body").run(sleep(TTL * 2));
    cut_off.await.expect_err("too long");
    assert_eq!(metrics.counts("body"), LOST);

    let late = request(&locker, "release").acquire().await.expect("free");
    sleep(TTL * 2).await;
    late.release().await.expect_err("gone");
    assert_eq!(metrics.counts("release"), LOST_BEFORE_RELEASE);

    let late = request(&locker, "drop").acquire().await.expect("free");
    sleep(TTL * 2).await;
    drop(late);
    assert_eq!(metrics.counts("drop"), LOST_BEFORE_RELEASE);
}

/// Passed on to a caller who never took it, it was had by nobody.
#[tokio::test(start_paused = true)]
async fn a_lock_that_ran_out_on_its_way_was_not_lost() {
    let (metrics, _guard) = Metrics::record();
    let locker = Locker::in_memory();
    let held = request(&locker, "held").wait_forever().acquire().await;
    let mut left = Box::pin(request(&locker, "left").wait_forever().acquire());
    let soon = timeout(TTL / 500, left.as_mut()).await;
    soon.expect_err("held");
    held.expect("free").release().await.expect("passed on");
    sleep(TTL * 2).await;
    drop(left);
    assert_eq!(metrics.counts("left"), "waited_seconds_count 1");
    assert!(!metrics.counts("held").contains("lost"));
}

#[tokio::test]
async fn a_loss_that_redis_tells_of_is_counted_once() {
    let (server, locker) = redis().await;
    let (metrics, _guard) = Metrics::record();
    let body = async {
        server.del("report:7").await;
        pending::<()>().await;
    };
    let renewed = request(&locker, "keeper").ttl(BRIEF).renew();
    renewed.run(body).await.expect_err("deleted");
    assert_eq!(metrics.counts("keeper"), LOST);

    let renewed = request(&locker, "guard").renew();
    let guard = renewed.acquire().await.expect("free");
    server.del("report:7").await;
    guard.lost().await;
    drop(guard);
    locker.shutdown().await;
    assert_eq!(metrics.counts("guard"), LOST);

    let body = async { assert!(server.del("report:7").await) };
    let ran = request(&locker, "release").run(body).await;
    ran.expect("its own result");
    assert_eq!(metrics.counts("release"), LOST_BEFORE_RELEASE);

    let guard = request(&locker, "background").acquire().await;
    server.del("report:7").await;
    drop(guard.expect("free"));
    locker.shutdown().await;
    assert_eq!(metrics.counts("background"), LOST_BEFORE_RELEASE);
}

#[tokio::test]
async fn each_request_that_a_dead_server_fails_is_counted_once() {
    let (server, locker) = redis().await;
    server.kill();
    let (metrics, _guard) = Metrics::record();
    let requests = [
        request(&locker, "once"),
        request(&locker, "again").retries(2).backoff(BRIEF / 100),
        request(&locker, "waiting").wait(BRIEF),
    ];
    for request in requests {
        assert!(request.acquire().await.expect_err("dead").is_backend());
    }
    for name in ["once", "again", "waiting"] {
        assert_eq!(
            metrics.counts(name),
            "backend_errors_total 1, waited_seconds_count 1"
        );
    }
}

/// Nobody knows whether the server has set the key, so the background tries to delete it.
#[tokio::test]
async fn a_request_that_a_server_leaves_unanswered_is_counted_once() {
    let server = Server::start().await;
    let builder = Locker::builder().response_timeout(BRIEF / 4);
    let builder = builder.connection_timeout(BRIEF / 4);
    let locker = builder.connect(&server.url()).await.expect("connected");
    let (metrics, _guard) = Metrics::record();
    server.stop_process();
    let hung = request(&locker, "hung").ttl(BRIEF).acquire().await;
    assert!(hung.expect_err("it stands still").is_backend());
    let left = request(&locker, "left").ttl(BRIEF).acquire();
    timeout(BRIEF / 10, left)
        .await
        .expect_err("it stands still");
    timeout(LIMIT, locker.shutdown()).await.expect("given up");
    assert_eq!(
        metrics.counts("hung"),
        "backend_errors_total 1, waited_seconds_count 1"
    );
    assert_eq!(metrics.counts("left"), "waited_seconds_count 1");
}

#[tokio::test]
async fn each_release_that_a_dead_server_fails_is_counted_once() {
    const FAILED: &str = "acquired_total 1, backend_errors_total 1, failed_releases_total 1, \
                          held_seconds_count 1, waited_seconds_count 1";
    let (server, locker) = redis().await;
    let (metrics, _guard) = Metrics::record();
    let ran = request(&locker, "run").ttl(BRIEF);
    ran.run(async { server.kill() }).await.expect("its result");
    assert_eq!(metrics.counts("run"), FAILED);

    for name in ["by hand", "dropped"] {
        server.restart().await;
        let guard = request(&locker, name).ttl(BRIEF).acquire().await;
        let guard = guard.expect("free");
        server.kill();
        if name == "by hand" {
            guard.release().await.expect_err("dead");
        } else {
            drop(guard);
        }
    }
    // Tries on in the background, and gives up.
    timeout(LIMIT, locker.shutdown()).await.expect("given up");
    for name in ["run", "by hand", "dropped"] {
        assert_eq!(metrics.counts(name), FAILED, "{name}");
    }
}

/// Its answer is lost, and another has the key when it is asked again.
#[tokio::test]
async fn a_release_that_was_carried_out_is_counted_as_a_loss() {
    let (metrics, _guard) = Metrics::record();
    let server = Server::start().await;
    let proxy = server.proxy().await;
    let locker = locker_at(&proxy.url()).await;
    // So that the server knows the script.
    let warm = locker.lock("warm").run(async {}).await;
    warm.expect("no faults yet");
    let held = request(&locker, "released").ttl(LIMIT).acquire().await;
    let guard = held.expect("free");
    proxy.stall_answers(true);
    let taking = async {
        let freed = async || server.set_nx_px("report:7", "theirs", 60_000).await;
        until(LIMIT, "it is released", freed).await;
        proxy.cut().await;
        proxy.stall_answers(false);
    };
    let (released, ()) = tokio::join!(guard.release(), taking);
    assert_eq!(
        metrics.counts("released"),
        "acquired_total 1, held_seconds_count 1, waited_seconds_count 1",
        "{released:?}"
    );
}

#[tokio::test]
async fn extensions_that_fail_are_backend_errors() {
    let (server, locker) = redis().await;
    let (metrics, _guard) = Metrics::record();
    let guard = request(&locker, "by hand").acquire().await.expect("free");
    let renewed = locker.lock("report:8").name("renewed").ttl(BRIEF).renew();
    let renewed = renewed.acquire().await.expect("free");
    server.kill();
    guard.extend(TTL).await.expect_err("dead");
    assert!(
        metrics
            .counts("by hand")
            .contains("backend_errors_total 1,")
    );
    until(LIMIT, "an extension fails", async || {
        metrics.counts("renewed").contains("backend_errors_total")
    })
    .await;
    drop((guard, renewed));
}

#[tokio::test(start_paused = true)]
async fn recorded_runs_count_by_how_they_ended() {
    let (metrics, _guard) = Metrics::record();
    let noon = std::time::UNIX_EPOCH + Duration::from_secs(43_200);
    let locker = Locker::builder().in_memory_at(noon);
    let day = Duration::from_secs(86_400);
    let job = || request(&locker, "job").once_per(day);
    let last_success = || {
        let counts = metrics.counts("job");
        assert!(!counts.contains("busy_total"), "{counts}");
        let totals = metrics.totals.borrow();
        let key = (
            "job".to_owned(),
            "last_success_timestamp_seconds".to_owned(),
        );
        totals.get(&key).copied()
    };
    let outcomes = || {
        let counts = metrics.counts("job");
        let runs = counts
            .split(", ")
            .filter_map(|count| count.strip_prefix("runs_total outcome "));
        runs.collect::<Vec<_>>().join(", ")
    };
    let failing = job().run(async { Err::<(), ()>(()) }).await;
    failing.expect("open").expect_err("it fails");
    drop(job().acquire().await.expect("open"));
    let cut_off = job().run(pending::<()>()).await;
    assert!(cut_off.expect_err("lost").is_lost());
    locker.shutdown().await;
    assert_eq!(outcomes(), "cut_off 1, dropped 1, error 1");
    assert_eq!(last_success(), None);
    let before = std::time::SystemTime::now();
    job().run(async {}).await.expect("open");
    assert_eq!(outcomes(), "cut_off 1, dropped 1, error 1, ok 1");
    let since = before.duration_since(std::time::UNIX_EPOCH).expect("now");
    let success = last_success().expect("it has succeeded");
    assert!(success >= since.as_secs_f64() && success < since.as_secs_f64() + 60.0);
    let panicked = ("job".to_owned(), "runs_total outcome panicked".to_owned());
    let zero = metrics.totals.borrow().get(&panicked).copied();
    assert_eq!(zero, Some(0.0));
    job().acquire().await.expect_err("done");
    assert!(metrics.counts("job").contains("already_done_total 1"));
}

/// Who comes late tells of a success that another process has had.
#[tokio::test(start_paused = true)]
async fn who_finds_it_done_shows_when_it_succeeded() {
    let noon = std::time::UNIX_EPOCH + Duration::from_secs(43_200);
    let locker = Locker::builder().in_memory_at(noon);
    let day = Duration::from_secs(86_400);
    let job = || request(&locker, "job").once_per(day);
    job().run(async {}).await.expect("open");
    let hour = Duration::from_secs(3600);
    sleep(hour).await;
    let (metrics, _guard) = Metrics::record();
    job().acquire().await.expect_err("done");
    let counts = metrics.counts("job");
    assert!(counts.contains("already_done_total 1"), "{counts}");
    let now = std::time::UNIX_EPOCH.elapsed().expect("now").as_secs_f64();
    let totals = metrics.totals.borrow();
    let key = (
        "job".to_owned(),
        "last_success_timestamp_seconds".to_owned(),
    );
    let ago = now - totals[&key];
    assert!((3600.0..3660.0).contains(&ago), "{ago}");
}
