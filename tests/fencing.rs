//! Fencing tokens grow for ever, whatever becomes of their counter.

use std::time::Duration;

use redis_locked::{FencingToken, LockError, Locker, redis_locked};
use redis_locked_test_support::{Server, until};

const TTL: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(20);
const COUNTER: &str = "{key}:fence";

/// With time limits that no loaded machine reaches.
async fn connected(url: &str) -> Locker {
    let builder = Locker::builder()
        .connection_timeout(LIMIT)
        .response_timeout(LIMIT);
    builder.connect(url).await.expect("connected")
}

async fn redis() -> (Server, Locker) {
    let server = Server::start().await;
    let locker = connected(&server.url()).await;
    (server, locker)
}

#[redis_locked(key = "{key}", ttl = TTL, fenced, bind = lease, locker = locker)]
async fn draw(locker: &Locker, key: &str) -> Result<FencingToken, LockError> {
    Ok(lease.fencing_token().expect("fenced"))
}

/// Draws now and again, with something happening in between.
async fn grows(locker: &Locker, between: impl AsyncFn()) {
    let mut last = draw(locker, "key").await.expect("free");
    for _ in 0..5 {
        between().await;
        let token = draw(locker, "key").await.expect("free");
        assert!(token > last, "{token} after {last}");
        last = token;
    }
}

#[tokio::test]
async fn they_grow_with_each_tenure() {
    let (_server, locker) = redis().await;
    grows(&locker, async || {}).await;
}

#[tokio::test]
async fn they_grow_when_the_counter_is_deleted() {
    let (server, locker) = redis().await;
    grows(&locker, async || assert!(server.del(COUNTER).await)).await;
}

#[tokio::test]
async fn they_grow_when_the_counter_expires() {
    let (server, locker) = redis().await;
    grows(&locker, async || {
        let value = server.get(COUNTER).await.expect("there");
        server.set_px(COUNTER, value, 1).await;
        until(LIMIT, "it has expired", async || {
            !server.exists(COUNTER).await
        })
        .await;
    })
    .await;
}

#[tokio::test]
async fn they_grow_when_the_server_restarts_empty() {
    let (server, locker) = redis().await;
    grows(&locker, async || server.restart().await).await;
}

/// As when the clock was set back: the counter is ahead of it.
#[tokio::test]
async fn they_grow_when_the_clock_is_behind_the_counter() {
    let (server, locker) = redis().await;
    let ahead = (1_u64 << 51) - 10;
    server.set_px(COUNTER, ahead, 60_000).await;
    let first = draw(&locker, "key").await.expect("free");
    assert_eq!(u64::from(first) >> 10, ahead + 1);
    grows(&locker, async || {}).await;
}

#[tokio::test]
async fn what_is_in_the_place_of_the_counter_is_left_alone_and_said() {
    let (server, locker) = redis().await;
    let mut connection = server.connection().await;
    for write in [
        "SET {key}:fence none PX 60000",
        "SET {key}:fence 12345678901234567 PX 60000",
        "SET {key}:fence 7",
        "RPUSH {key}:fence none",
    ] {
        let mut write = write.split(' ');
        let mut command = redis::cmd(write.next().expect("a command"));
        write.for_each(|argument| drop(command.arg(argument)));
        command.exec_async(&mut connection).await.expect("written");
        let dump = async || {
            let mut dump = redis::cmd("DUMP");
            let mut connection = server.connection().await;
            let dump = dump.arg(COUNTER).query_async::<Vec<u8>>(&mut connection);
            (dump.await.expect("there"), server.pttl(COUNTER).await > 0)
        };
        let before = dump().await;
        for error in [
            draw(&locker, "key").await.map(drop),
            locker.lock("key").wait(LIMIT).fenced().run(async {}).await,
        ] {
            let text = error.expect_err("no number can be drawn").to_string();
            for part in [
                "the key \"{key}:fence\", where its fencing numbers are counted, holds something",
                "; delete that key if nobody needs it, or name the lock in another way",
            ] {
                assert!(text.contains(part), "{text}");
            }
        }
        assert_eq!(dump().await, before);
        locker.lock("key").run(async {}).await.expect("without one");
        locker.shutdown().await;
        assert_eq!(server.keys().await, [COUNTER]);
        server.del(COUNTER).await;
    }
}

