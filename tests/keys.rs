//! Any text is a key, and reaches the server byte for byte.

mod common;

use std::time::Duration;

use common::{LIMIT, locker_at, redis};
use redis_locked::{LockError, Locker, redis_locked};
use redis_locked_test_support::{Server, until};

const TTL: Duration = Duration::from_secs(60);

fn odd_keys() -> Vec<String> {
    let mut keys: Vec<String> = [
        " ",
        "a b",
        " a",
        "a ",
        "\t",
        "line\nbreak",
        "\r\n",
        "\n",
        "$3\r\nfoo\r\n",
        "{}",
        "{a}b",
        "a}b",
        "}{",
        "{{a}}",
        "\u{1f512}",
        "\u{1f468}\u{200d}\u{1f4bb}",
        "\u{e9}",
        "e\u{301}",
        "\0",
        "a\0b",
        "*",
        "[a-z]?",
        "\"",
        "'",
        "\\",
        "%s",
        ";",
        ":",
        "k",
        "K",
        "\u{feff}",
        "\u{7f}",
    ]
    .map(String::from)
    .into();
    keys.push("x".repeat(10 * 1024));
    keys.push("\u{1f512}".repeat(4 * 1024));
    keys
}

/// The value of a field, as it is put into a template.
#[redis_locked(key = "{name}", ttl = TTL)]
async fn field(server: &Server, name: &str) -> Result<Option<String>, LockError> {
    Ok(server.get(name).await)
}

#[redis_locked(key = name, ttl = TTL)]
async fn expression(server: &Server, name: &str) -> Result<Option<String>, LockError> {
    Ok(server.get(name).await)
}

#[redis_locked(key = "a {{b}} \n\u{1f512}", ttl = TTL)]
async fn literal(server: &Server) -> Result<Vec<String>, LockError> {
    Ok(server.keys().await)
}

#[tokio::test]
async fn each_is_locked_busy_and_released() {
    let (server, locker) = redis().await;
    for key in odd_keys() {
        let guard = locker.lock(&key).ttl(TTL).acquire().await.expect("free");
        assert_eq!(guard.key(), key);
        assert_eq!(server.keys().await, [&*key]);
        let value = server.get(&key).await.expect("set");
        assert!(value.starts_with(guard.token()), "{key:?}: {value}");

        let error = locker.lock(&key).acquire().await.expect_err("busy");
        assert!(error.is_busy(), "{key:?}: {error}");
        assert_eq!(error.key(), Some(&*key));
        assert_eq!(error.to_string().lines().count(), 1, "{key:?}");

        guard.extend(TTL * 2).await.expect("ours");
        assert!(server.pttl(&key).await > 60_000);
        guard.release().await.expect("ours");
        assert_eq!(server.keys().await, Vec::<String>::new());
    }
}

#[tokio::test]
async fn all_of_them_at_once_are_different_locks() {
    let (server, locker) = redis().await;
    let mut guards = Vec::new();
    for key in odd_keys() {
        guards.push(locker.lock(key).ttl(TTL).acquire().await.expect("free"));
    }
    assert_eq!(server.keys().await.len(), odd_keys().len());
    drop(guards);
    locker.shutdown().await;
    assert_eq!(server.keys().await, Vec::<String>::new());
}

#[tokio::test]
async fn waiting_for_each_works() {
    let (server, locker) = redis().await;
    let other = locker_at(&server.url()).await;
    for key in odd_keys() {
        let held = other.lock(&key).ttl(TTL).acquire().await.expect("free");
        let monitor = server.monitor();
        let release = async {
            monitor
                .wait_for(|event| event.command() == "pttl", LIMIT)
                .await;
            held.release().await.expect("ours");
        };
        let waiting = locker.lock(&key).ttl(TTL).wait(LIMIT).run(async {});
        let (result, ()) = tokio::join!(waiting, release);
        result.expect("woken");
    }
}

#[tokio::test]
async fn through_the_attribute() {
    let (server, locker) = redis().await;
    for key in odd_keys() {
        let value = locker.scope(expression(&server, &key)).await;
        assert!(value.expect("free").is_some(), "{key:?} is another key");
        let value = locker.scope(field(&server, &key)).await;
        if key.trim().is_empty() {
            let error = value.expect_err("a field that is blank");
            assert!(matches!(error, LockError::InvalidRequest { .. }), "{error}");
        } else {
            assert!(value.expect("free").is_some(), "{key:?} is another key");
        }
    }
    let keys = locker.scope(literal(&server)).await.expect("free");
    assert_eq!(keys, ["a {b} \n\u{1f512}"]);
    assert_eq!(server.keys().await, Vec::<String>::new());
}

#[redis_locked(key = "{owner:?}:{name:?}", ttl = TTL)]
async fn quoted(owner: &str, name: &str) -> Result<String, LockError> {
    let lease = redis_locked::Lease::current().expect("held");
    Ok(lease.key().to_owned())
}

/// As the docs of the attribute say.
#[tokio::test]
async fn fields_that_are_quoted_make_no_key_of_others() {
    let locker = Locker::in_memory();
    let mut keys = std::collections::HashSet::new();
    let texts = ["a", "b", "c", "a:b", "b:c", "a\":\"b", "\"", "\\", ":"];
    for owner in texts {
        for name in texts {
            let key = locker.scope(quoted(owner, name)).await.expect("free");
            assert!(keys.insert(key), "{owner} and {name}");
        }
    }
}

#[tokio::test]
async fn a_prefix_is_put_before_the_key_and_shown_nowhere_else() {
    let server = Server::start().await;
    for prefix in ["billing:", "\u{1f512} ", "{tag}", "\n"] {
        let builder = Locker::builder().prefix(prefix);
        let locker = builder.connect(&server.url()).await.expect("connected");
        for key in ["k", "", prefix] {
            if key.is_empty() {
                assert!(locker.lock(key).acquire().await.is_err());
                assert_eq!(server.keys().await, Vec::<String>::new());
                continue;
            }
            let guard = locker.lock(key).ttl(TTL).acquire().await.expect("free");
            assert_eq!(server.keys().await, [format!("{prefix}{key}")]);
            assert_eq!(guard.key(), key);
            let error = locker.lock(key).acquire().await.expect_err("busy");
            assert_eq!(error.key(), Some(key));
            let named = format!("lock {key:?} is busy");
            assert!(error.to_string().starts_with(&named), "{error}");
            guard.extend(TTL).await.expect("ours");
            guard.release().await.expect("ours");
            assert_eq!(server.keys().await, Vec::<String>::new());

            let wait = locker.lock(key).ttl(TTL).wait(LIMIT);
            drop(wait.acquire().await.expect("free"));
            locker.shutdown().await;
            assert_eq!(server.keys().await, Vec::<String>::new());
        }
    }
}

#[tokio::test]
async fn lockers_with_other_prefixes_do_not_meet() {
    let server = Server::start().await;
    let mut guards = Vec::new();
    for prefix in ["", "a:", "b:"] {
        let builder = Locker::builder().prefix(prefix);
        let locker = builder.connect(&server.url()).await.expect("connected");
        guards.push(locker.lock("k").ttl(TTL).acquire().await.expect("free"));
    }
    let locker = locker_at(&server.url()).await;
    let error = locker
        .lock("a:k")
        .acquire()
        .await
        .expect_err("the same key");
    assert!(error.is_busy());
    drop(guards);
    until(LIMIT, "all are released", async || {
        server.keys().await.is_empty()
    })
    .await;
}
