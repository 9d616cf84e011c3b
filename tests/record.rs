//! The record of runs on a real server, and what becomes of it in trouble.

mod common;

use std::time::{Duration, SystemTime};

use common::{LIMIT, locker_at, redis};
use redis_locked::{LastRun, LockError, LockRequest, Locker, Outcome, Recorded};
use redis_locked_test_support::logs::Logged;
use redis_locked_test_support::{AfterLoss, Logs, Pair, Process, Server, bulk, until};
use tokio::time::sleep;
use tracing::Level;

const TTL: Duration = Duration::from_secs(60);
const PERIOD: Duration = Duration::from_secs(366 * 24 * 60 * 60);
const DAY: Duration = Duration::from_secs(86_400);
const RECORD: &str = "{job}:last";

fn recorded(locker: &Locker) -> LockRequest<Recorded> {
    locker.lock("job").ttl(TTL).record(DAY)
}

async fn last(locker: &Locker) -> LastRun {
    let last = locker.last_run("job").await.expect("read");
    last.expect("recorded")
}

#[tokio::test]
async fn it_is_by_the_servers_clock_and_expires() {
    let (server, locker) = redis().await;
    assert_eq!(locker.last_run("job").await.expect("read"), None);
    let before = SystemTime::now();
    let guard = recorded(&locker).fenced().acquire().await.expect("free");
    let running = last(&locker).await;
    assert!(running.running && running.ended.is_none(), "{running:?}");
    assert_eq!(running.fencing_token, guard.fencing_token());
    let grain = Duration::from_millis(1);
    assert!(running.started + grain >= before, "{running:?}");
    sleep(Duration::from_millis(20)).await;
    guard.release().await.expect("ours");
    let ended = last(&locker).await;
    assert_eq!(ended.outcome, Some(Outcome::Ok));
    assert_eq!(ended.started, running.started);
    assert!(ended.ended >= Some(ended.started + Duration::from_millis(20)));
    assert_eq!(ended.last_success, ended.ended);
    assert_eq!(ended.fencing_token, running.fencing_token);
    let day = i64::try_from(DAY.as_millis()).expect("small");
    let lives = server.pttl(RECORD).await;
    assert!(lives > day - 60_000 && lives <= day, "{lives}");
    // A shorter life does not shorten it.
    let short = locker.lock("job").record(Duration::from_secs(60));
    short.run(async {}).await.expect("free");
    assert!(server.pttl(RECORD).await > day - 60_000);
}

/// Found by the simulation: the script gave the lock back, and then wrote down the run all the same, since Redis
/// lets a script go on that has written something. The caller had a lock that was given back.
#[tokio::test]
async fn a_lock_that_was_passed_on_is_not_had_while_its_run_cannot_be_written_down() {
    let (server, locker) = redis().await;
    assert!(server.set_nx_px("job", "theirs", 1_000).await);
    let waiting = tokio::spawn(recorded(&locker).wait(TTL).acquire());
    until(LIMIT, "it waits", async || {
        let mut line = redis::cmd("ZCARD");
        let mut connection = server.connection().await;
        let waiting = line.arg("{job}:line").query_async(&mut connection).await;
        waiting == Ok(1)
    })
    .await;
    server.set_out_of_memory(true).await;
    // As a release that passes it on, whose bell is lost: the deletion is the write after which Redis lets it go on.
    let pass_on = redis::Script::new(
        "local value = redis.call('ZRANGE', KEYS[2], 0, 0)[1]
        redis.call('DEL', KEYS[1])
        redis.call('SET', KEYS[1], value, 'PX', 120000)
        redis.call('HDEL', KEYS[3], value)
        return redis.call('ZREM', KEYS[2], value)",
    );
    let mut passing = pass_on.key("job");
    let passing = passing.key("{job}:line").key("{job}:seats");
    let mut connection = server.connection().await;
    let passed = passing.invoke_async(&mut connection).await;
    assert_eq!(passed, Ok(1));
    until(LIMIT, "it gives the lock back", async || {
        !server.exists("job").await
    })
    .await;
    server.set_out_of_memory(false).await;
    let guard = waiting.await.expect("no panic").expect("it asks again");
    let value = server.get("job").await.unwrap_or_default();
    assert!(value.starts_with(guard.token()), "{value}");
    guard.release().await.expect("ours");
}