#[tokio::test]
async fn a_lock_is_not_overwritten_by_the_counter_of_another() {
    let (server, locker) = redis().await;
    // As a client can that knows nothing of side keys.
    assert!(server.set_nx_px(COUNTER, "theirs", 60_000).await);
    draw(&locker, "key").await.expect_err("its place is taken");
    assert_eq!(server.get(COUNTER).await.as_deref(), Some("theirs"));
}

#[tokio::test]
async fn they_grow_across_lockers_and_hand_overs() {
    let (server, locker) = redis().await;
    let other = connected(&server.url()).await;
    let mut tokens = Vec::new();
    for _ in 0..5 {
        let wait = || locker.lock("key").wait(LIMIT).fenced().acquire();
        let first = wait().await.expect("free");
        tokens.push(first.fencing_token());
        let next = tokio::spawn(wait());
        tokio::task::yield_now().await;
        first.release().await.expect("held");
        let next = next.await.expect("no panic").expect("free");
        tokens.push(next.fencing_token());
        next.release().await.expect("held");
        tokens.push(draw(&other, "key").await.ok());
    }
    assert!(tokens.iter().all(Option::is_some));
    assert!(tokens.is_sorted_by(|a, b| a < b), "{tokens:?}");
}

#[tokio::test]
async fn only_those_who_ask_get_one() {
    let (server, locker) = redis().await;
    let guard = locker.lock("key").acquire().await.expect("free");
    assert_eq!(guard.fencing_token(), None);
    guard.release().await.expect("held");
    assert!(server.keys().await.is_empty());
}

/// It outlives what the clock may be set back by, and does not stay for ever.
#[tokio::test]
async fn counters_expire() {
    let (server, locker) = redis().await;
    draw(&locker, "key").await.expect("free");
    let day = 24 * 60 * 60 * 1000;
    let left = server.pttl(COUNTER).await;
    assert!((day - 60_000..=day).contains(&left), "{left}");
    server.set_px(COUNTER, "1", 60_000).await;
    draw(&locker, "key").await.expect("free");
    assert!(server.pttl(COUNTER).await > day - 60_000, "renewed by use");
}

#[tokio::test]
async fn counters_are_in_the_slot_of_their_key() {
    let (server, locker) = redis().await;
    let cluster = Server::builder()
        .arg("cluster-enabled", "yes")
        .start()
        .await;
    let mut connection = cluster.connection().await;
    let mut slot = async |key: &str| {
        let mut slot = redis::cmd("CLUSTER");
        slot.arg("KEYSLOT").arg(key);
        slot.query_async::<u64>(&mut connection)
            .await
            .expect("known")
    };
    for key in [
        "plain",
        "{tag}",
        "a{tag}b",
        "{a}{b}",
        "a{b",
        "{{b}}",
        "a b\n\u{1f980}",
    ] {
        let before = server.keys().await;
        draw(&locker, key).await.expect("free");
        let counter = server
            .keys()
            .await
            .into_iter()
            .find(|new| !before.contains(new));
        let counter = counter.expect("a counter");
        assert_eq!(slot(&counter).await, slot(key).await, "{key} and {counter}");
        assert_ne!(counter, key);
    }
}

#[tokio::test]
async fn keys_that_allow_no_counter_in_their_slot_are_refused() {
    let (server, locker) = redis().await;
    for key in ["a}b", "{}x", "}{", "{}", "a{}b{c}"] {
        let error = draw(&locker, key).await.expect_err("refused");
        assert!(matches!(error, LockError::InvalidRequest { .. }), "{error}");
        assert_eq!(error.key(), Some(key));
        assert!(error.to_string().contains("brace"), "{error}");
        locker
            .lock(key)
            .run(async {})
            .await
            .expect("fine without a fence");
    }
    assert!(server.keys().await.is_empty());
}
