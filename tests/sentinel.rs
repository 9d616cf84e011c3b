//! Locks on a master with two replicas that three sentinels watch, started by each test.

#[path = "common/failover.rs"]
mod failover;
#[path = "sentinel/record.rs"]
mod record;

use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use redis_locked::{LockError, LockGuard, Locker};
use redis_locked_test_support::{FakeAnswers, Sentinels, Server};
use tokio::task::JoinHandle;

/// Longer than anything takes that is awaited, failovers included; shorter than the ttl of a lock
/// that is not to go by itself.
const LIMIT: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(120);
/// Outlasts a failover.
const RETRIES: u32 = 600;
const PAUSE: Duration = Duration::from_millis(100);

async fn connect(sentinels: &Sentinels) -> Locker {
    let connecting = Locker::builder().connect_sentinel(sentinels.urls(), sentinels.name());
    connecting
        .await
        .expect("the sentinels and the master answer")
}

async fn lock(locker: &Locker, key: &str) -> LockGuard {
    let request = locker
        .lock(key)
        .ttl(LONG)
        .retries(RETRIES)
        .backoff(PAUSE)
        .fenced();
    request.acquire().await.expect("granted")
}

fn waiter(locker: &Locker, key: &str) -> JoinHandle<Result<Instant, LockError>> {
    let request = locker.lock(key).ttl(LONG).wait(2 * LIMIT);
    tokio::spawn(async move {
        let guard = request.acquire().await?;
        let granted = Instant::now();
        guard.release().await?;
        Ok(granted)
    })
}

#[tokio::test]
async fn a_failover_by_command_keeps_the_lock_and_wakes_those_who_wait() {
    let sentinels = Sentinels::start().await;
    let (ours, theirs) = (connect(&sentinels).await, connect(&sentinels).await);
    let guard = lock(&ours, "job").await;
    let old = sentinels.master().await;
    let waiting = waiter(&theirs, "job");
    sentinels.server(old).wait_until_tracking(LIMIT).await;
    let new = sentinels.fail_over().await;
    sentinels.server(new).wait_until_tracking(LIMIT).await;
    assert!(!waiting.is_finished(), "granted while it is held");
    let first = guard.fencing_token();
    let released = Instant::now();
    // The connection is to the old master, which refuses to write or has closed it.
    guard.release().await.expect("still ours");
    let granted = waiting.await.expect("ran").expect("granted");
    assert!(granted.duration_since(released) < LIMIT / 2);
    let next = lock(&ours, "job").await;
    assert!(next.fencing_token() > first);
    next.release().await.expect("released");
}

#[tokio::test]
async fn places_and_their_order_outlast_a_failover() {
    let sentinels = Sentinels::start().await;
    let (ours, theirs) = (connect(&sentinels).await, connect(&sentinels).await);
    let permit = |locker: &Locker| locker.lock("job").ttl(LONG).permits(2);
    let retry = |locker: &Locker| permit(locker).retries(RETRIES).backoff(PAUSE);
    let first = permit(&ours).acquire().await.expect("free");
    let _second = permit(&theirs).acquire().await.expect("room");
    let waiting = tokio::spawn(permit(&theirs).wait(2 * LIMIT).acquire());
    sentinels.fail_over().await;
    first.extend(2 * LONG).await.expect("still ours");
    let plain = ours.lock("job").retries(RETRIES).backoff(PAUSE / 100);
    let error = plain.acquire().await.expect_err("held");
    assert!(error.is_busy() || error.is_backend(), "{error}");
    assert!(!waiting.is_finished(), "granted while it is held");
    first.release().await.expect("still ours");
    let third = waiting.await.expect("ran").expect("granted");
    third.release().await.expect("ours");
    retry(&ours)
        .acquire()
        .await
        .expect("room")
        .release()
        .await
        .expect("ours");
}

#[tokio::test]
async fn when_the_master_is_killed_the_same_locker_goes_on() {
    let sentinels = Sentinels::start().await;
    let (ours, theirs) = (connect(&sentinels).await, connect(&sentinels).await);
    let request = ours.lock("job").ttl(LONG).renew();
    let guard = request.acquire().await.expect("granted");
    let old = sentinels.master().await;
    let waiting = waiter(&theirs, "job");
    sentinels.server(old).wait_until_tracking(LIMIT).await;
    assert_eq!(sentinels.kill_master().await, old);

    let start = Instant::now();
    let error = ours
        .lock("other")
        .acquire()
        .await
        .expect_err("nobody to ask");
    assert!(error.is_backend(), "{error}");
    assert!(
        start.elapsed() < Duration::from_secs(3) + LIMIT / 20,
        "{:?}",
        start.elapsed()
    );

    // Requests that outlast the failover succeed.
    lock(&ours, "other")
        .await
        .release()
        .await
        .expect("released");
    let new = sentinels.another_master(old).await;
    assert!(sentinels.server(new).get("job").await.is_some());
    assert!(!waiting.is_finished(), "granted while it is held");
    guard.release().await.expect("still ours");
    waiting.await.expect("ran").expect("granted");
}

