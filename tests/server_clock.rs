//! Once per period on a server whose clock steps back or forward: somebody sets it, or a machine with
//! another time takes over.

use std::time::{Duration, SystemTime};

use redis_locked::{LockError, LockRequest, Locker, Outcome, Recorded};
use redis_locked_test_support::{MovingClock, Server, until};

const LIMIT: Duration = Duration::from_secs(20);
const HOUR: i64 = 3600;
const PERIOD: Duration = Duration::from_secs(3600);
const TTL: Duration = Duration::from_secs(60);
/// Off by less than a tenth of the period, before it begins, counts to it.
const FAR: i64 = HOUR + HOUR / 2;

struct World {
    clock: MovingClock,
    server: Server,
    ours: Locker,
    theirs: Locker,
}

async fn connect(server: &Server) -> Locker {
    let connecting = Locker::connect(&server.url()).await;
    connecting.expect("it answers")
}

impl World {
    async fn step_to(&self, seconds: i64) {
        self.clock.step_to(seconds, &self.server).await;
    }
}

/// None where nothing can move a clock.
async fn world() -> Option<World> {
    let Some(clock) = MovingClock::new() else {
        eprintln!("skipped: no clock can be moved here");
        return None;
    };
    let server = Server::builder().clock(&clock).start().await;
    let (ours, theirs) = (connect(&server).await, connect(&server).await);
    Some(World {
        clock,
        server,
        ours,
        theirs,
    })
}

fn hourly(locker: &Locker) -> LockRequest<Recorded> {
    locker.lock("hourly").ttl(TTL).once_per(PERIOD)
}

async fn runs(locker: &Locker) {
    hourly(locker).run(async {}).await.expect("open");
}

async fn is_done(locker: &Locker) -> LockError {
    let error = hourly(locker).acquire().await.expect_err("done");
    assert!(error.is_already_done(), "{error}");
    error
}

#[tokio::test]
async fn a_clock_that_steps_back_runs_nothing_twice() {
    let Some(world) = world().await else { return };
    runs(&world.ours).await;
    world.step_to(-FAR).await;
    for locker in [&world.ours, &world.theirs] {
        is_done(locker).await;
    }
    // By days, the message says what has happened, and how to forget it.
    world.step_to(-100 * HOUR).await;
    let error = is_done(&world.theirs).await;
    let next = error.retry_after().expect("known");
    assert!(next > 100 * PERIOD && next <= 102 * PERIOD, "{next:?}");
    let text = error.to_string();
    assert!(text.contains("clock") && text.contains("forget"), "{text}");
    // What has been done is the latest period, and the next one has its run.
    world.step_to(0).await;
    is_done(&world.ours).await;
    world.step_to(FAR).await;
    runs(&world.theirs).await;
    is_done(&world.ours).await;
}

#[tokio::test]
async fn a_clock_that_steps_forward_has_the_next_periods_run() {
    let Some(world) = world().await else { return };
    for step in 0..5 {
        world.step_to(FAR * step).await;
        runs(&world.ours).await;
        is_done(&world.theirs).await;
    }
    let last = world.ours.last_run("hourly").await.expect("read");
    let ahead = last
        .expect("recorded")
        .started
        .duration_since(SystemTime::now());
    assert!(ahead.expect("later") > 5 * PERIOD);
}

#[tokio::test]
async fn a_run_in_whose_middle_the_clock_steps_back_counts_to_the_period_of_its_start() {
    let Some(world) = world().await else { return };
    let guard = hourly(&world.ours).acquire().await.expect("open");
    world.step_to(-FAR).await;
    let error = hourly(&world.theirs).acquire().await.expect_err("held");
    assert!(error.is_busy(), "{error}");
    guard.release().await.expect("ours");
    for off in [-FAR, 0] {
        world.step_to(off).await;
        is_done(&world.theirs).await;
    }
    let last = world
        .theirs
        .last_run("hourly")
        .await
        .expect("read")
        .expect("recorded");
    assert_eq!(last.outcome, Some(Outcome::Ok));
    assert!(last.ended < Some(last.started), "{last:?}");
}

/// The key has expired then, by the server's clock. Whoever had it learns that from the next extension.
#[tokio::test]
async fn a_run_in_whose_middle_the_clock_steps_forward_loses_its_lock_and_spoils_nothing() {
    let Some(world) = world().await else { return };
    let short = Duration::from_millis(900);
    let hangs = std::future::pending::<()>();
    let run = tokio::spawn(hourly(&world.ours).ttl(short).renew().run(hangs));
    until(LIMIT, "it runs", async || {
        let last = world.theirs.last_run("hourly").await.expect("read");
        last.is_some_and(|last| last.running)
    })
    .await;
    world.step_to(FAR).await;
    let next = hourly(&world.theirs)
        .wait(LIMIT)
        .acquire()
        .await
        .expect("expired");
    assert!(run.await.expect("no panic").expect_err("lost").is_lost());
    world.ours.shutdown().await;
    let last = world
        .theirs
        .last_run("hourly")
        .await
        .expect("read")
        .expect("recorded");
    assert!(last.running && last.ended.is_none(), "{last:?}");
    next.release().await.expect("ours");
    is_done(&world.ours).await;
}
