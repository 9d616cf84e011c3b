//! How grave what goes wrong is, and that each trouble is told once.

mod common;

use std::time::Duration;

use common::{LIMIT, redis};
use redis_locked::{LockError, LockRequest, Locker, redis_locked};
use redis_locked_test_support::logs::Logged;
use redis_locked_test_support::{AfterLoss, Logs, Server, bulk, until, until_some};
use tokio::time::timeout;
use tracing::Level;

/// So short that the background soon gives up on a dead server.
const BRIEF: Duration = Duration::from_secs(1);

#[redis_locked(key = "key", locker = locker, retries = 1, backoff = "1ms")]
async fn returning(locker: &Locker) -> Result<(), LockError> {
    Ok(())
}

#[redis_locked(key = "key", locker = locker, or_else = |_| None)]
async fn handling(locker: &Locker) -> Option<()> {
    Some(())
}

#[redis_locked(key = "key", locker = locker, skip)]
async fn skipping(locker: &Locker) {}

#[redis_locked(key = "key", locker = locker, skip)]
async fn skipping_option(locker: &Locker) -> Option<()> {
    Some(())
}

fn brief(locker: &Locker) -> LockRequest {
    locker.lock("key").ttl(BRIEF)
}

/// What is told to people who are not looking for it.
fn told(logs: &Logs) -> Vec<Logged> {
    let events = logs.events().into_iter();
    events.filter(|event| event.level <= Level::WARN).collect()
}

fn only(logs: &Logs) -> Logged {
    let mut told = told(logs);
    assert_eq!(told.len(), 1, "{told:?}");
    told.remove(0)
}

#[tokio::test]
async fn a_dead_server_is_told_to_the_caller_or_else_to_the_log() {
    let (server, locker) = redis().await;
    server.kill();
    let (logs, guard) = Logs::of_this_thread();
    let error = returning(&locker).await.expect_err("dead");
    assert!(error.is_backend());
    handling(&locker).await.ok_or(()).expect_err("dead");
    assert!(told(&logs).is_empty(), "{:?}", told(&logs));
    let run = logs.span("lock").expect("a span");
    assert_eq!(run.fields["lock.outcome"].trim_matches('"'), "backend");
    assert_eq!(run.fields["lock.attempts"], "2");
    assert!(run.fields.contains_key("lock.waited"), "{run:?}");
    drop(guard);

    let (logs, guard) = Logs::of_this_thread();
    skipping(&locker).await;
    assert_eq!(only(&logs).level, Level::ERROR);
    drop(guard);

    let (logs, _guard) = Logs::of_this_thread();
    assert!(skipping_option(&locker).await.is_none());
    let error = only(&logs);
    assert_eq!(error.level, Level::ERROR);
    assert!(error.fields["error"].contains("\"key\""), "{error:?}");
}

#[tokio::test]
async fn skipping_a_busy_lock_is_no_trouble() {
    let (_server, locker) = redis().await;
    let _held = locker.lock("key").acquire().await.expect("free");
    let (logs, _guard) = Logs::of_this_thread();
    skipping(&locker).await;
    assert!(skipping_option(&locker).await.is_none());
    let levels: Vec<_> = logs.events().iter().map(|event| event.level).collect();
    assert_eq!(levels, [Level::DEBUG; 2]);
}

/// Nobody hears of it from a caller who waits without a limit.
#[tokio::test]
async fn a_wait_without_a_limit_tells_of_a_dead_server_once() {
    let (server, locker) = redis().await;
    server.kill();
    let (logs, _guard) = Logs::of_this_thread();
    let waiting = tokio::spawn(locker.lock("key").name("job").wait_forever().run(async {}));
    let error = until_some(LIMIT, "it is told", async || told(&logs).pop()).await;
    assert_eq!(error.level, Level::ERROR);
    assert_eq!(error.fields["lock.key"], "key");
    assert_eq!(error.fields["lock.name"], "job");
    // Long enough for it to ask again, if not to say so.
    assert!(timeout(BRIEF, only_ever(&logs, 1)).await.is_err());
    server.restart().await;
    let ran = timeout(LIMIT, waiting).await.expect("it asks again");
    ran.expect("no panic").expect("free");
    only(&logs);
}

/// Until more than so many events are told.
async fn only_ever(logs: &Logs, count: usize) {
    until(LIMIT, "more is told", async || told(logs).len() > count).await;
}

#[tokio::test]
async fn a_failed_release_of_a_run_is_a_warning_once() {
    let (server, locker) = redis().await;
    let (logs, _guard) = Logs::of_this_thread();
    let ran = brief(&locker).run(async { server.kill() }).await;
    ran.expect("the body's result");
    let warning = only(&logs);
    assert_eq!(warning.level, Level::WARN);
    assert!(warning.message.contains("not released"), "{warning:?}");
    // The background tries on, and gives up.
    timeout(LIMIT, locker.shutdown()).await.expect("given up");
    only(&logs);
    assert!(logs.find(Level::DEBUG, "its key goes").is_some());
    let run = logs.span("lock").expect("a span");
    assert_eq!(run.fields["lock.outcome"].trim_matches('"'), "ran");
}