#[tokio::test]
async fn a_sentinel_that_hangs_or_is_down_holds_nothing_up() {
    let sentinels = Sentinels::start().await;
    for number in 0..3 {
        sentinels.sentinel(number).stop_process();
        let start = Instant::now();
        let locker = connect(&sentinels).await;
        lock(&locker, "job")
            .await
            .release()
            .await
            .expect("released");
        assert!(
            start.elapsed() < Duration::from_secs(1) + LIMIT / 20,
            "{:?}",
            start.elapsed()
        );
        sentinels.sentinel(number).continue_process();
    }
    sentinels.sentinel(0).kill();
    sentinels.sentinel(1).kill();
    let locker = connect(&sentinels).await;
    lock(&locker, "job")
        .await
        .release()
        .await
        .expect("released");
    sentinels.sentinel(2).kill();
    // Only new connections need them.
    lock(&locker, "job")
        .await
        .release()
        .await
        .expect("released");
    let nobody = Locker::builder()
        .connect_sentinel(sentinels.urls(), sentinels.name())
        .await;
    let error = nobody.expect_err("no sentinel is left");
    assert!(error.is_backend() && error.key().is_none(), "{error}");
}

#[tokio::test]
async fn the_sentinels_have_credentials_of_their_own() {
    let sentinels = Sentinels::with_passwords("of-the-servers", "of-the-sentinels").await;
    let with = |password: &str| {
        Locker::builder()
            .sentinel_login(None, password)
            .connect_sentinel(sentinels.urls(), sentinels.name())
    };
    let locker = with("of-the-sentinels").await.expect("both let us in");
    lock(&locker, "job")
        .await
        .release()
        .await
        .expect("released");
    let text = with("wrong").await.expect_err("refused").to_string();
    assert!(
        text.contains("refused the user name or the password"),
        "{text}"
    );
    let builder = Locker::builder().sentinel_login(Some("user"), "secret");
    assert!(!format!("{builder:?}").contains("secret"));
}

#[tokio::test]
async fn connecting_tells_what_is_wrong() {
    let sentinels = Sentinels::start().await;
    let nobody = Locker::builder()
        .connect_sentinel([] as [&str; 0], "mymaster")
        .await;
    let error = nobody.expect_err("no url");
    assert!(
        matches!(error, LockError::InvalidRequest { key: None, .. }),
        "{error}"
    );
    let unknown = Locker::builder()
        .connect_sentinel(sentinels.urls(), "other")
        .await;
    let error = unknown.expect_err("no such master");
    assert!(error.is_backend() && error.key().is_none(), "{error:?}");
    let text = error.to_string();
    assert!(
        text.contains("the sentinels watch no master of this name"),
        "{text}"
    );
}

/// What a sentinel answers that knows this master.
fn sentinel_answer(question: &[String], port: u16) -> String {
    let port = port.to_string();
    let fields: &[&str] = match question[1].as_str() {
        "MASTER" => &["config-epoch", "1"],
        _ => &["127.0.0.1", &port],
    };
    let bulk = |field: &&str| format!("${}\r\n{field}", field.len());
    let bulk: Vec<_> = fields.iter().map(bulk).collect();
    format!("*{}\r\n{}", fields.len(), bulk.join("\r\n"))
}

#[tokio::test]
async fn a_master_that_became_a_replica_without_a_word_costs_no_attempt() {
    let (old, new) = (Server::start().await, Server::start().await);
    let master = Arc::new(AtomicU16::new(old.port()));
    let sentinel = {
        let master = Arc::clone(&master);
        FakeAnswers::with(move |question| sentinel_answer(question, master.load(Ordering::SeqCst)))
            .await
    };
    let locker = Locker::builder().connect_sentinel([sentinel.url()], "mymaster");
    let locker = locker.await.expect("the master answers");
    let request = |key: &str| locker.lock(key).acquire();
    request("job")
        .await
        .expect("granted")
        .release()
        .await
        .expect("released");

    // Redis closes no connection when it becomes a replica.
    let mut demote = redis::cmd("REPLICAOF");
    demote.arg("127.0.0.1").arg(new.port());
    let mut connection = old.connection().await;
    demote
        .query_async::<()>(&mut connection)
        .await
        .expect("demoted");
    let error = request("job")
        .await
        .expect_err("the sentinel names it still");
    assert!(error.to_string().contains("is a replica"), "{error}");
    master.store(new.port(), Ordering::SeqCst);
    let guard = request("job").await.expect("granted by the new master");
    assert!(new.exists("job").await);

    // The same in the middle of a lease: the connection is open, to a server that is none now.
    let mut promote = redis::cmd("REPLICAOF");
    promote.arg("NO").arg("ONE");
    promote
        .query_async::<()>(&mut connection)
        .await
        .expect("promoted");
    let mut connection = new.connection().await;
    let mut demote = redis::cmd("REPLICAOF");
    demote.arg("127.0.0.1").arg(old.port());
    let token = guard.token().to_owned();
    let value = new.get("job").await.expect("held");
    assert!(value.starts_with(&token));
    old.set_px("job", value, 60_000).await;
    demote
        .query_async::<()>(&mut connection)
        .await
        .expect("demoted");
    master.store(old.port(), Ordering::SeqCst);
    guard.release().await.expect("released on the new master");
    assert!(!old.exists("job").await);
}