/// Another process acquires, and says so.
#[tokio::test]
#[ignore = "run by others, as a process"]
async fn holder() {
    let url = std::env::var("REDIS").expect("given");
    let locker = locker_at(&url).await;
    let _guard = locker
        .lock("job")
        .ttl(Duration::from_secs(2))
        .once_per(PERIOD)
        .acquire()
        .await
        .expect("free");
    println!("holds");
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn a_run_that_was_killed_shows_as_started_and_is_run_again() {
    let (server, locker) = redis().await;
    let process = Process::test("holder").env("REDIS", server.url()).start();
    process.wait_for_line("holds", LIMIT).await;
    let running = last(&locker).await;
    assert!(running.running, "{running:?}");
    process.kill();
    let again = locker.lock("job").ttl(TTL).once_per(PERIOD).wait(LIMIT);
    until(LIMIT, "its ttl is over", async || {
        !server.exists("job").await
    })
    .await;
    let died = last(&locker).await;
    assert_eq!(
        (died.running, died.ended, died.outcome),
        (false, None, None)
    );
    assert_eq!(died.started, running.started);
    again.run(async {}).await.expect("the period is open");
    let ended = last(&locker).await;
    assert_eq!(ended.outcome, Some(Outcome::Ok));
    assert_ne!(ended.owner, died.owner);
}

#[tokio::test]
async fn a_release_whose_answer_is_lost_is_written_once() {
    let (server, _) = redis().await;
    let proxy = server.proxy().await;
    let locker = locker_at(&proxy.url()).await;
    let once = || locker.lock("job").ttl(TTL).once_per(PERIOD);
    let guard = once().acquire().await.expect("open");
    let value = server.get("job").await.expect("held");
    proxy.drop_next_answer(bulk(&value), AfterLoss::Cut);
    guard.release().await.expect("asked again");
    assert_eq!(proxy.lost_answers(), 1);
    let ended = last(&locker).await;
    assert_eq!(ended.outcome, Some(Outcome::Ok));
    assert!(once().acquire().await.expect_err("done").is_already_done());
}

#[tokio::test]
async fn an_acquisition_whose_answer_is_lost_is_the_same_run() {
    let (server, _) = redis().await;
    let proxy = server.proxy().await;
    let locker = locker_at(&proxy.url()).await;
    let once = || locker.lock("job").ttl(TTL).once_per(PERIOD);
    drop(once().acquire().await.expect("the script is known"));
    locker.shutdown().await;
    proxy.drop_next_answer(bulk(RECORD), AfterLoss::Cut);
    let guard = once().acquire().await.expect("it was granted before");
    assert_eq!(proxy.lost_answers(), 1);
    guard.release().await.expect("ours");
    assert_eq!(last(&locker).await.outcome, Some(Outcome::Ok));
}

#[tokio::test]
async fn a_caller_who_leaves_takes_nothing_away() {
    let (server, _) = redis().await;
    let proxy = server.proxy().await;
    let locker = locker_at(&proxy.url()).await;
    recorded(&locker).run(async {}).await.expect("free");
    let before = last(&locker).await;
    proxy.stall_answers(true);
    let leaves = tokio::spawn(recorded(&locker).acquire());
    until(LIMIT, "granted", async || server.exists("job").await).await;
    leaves.abort();
    assert!(leaves.await.expect_err("aborted").is_cancelled());
    proxy.stall_answers(false);
    locker.shutdown().await;
    assert!(!server.exists("job").await);
    assert_eq!(last(&locker).await, before);
    assert_eq!(server.hget(RECORD, "run").await, None);
}

#[tokio::test]
async fn a_lock_that_was_taken_over_leaves_the_next_ones_record_alone() {
    let (server, locker) = redis().await;
    let other = locker_at(&server.url()).await;
    let loses = recorded(&locker).acquire().await.expect("free");
    assert!(server.del("job").await);
    let next = recorded(&other).acquire().await.expect("free");
    loses.release().await.expect_err("it is another's");
    let running = last(&locker).await;
    assert!(running.running && running.outcome.is_none(), "{running:?}");
    next.fail().await.expect("ours");
    assert_eq!(last(&locker).await.outcome, Some(Outcome::Error));
}

#[tokio::test]
async fn a_body_that_is_cut_off_as_its_key_is_gone_is_recorded_so() {
    let (server, locker) = redis().await;
    let body = async {
        assert!(server.del("job").await);
        sleep(TTL).await;
    };
    let short = Duration::from_millis(900);
    let run = recorded(&locker).ttl(short).renew().run(body);
    assert!(run.await.expect_err("lost").is_lost());
    locker.shutdown().await;
    let ended = last(&locker).await;
    assert_eq!(ended.outcome, Some(Outcome::CutOff));
    assert!(ended.ended.is_some());
}

#[tokio::test]
async fn a_record_that_is_evicted_meanwhile_is_written_whole() {
    let (server, locker) = redis().await;
    let guard = recorded(&locker).acquire().await.expect("free");
    let running = last(&locker).await;
    assert!(server.del(RECORD).await);
    guard.release().await.expect("ours");
    let ended = last(&locker).await;
    assert_eq!(ended.started, running.started);
    assert_eq!(ended.outcome, Some(Outcome::Ok));
}

#[tokio::test]
async fn what_others_keep_there_is_left_alone() {
    let (server, locker) = redis().await;
    server.set_px(RECORD, "theirs", 60_000).await;
    let (logs, _guard) = Logs::of_this_thread();
    let once = locker.lock("job").once_per(PERIOD).acquire().await;
    let error = once.expect_err("nobody knows what is done");
    assert!(error.is_backend(), "{error}");
    assert!(error.to_string().contains(RECORD), "{error}");
    assert!(!server.exists("job").await);
    // The log hears of it once, and again only if a run was recorded in between.
    let runs = async || {
        recorded(&locker).run(async {}).await.expect("it runs");
        let is_warning = |event: &&Logged| event.level == Level::WARN;
        logs.events().iter().filter(is_warning).count()
    };
    assert_eq!((runs().await, runs().await), (1, 1), "{:?}", logs.events());
    assert!(server.del(RECORD).await);
    assert_eq!(runs().await, 1);
    assert!(server.del(RECORD).await);
    server.set_px(RECORD, "theirs", 60_000).await;
    assert_eq!((runs().await, runs().await), (2, 2), "{:?}", logs.events());
    assert_eq!(server.get(RECORD).await.as_deref(), Some("theirs"));
    let error = locker.last_run("job").await.expect_err("no record");
    assert!(error.is_backend(), "{error}");
    // A hash that never expires is not ours either.
    assert!(server.del(RECORD).await);
    server.hset(RECORD, "theirs", "1").await;
    let once = locker.lock("job").once_per(PERIOD).acquire().await;
    assert!(once.expect_err("not ours").is_backend());
    assert!(server.del(RECORD).await);
    let once = locker.lock("job").once_per(PERIOD).acquire().await;
    once.expect("free").release().await.expect("ours");
}

#[tokio::test]
async fn a_success_is_confirmed_by_replicas() {
    let pair = Pair::start().await;
    let builder = Locker::builder().replicas(1, LIMIT / 4);
    let locker = builder
        .connect(&pair.master.url())
        .await
        .expect("it answers");
    let once = locker.lock("job").ttl(TTL).once_per(PERIOD);
    once.run(async {}).await.expect("confirmed");
    assert_eq!(
        pair.replica.hget(RECORD, "outcome").await.as_deref(),
        Some("ok")
    );
    let short = Locker::builder().replicas(1, Duration::from_millis(200));
    let short = short.connect(&pair.master.url()).await.expect("it answers");
    let guard = short
        .lock("other")
        .ttl(TTL)
        .once_per(PERIOD)
        .acquire()
        .await;
    let guard = guard.expect("confirmed");
    pair.replica.stop_process();
    let error = guard.release().await.expect_err("not confirmed");
    assert!(error.to_string().contains("replicas"), "{error}");
    pair.replica.continue_process();
}

#[tokio::test]
async fn a_quorum_keeps_no_records() {
    let (server, _) = redis().await;
    let (second, third) = (Server::start().await, Server::start().await);
    let urls = [server.url(), second.url(), third.url()];
    let locker = Locker::builder().connect_quorum(&urls).await;
    let locker = locker.expect("connected");
    let error = recorded(&locker).acquire().await.expect_err("refused");
    assert!(matches!(error, LockError::InvalidRequest { .. }), "{error}");
    assert!(
        error.to_string().contains("a quorum keeps no records"),
        "{error}"
    );
    let error = locker.last_run("job").await.expect_err("refused");
    assert!(matches!(error, LockError::InvalidRequest { .. }), "{error}");
}
