//! Keys that hold what this library did not write: told in words, and no more of it than is known.

mod common;

use std::time::Duration;

use common::{locker_at, redis};
use redis_locked::{LockError, Locker};
use redis_locked_test_support::Server;

const TTL: Duration = Duration::from_secs(60);
const MINUTE: u64 = 60_000;
const TOKEN: &str = "abcdefghij-_ABCDEFGHIJ";

struct Busy {
    owner: Option<String>,
    foreign: bool,
    endless: bool,
    text: String,
}

/// What each way of asking says of the key, which is the same.
async fn busy(locker: &Locker) -> Busy {
    let mut texts = Vec::new();
    let mut last = None;
    for request in [
        locker.lock("k"),
        locker.lock("k").retries(1).backoff(TTL / 60_000),
        locker.lock("k").wait(TTL / 600),
    ] {
        let error = request.ttl(TTL).acquire().await.expect_err("busy");
        let text = error.to_string();
        let LockError::Busy {
            owner,
            foreign,
            endless,
            ..
        } = error
        else {
            panic!("{text}");
        };
        texts.push((owner.clone(), foreign, endless));
        last = Some(Busy {
            owner,
            foreign,
            endless,
            text,
        });
    }
    assert!(texts.windows(2).all(|two| two[0] == two[1]), "{texts:?}");
    last.expect("asked")
}

async fn command(server: &Server, words: &[&str]) {
    let mut command = redis::cmd(words[0]);
    command.arg(&words[1..]);
    let mut connection = server.connection().await;
    command.exec_async(&mut connection).await.expect("done");
}

#[tokio::test]
async fn somebody_elses_data_has_no_owner() {
    let (server, locker) = redis().await;
    for value in [
        "theirs",
        "a=1;b=2",
        "name;\u{1b}[2J",
        "",
        "abcdefghij-_ABCDEFGHI;short",
        "abcdefghij-_ABCDEFGHIJ;",
    ] {
        server.set_px("k", value, MINUTE).await;
        let busy = busy(&locker).await;
        assert_eq!(busy.owner, None, "{value:?}");
        assert!(busy.foreign && !busy.endless, "{value:?}");
        let text = busy.text;
        assert!(
            text.contains("its key holds what this library did not write, for at most "),
            "{text}"
        );
        assert!(
            text.contains("; if that is another library's lock, try later"),
            "{text}"
        );
        assert_eq!(server.get("k").await.as_deref(), Some(value));
    }
}

#[tokio::test]
async fn a_key_without_an_expiry_is_said_to_stay() {
    let (server, locker) = redis().await;
    for write in [
        &["SET", "k", "theirs"][..],
        &["RPUSH", "k", "theirs"],
        &["HSET", "k", "field", "theirs"],
    ] {
        command(&server, &["DEL", "k"]).await;
        command(&server, write).await;
        let busy = busy(&locker).await;
        assert!(busy.foreign && busy.endless, "{write:?}");
        let text = busy.text;
        assert!(
            text.contains("what this library did not write, and the key never expires"),
            "{text}"
        );
        assert!(
            text.contains("delete this one when you know what wrote it"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_lock_whose_expiry_was_taken_away_is_said_to_stay() {
    let (server, locker) = redis().await;
    let other = locker_at(&server.url()).await;
    let _held = other.lock("k").ttl(TTL).acquire().await.expect("free");
    command(&server, &["PERSIST", "k"]).await;
    let busy = busy(&locker).await;
    assert!(busy.owner.is_some() && !busy.foreign && busy.endless);
    let text = busy.text;
    assert!(
        text.contains(" holds it, and the key never expires (tried "),
        "{text}"
    );
    assert!(text.contains("free it with `redis-locked break`"), "{text}");
}

#[tokio::test]
async fn an_owner_that_another_wrote_is_shown_escaped_and_cut() {
    let (server, locker) = redis().await;
    for (owner, shown) in [
        ("web\u{1b}[2J\n".to_owned(), "web\\u{1b}[2J\\n".to_owned()),
        ("\u{1f512}".repeat(101), "\u{1f512}".repeat(100) + "…"),
        ("\u{1f512}".repeat(100), "\u{1f512}".repeat(100)),
    ] {
        for mark in ["", "~"] {
            server
                .set_px("k", format!("{mark}{TOKEN};{owner}"), MINUTE)
                .await;
            assert_eq!(busy(&locker).await.owner, Some(shown.clone()));
        }
    }
}

#[tokio::test]
async fn no_more_of_a_value_is_sent_than_can_be_shown() {
    let (server, _) = redis().await;
    let proxy = server.proxy().await;
    let locker = locker_at(&proxy.url()).await;
    server.set_px("k", "x".repeat(1 << 20), MINUTE).await;
    assert!(busy(&locker).await.foreign);
    // To one request, to the other, to two looks of the third, and, unless its wait is over before, to
    // its watch.
    let answers = proxy.count_answers("x".repeat(428));
    assert!((4..=5).contains(&answers), "{answers}");
    assert_eq!(proxy.count_answers("x".repeat(429)), 0);
}

#[tokio::test]
async fn a_long_owner_is_shown_alike_in_memory() {
    let locker = Locker::builder().owner("o".repeat(200)).in_memory();
    let _held = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    let busy = busy(&locker).await;
    assert_eq!(busy.owner, Some("o".repeat(100) + "…"));
    assert!(!busy.foreign && !busy.endless);
}