#[tokio::test]
async fn a_failed_release_by_hand_is_told_to_the_caller_alone() {
    let (server, locker) = redis().await;
    let (logs, _guard) = Logs::of_this_thread();
    let held = brief(&locker).acquire().await.expect("free");
    server.kill();
    assert!(held.release().await.expect_err("dead").is_backend());
    timeout(LIMIT, locker.shutdown()).await.expect("given up");
    assert!(told(&logs).is_empty(), "{:?}", told(&logs));
}

#[tokio::test]
async fn a_failed_release_that_nobody_awaits_is_a_warning_once() {
    let (server, locker) = redis().await;
    let (logs, _guard) = Logs::of_this_thread();
    let held = brief(&locker).acquire().await.expect("free");
    server.kill();
    drop(held);
    timeout(LIMIT, locker.shutdown()).await.expect("given up");
    let warning = only(&logs);
    assert_eq!(warning.level, Level::WARN);
    assert!(warning.message.contains("its key goes"), "{warning:?}");
    assert_eq!(warning.fields["lock.key"], "key");
}

#[tokio::test]
async fn a_dropped_guard_whose_key_was_deleted_tells_of_the_loss_once() {
    let (server, locker) = redis().await;
    for taken_over in [false, true] {
        let (logs, _guard) = Logs::of_this_thread();
        let held = locker.lock("key").acquire().await.expect("free");
        server.del("key").await;
        if taken_over {
            server.set_px("key", "theirs", 60_000).await;
        }
        drop(held);
        locker.shutdown().await;
        let warning = only(&logs);
        assert_eq!(warning.level, Level::WARN);
        assert_eq!(warning.message, "lock lost");
        let who = if taken_over {
            "someone else"
        } else {
            "deleted"
        };
        assert!(warning.fields["reason"].contains(who), "{warning:?}");
    }
}

/// What the first release was asked for is carried out when the server goes on.
#[tokio::test]
async fn a_release_that_was_given_up_and_is_asked_for_again_has_lost_nothing() {
    let (server, locker) = redis().await;
    let (logs, _guard) = Logs::of_this_thread();
    let held = locker.lock("key").acquire().await.expect("free");
    let mut releasing = Box::pin(held.release());
    server.stop_process();
    let soon = timeout(Duration::from_millis(1), releasing.as_mut()).await;
    soon.expect_err("it hangs");
    drop(releasing);
    server.continue_process();
    locker.shutdown().await;
    assert!(told(&logs).is_empty(), "{:?}", told(&logs));
}

/// The server has released the key, and nobody hears of it: asked again, it has no such key.
#[tokio::test]
async fn a_dropped_guard_whose_release_is_not_answered_has_lost_nothing() {
    let server = Server::start().await;
    let proxy = server.proxy().await;
    let builder = Locker::builder().response_timeout(BRIEF);
    let locker = builder.connect(&proxy.url()).await.expect("connected");
    // From now on the server knows the script, and releases when it is first asked.
    let held = locker.lock("key").acquire().await.expect("free");
    held.release().await.expect("ours");
    let (logs, _guard) = Logs::of_this_thread();
    let held = locker.lock("key").acquire().await.expect("free");
    proxy.drop_next_answer(bulk("EVALSHA"), AfterLoss::Silence);
    drop(held);
    timeout(LIMIT, locker.shutdown()).await.expect("released");
    assert_eq!(proxy.lost_answers(), 1);
    assert!(told(&logs).is_empty(), "{:?}", told(&logs));
}

/// Nobody knows whether the server has set the key, so the background tries to delete it.
#[tokio::test]
async fn a_request_that_a_server_leaves_unanswered_is_told_to_the_caller_alone() {
    let server = Server::start().await;
    let builder = Locker::builder().response_timeout(BRIEF / 4);
    let builder = builder.connection_timeout(BRIEF / 4);
    let locker = builder.connect(&server.url()).await.expect("connected");
    let (logs, _guard) = Logs::of_this_thread();
    server.stop_process();
    let error = brief(&locker).acquire().await.expect_err("it stands still");
    assert!(error.is_backend());
    timeout(LIMIT, locker.shutdown()).await.expect("given up");
    assert!(logs.find(Level::DEBUG, "its key goes").is_some());
    assert!(told(&logs).is_empty(), "{:?}", told(&logs));
}

#[tokio::test]
async fn a_renewed_lock_that_is_deleted_is_lost_once() {
    let (server, locker) = redis().await;
    let (logs, _guard) = Logs::of_this_thread();
    let body = async {
        server.del("key").await;
        std::future::pending::<()>().await;
    };
    let lost = brief(&locker).renew().run(body).await;
    assert!(lost.expect_err("deleted").is_lost());
    locker.shutdown().await;
    assert_eq!(only(&logs).message, "lock lost");
    let run = logs.span("lock").expect("a span");
    assert_eq!(run.fields["lock.outcome"].trim_matches('"'), "lost");
    assert!(run.fields.contains_key("lock.held"), "{run:?}");
}
