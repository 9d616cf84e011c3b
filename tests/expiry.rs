//! No key without an expiry: it is set in the command that sets the value, to the millisecond.

mod common;

use std::time::Duration;

use common::{LIMIT, locker_at, redis};
use redis_locked::{LockError, LockRequest, Locker, redis_locked};
use redis_locked_test_support::{AfterLoss, Event, Monitor, Server, bulk, until};

#[redis_locked(key = "k", ttl = "1234ms")]
async fn annotated(server: &Server) -> Result<i64, LockError> {
    Ok(server.pttl("k").await)
}

/// The expiry that a command gave to the key together with a value.
fn expiry(event: &Event) -> Option<u64> {
    let place = event.arguments.iter().position(|a| a == "PX")?;
    event.arguments.get(place + 1)?.parse().ok()
}

/// The expiries with which values were set, each of which must have one.
async fn expiries(monitor: &Monitor, key: &str) -> Vec<u64> {
    let events = monitor.events().await;
    let of_key = |event: &&Event| event.arguments.get(1).is_some_and(|name| name == key);
    let writes = events.iter().filter(of_key).filter(|event| {
        !["get", "pttl", "del", "pexpire", "exists"].contains(&event.command().as_str())
    });
    writes
        .map(|event| {
            assert_eq!(event.command(), "set", "{event:?}");
            expiry(event).unwrap_or_else(|| panic!("no expiry: {event:?}"))
        })
        .collect()
}

#[tokio::test]
async fn the_value_and_its_expiry_are_one_command() {
    let (server, locker) = redis().await;
    let monitor = server.monitor();
    let left = locker.scope(annotated(&server)).await.expect("free");
    assert!((1..=1234).contains(&left), "{left}");
    let events = monitor.events().await;
    let set = events.iter().find(|event| event.command() == "set");
    let arguments = &set.expect("sent").arguments;
    assert_eq!(arguments[..2], ["SET", "k"]);
    assert_eq!(arguments[3..], ["NX", "PX", "1234"]);
    assert_eq!(expiries(&monitor, "k").await, [1234]);
}

#[tokio::test]
async fn to_the_millisecond_and_never_less_than_asked() {
    let (server, locker) = redis().await;
    let monitor = server.monitor();
    let asked = [
        (Duration::from_millis(10), 10),
        (Duration::from_micros(10_001), 11),
        (Duration::from_millis(999), 999),
        (Duration::from_nanos(1_000_000_001), 1001),
        (Duration::from_millis(1500), 1500),
        (Duration::from_secs(86_400), 86_400_000),
    ];
    for (ttl, _) in asked {
        // On a busy machine, the answer may come after the deadline.
        drop(locker.lock("k").ttl(ttl).acquire().await);
        locker.shutdown().await;
        server.del("k").await;
    }
    assert_eq!(
        expiries(&monitor, "k").await,
        asked.map(|(_, millis)| millis)
    );
}

#[tokio::test]
async fn by_default_the_lockers_which_is_thirty_seconds() {
    let (server, locker) = redis().await;
    let monitor = server.monitor();
    locker.lock("a").run(async {}).await.expect("free");
    assert_eq!(expiries(&monitor, "a").await, [30_000]);
    let builder = Locker::builder().default_ttl(Duration::from_millis(2500));
    let locker = builder.connect(&server.url()).await.expect("connected");
    locker.lock("b").run(async {}).await.expect("free");
    assert_eq!(expiries(&monitor, "b").await, [2500]);
}

/// Each way to the key sets an expiry with the value, after which the key goes by itself.
async fn expires(server: &Server, locker: &Locker, request: impl Fn(LockRequest) -> LockRequest) {
    let monitor = server.monitor();
    let request = request(locker.lock("k").ttl(Duration::from_millis(700)));
    let guard = request.acquire().await.expect("it gets free");
    let left = server.pttl("k").await;
    assert!((-2..=700).contains(&left) && left != -1, "{left}");
    // A process that dies releases nothing.
    std::mem::forget(guard);
    assert!(
        expiries(&monitor, "k")
            .await
            .iter()
            .all(|millis| *millis == 700)
    );
    until(LIMIT, "the key expires", async || !server.exists("k").await).await;
}

#[tokio::test]
async fn every_way_to_the_key_sets_an_expiry() {
    let (server, locker) = redis().await;
    expires(&server, &locker, |request| request).await;
    expires(&server, &locker, LockRequest::fenced).await;
    for wait in [false, true] {
        // Busy at first.
        assert!(server.set_nx_px("k", "theirs", 200).await);
        expires(&server, &locker, |request| {
            if wait {
                request.wait_forever()
            } else {
                request.retries(10_000).backoff(Duration::from_millis(5))
            }
        })
        .await;
    }
}

#[tokio::test]
async fn also_when_the_first_answer_was_lost() {
    for then in [AfterLoss::Cut, AfterLoss::Silence] {
        let server = Server::start().await;
        let proxy = server.proxy().await;
        let builder = Locker::builder().response_timeout(Duration::from_secs(1));
        let locker = builder.connect(&proxy.url()).await.expect("connected");
        let monitor = server.monitor();
        proxy.drop_next_answer(bulk("SET"), then);
        let asked = locker.lock("k").ttl(Duration::from_secs(60)).retries(20);
        let guard = asked.acquire().await.expect("it is ours");
        assert_eq!(proxy.lost_answers(), 1);
        assert!((1..=60_000).contains(&server.pttl("k").await));
        assert!(
            expiries(&monitor, "k")
                .await
                .iter()
                .all(|millis| *millis == 60_000)
        );
        guard.release().await.expect("ours");
    }
}

#[tokio::test]
async fn min_hold_keeps_the_key_for_its_rest_only() {
    let server = Server::start().await;
    let locker = locker_at(&server.url()).await;
    let held = locker.lock("k").min_hold(Duration::from_millis(500));
    held.run(async {}).await.expect("free");
    let left = server.pttl("k").await;
    assert!((-2..=500).contains(&left) && left != -1, "{left}");
    until(LIMIT, "the key expires", async || !server.exists("k").await).await;
}
