//! What a run tells of itself: its span, its events and what the body's spans are inside of.

use std::time::Duration;

use redis_locked::{LockError, Locker, redis_locked};
use redis_locked_test_support::Logs;
use tracing::Level;

const TTL: Duration = Duration::from_secs(5);

#[redis_locked(key = "report:{tenant}", ttl = TTL)]
async fn report(tenant: u32, takes: Duration) -> Result<(), LockError> {
    tracing::info_span!("inside").in_scope(|| ());
    tokio::time::sleep(takes).await;
    Ok(())
}

/// The text of a field of the only span named `lock`.
fn field(logs: &Logs, name: &str) -> Option<String> {
    let span = logs.span("lock").expect("a span");
    span.fields
        .get(name)
        .map(|text| text.trim_matches('"').to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_body_that_ran() {
    let (logs, _guard) = Logs::of_this_thread();
    let locker = Locker::in_memory();
    let ran = locker.scope(report(7, Duration::from_secs(2))).await;
    ran.expect("free");
    assert_eq!(field(&logs, "lock.key").as_deref(), Some("report:7"));
    assert_eq!(
        field(&logs, "lock.name").as_deref(),
        Some("report:{tenant}")
    );
    assert_eq!(field(&logs, "lock.attempts").as_deref(), Some("1"));
    assert_eq!(field(&logs, "lock.waited").as_deref(), Some("0ns"));
    assert_eq!(field(&logs, "lock.held").as_deref(), Some("2s"));
    assert_eq!(field(&logs, "lock.outcome").as_deref(), Some("ran"));
    assert_eq!(field(&logs, "lock.holder"), None);
    let inside = logs.span("inside").expect("the body's own");
    assert_eq!(inside.inside.as_deref(), Some("lock"));
    assert!(logs.events().is_empty(), "{:?}", logs.events());
}

#[tokio::test(start_paused = true)]
async fn busy_names_the_other_holder_at_debug() {
    let (logs, _guard) = Logs::of_this_thread();
    let locker = Locker::builder().owner("web-3:812").in_memory();
    let held = locker.lock("report:7").acquire().await.expect("free");
    let busy = locker.scope(report(7, Duration::ZERO)).await;
    assert!(busy.expect_err("held").is_busy());
    held.release().await.expect("ours");
    assert_eq!(field(&logs, "lock.outcome").as_deref(), Some("busy"));
    assert_eq!(field(&logs, "lock.holder").as_deref(), Some("web-3:812"));
    assert_eq!(field(&logs, "lock.attempts").as_deref(), Some("1"));
    assert!(logs.find(Level::DEBUG, "report:7").is_some());
    assert!(
        logs.events()
            .iter()
            .all(|event| event.level == Level::DEBUG)
    );
}

#[tokio::test(start_paused = true)]
async fn a_lost_lock_is_a_warning_once() {
    let (logs, _guard) = Logs::of_this_thread();
    let locker = Locker::in_memory();
    let lost = locker.scope(report(7, Duration::from_secs(60))).await;
    assert!(lost.expect_err("cut off").is_lost());
    assert_eq!(field(&logs, "lock.outcome").as_deref(), Some("lost"));
    let events = logs.events();
    let warnings = events.iter().filter(|event| event.level == Level::WARN);
    assert_eq!(warnings.count(), 1, "{events:?}");
}
