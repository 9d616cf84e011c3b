//! Locks that a majority of five independent servers grants.

#[path = "common/five.rs"]
mod five;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use five::{Five, LIMIT};
use redis_locked::{Backoff, LockError, Locker};
use redis_locked_test_support::{Server, until};
use tokio::task::JoinSet;
use tokio::time::sleep;

const TTL: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(1);

#[tokio::test]
async fn a_lock_is_on_all_servers_and_gone_from_all_when_released() {
    let five = Five::start().await;
    let locker = five.locker().await;
    let guard = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    until(LIMIT, "all have it", async || five.with("k").await == 5).await;
    let value = five.0[0].get("k").await.expect("set");
    assert!(value.starts_with(guard.token()), "{value}");
    guard.release().await.expect("ours");
    assert_eq!(five.with("k").await, 0);
}

#[tokio::test]
async fn callers_of_several_lockers_run_one_at_a_time() {
    let five = Five::start().await;
    let (inside, total) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let mut callers = JoinSet::new();
    for _ in 0..4 {
        let locker = five.locker().await;
        let (inside, total) = (Arc::clone(&inside), Arc::clone(&total));
        callers.spawn(async move {
            for turn in 0..10 {
                let request = locker.lock("k").ttl(TTL);
                // Both ways to get it meet here.
                let request = if turn % 2 == 0 {
                    request.wait(LIMIT)
                } else {
                    let backoff = Backoff::exponential(PAUSE, PAUSE * 20);
                    request.retries(1_000_000).backoff(backoff)
                };
                let body = async {
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "not alone");
                    sleep(Duration::from_millis(1)).await;
                    inside.fetch_sub(1, Ordering::SeqCst);
                    total.fetch_add(1, Ordering::SeqCst);
                };
                request.run(body).await.expect("its turn comes");
            }
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller.expect("no panic");
    }
    assert_eq!(total.load(Ordering::SeqCst), 40);
    five.until_nobody_has("k").await;
}

#[tokio::test]
async fn a_vote_that_nobody_wins_leaves_nothing_behind() {
    let five = Five::start().await;
    let locker = five.locker().await;
    for server in &five.0[..3] {
        server.set_px("k", "theirs", 50_000).await;
    }
    for request in [locker.lock("k"), locker.lock("k").retries(2)] {
        let error = request
            .ttl(TTL)
            .acquire()
            .await
            .expect_err("three are busy");
        assert!(error.is_busy(), "{error}");
        assert_eq!(five.with("k").await, 3);
    }
    assert_eq!(five.0[0].get("k").await.as_deref(), Some("theirs"));
    five.0[0].del("k").await;
    let guard = locker.lock("k").acquire().await;
    drop(guard.expect("two of five do not matter"));
}

#[tokio::test]
async fn busy_tells_when_a_majority_is_free() {
    let five = Five::start().await;
    let locker = five.locker().await;
    for (server, seconds) in five.0.iter().zip([50, 10, 40, 30, 20]) {
        server
            .set_px(
                "k",
                format!("abcdefghijklmnopqrstuv;holder {seconds}"),
                seconds * 1000,
            )
            .await;
    }
    let error = locker.lock("k").acquire().await.expect_err("busy");
    let left = error.retry_after().expect("they expire");
    assert!(
        left > Duration::from_secs(20) && left <= Duration::from_secs(30),
        "{left:?}"
    );
    assert!(error.to_string().contains("holder 30"), "{error}");
}

/// The command that gives back what one attempt was granted may come late, on an old connection:
/// it must not take away what the next attempt is granted.
#[tokio::test]
async fn each_attempt_has_a_token_of_its_own() {
    let five = Five::start().await;
    let locker = five.locker().await;
    let monitor = five.0[4].monitor();
    for server in &five.0[..3] {
        server.set_px("k", "theirs", 50_000).await;
    }
    locker
        .lock("k")
        .retries(3)
        .acquire()
        .await
        .expect_err("busy");
    let waited = locker
        .lock("k")
        .wait(Duration::from_millis(1))
        .acquire()
        .await;
    waited.expect_err("busy");
    let events = monitor.events().await;
    let values: Vec<_> = events
        .iter()
        .filter(|event| event.is("set", "k"))
        .map(|event| event.arguments[2].clone())
        .collect();
    let different: BTreeSet<_> = values.iter().collect();
    assert!(values.len() >= 5, "{values:?}");
    assert_eq!(different.len(), values.len(), "{values:?}");
}

#[tokio::test]
async fn fencing_is_refused_with_the_reason_and_nothing_is_sent() {
    let five = Five::start().await;
    let locker = five.locker().await;
    for server in &five.0 {
        server.reset_stats().await;
    }
    for request in [locker.lock("k"), locker.lock("k").wait(LIMIT)] {
        let error = request.fenced().acquire().await.expect_err("refused");
        assert!(
            matches!(error, LockError::InvalidRequest { .. }),
            "{error:?}"
        );
        assert!(error.to_string().contains("one growing number"), "{error}");
    }
    for server in &five.0 {
        assert_eq!(server.command_calls().await.len(), 0);
    }
}

#[tokio::test]
async fn permits_and_shared_are_refused_with_the_reason_and_nothing_is_sent() {
    let five = Five::start().await;
    let locker = five.locker().await;
    for server in &five.0 {
        server.reset_stats().await;
    }
    for request in [
        locker.lock("k").permits(3),
        locker.lock("k").shared(),
        locker.lock("k").shared().wait(LIMIT),
    ] {
        let error = request.acquire().await.expect_err("refused");
        assert!(
            matches!(error, LockError::InvalidRequest { .. }),
            "{error:?}"
        );
        let said = error.to_string();
        assert!(said.contains("none would have a majority"), "{said}");
    }
    for server in &five.0 {
        assert_eq!(server.command_calls().await.len(), 0);
    }
    // One permit is a plain lock.
    let one = locker.lock("k").permits(1).acquire().await.expect("free");
    one.release().await.expect("ours");
}

#[tokio::test]
async fn who_waits_is_woken_by_the_release_and_does_not_poll() {
    let five = Five::start().await;
    let (holder, waiter) = (five.locker().await, five.locker().await);
    let guard = holder.lock("k").ttl(TTL).acquire().await.expect("free");
    let waiting = tokio::spawn(waiter.lock("k").ttl(TTL).wait(LIMIT).acquire());
    for server in &five.0 {
        until(LIMIT, "it tells when the key is changed", async || {
            server.command_calls().await.contains_key("pttl")
        })
        .await;
        server.reset_stats().await;
    }
    sleep(Duration::from_millis(500)).await;
    for server in &five.0 {
        let calls = server.command_calls().await;
        assert!(calls.is_empty(), "it asks again and again: {calls:?}");
    }
    let released = Instant::now();
    guard.release().await.expect("ours");
    let guard = waiting.await.expect("no panic").expect("its turn");
    // Far less than the ttl, at whose end it would look again.
    assert!(
        released.elapsed() < Duration::from_secs(5),
        "{:?}",
        released.elapsed()
    );
    guard.release().await.expect("ours");
    five.until_nobody_has("k").await;
}

#[tokio::test]
async fn many_who_wait_in_processes_of_their_own_all_get_it() {
    let five = Five::start().await;
    let guard = five.locker().await.lock("k").ttl(TTL).acquire().await;
    let mut waiting = JoinSet::new();
    for _ in 0..8 {
        let locker: Locker = five.locker().await;
        waiting.spawn(async move {
            let request = locker.lock("k").ttl(TTL).wait(LIMIT);
            request.run(sleep(Duration::from_millis(2))).await
        });
    }
    sleep(Duration::from_millis(100)).await;
    guard.expect("free").release().await.expect("ours");
    while let Some(waited) = waiting.join_next().await {
        waited.expect("no panic").expect("its turn comes");
    }
    five.until_nobody_has("k").await;
}

#[tokio::test]
async fn a_dropped_acquisition_leaves_nothing_behind() {
    let five = Five::start().await;
    let locker = five.locker().await;
    for micros in (0..3000).step_by(150) {
        let request = locker.lock("k").ttl(TTL).acquire();
        let limit = Duration::from_micros(micros);
        let _ = tokio::time::timeout(limit, request).await;
    }
    locker.shutdown().await;
    assert_eq!(five.with("k").await, 0);
}

#[tokio::test]
async fn what_would_be_no_quorum_is_refused() {
    let five = Five::start().await;
    let url = five.0[0].url();
    let none: [&str; 0] = [];
    let nobody = Locker::builder()
        .connect_quorum(none)
        .await
        .expect_err("no server");
    assert!(
        matches!(nobody, LockError::InvalidRequest { .. }),
        "{nobody:?}"
    );
    let twice = [url.clone(), five.0[1].url(), url];
    let error = Locker::builder()
        .connect_quorum(twice)
        .await
        .expect_err("two servers");
    assert!(error.to_string().contains("named twice"), "{error}");
}

#[tokio::test]
async fn a_release_without_a_majority_fails_and_goes_on() {
    let five = Five::start().await;
    let locker = five.locker().await;
    let guard = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    until(LIMIT, "all have it", async || five.with("k").await == 5).await;
    five.0[..3].iter().for_each(Server::stop_process);
    let error = guard.release().await.expect_err("no majority");
    assert!(error.is_backend(), "{error}");
    five.0[..3].iter().for_each(Server::continue_process);
    five.until_nobody_has("k").await;
}

/// A server that had to be sent the script again was dropped each time the others had answered.
#[tokio::test]
async fn an_extension_reaches_all_servers() {
    let five = Five::start().await;
    let locker = five.locker().await;
    let ttl = Duration::from_millis(1500);
    let guard = locker
        .lock("k")
        .ttl(ttl)
        .renew()
        .acquire()
        .await
        .expect("free");
    for server in &five.0[3..] {
        server.flush_scripts().await;
    }
    sleep(ttl * 2).await;
    assert_eq!(five.with("k").await, 5);
    guard.release().await.expect("ours");
}
