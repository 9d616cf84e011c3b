//! The store on real servers, one command at a time.

use std::sync::Arc;
use std::time::Duration;

use redis_locked_test_support::{AfterLoss, Proxy, Server, bulk};
use tokio::runtime::Builder;
use tokio::time::timeout;

use super::*;
use crate::store::{Acquired, Extended};

const TTL: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_secs(2);
const LIMIT: Duration = Duration::from_secs(20);
const TIMEOUTS: Timeouts = Timeouts {
    connection: LIMIT,
    response: LIMIT,
};

fn store_at(url: &str, timeouts: Timeouts, replicas: Option<Replicas>) -> RedisStore {
    let servers = Servers::one(url, &Tls::default(), timeouts).expect("a URL");
    RedisStore::new(servers, timeouts, replicas, Arc::default())
}

async fn start() -> (Server, Proxy, RedisStore) {
    let server = Server::start().await;
    let proxy = server.proxy().await;
    let store = store_at(&proxy.url(), TIMEOUTS, None);
    store.connect("").await.expect("connected");
    (server, proxy, store)
}

fn entry() -> Arc<Entry> {
    Arc::new(Entry {
        key: "k".into(),
        value: "abcdefghij-_ABCDEFGHIJ;me".into(),
        counter: None,
    })
}

fn counted() -> Arc<Entry> {
    Arc::new(Entry {
        key: "k".into(),
        value: "abcdefghij-_ABCDEFGHIJ;me".into(),
        counter: Some("{k}:fence".into()),
    })
}

fn is_granted(attempted: &Attempted) -> bool {
    matches!(attempted.outcome, Ok(Acquired::Granted { .. }))
}

async fn granted(store: &RedisStore, ttl: Duration) {
    let attempted = store.acquire(entry(), ttl, Asking::Plain).await;
    assert!(is_granted(&attempted) && attempted.settled, "{attempted:?}");
}

#[tokio::test]
async fn acquiring_again_never_shortens() {
    let (server, _proxy, store) = start().await;
    granted(&store, TTL).await;
    for asking in [Asking::Again, Asking::Watching] {
        let again = store.acquire(entry(), SHORT, asking).await;
        assert!(is_granted(&again), "{again:?}");
        assert!(server.pttl("k").await > 50_000, "shortened");
    }
    store.acquire(entry(), 2 * TTL, Asking::Again).await;
    assert!(server.pttl("k").await > 110_000, "not lengthened");
}

#[tokio::test]
async fn a_release_whose_answer_is_lost_has_released_whoever_has_the_key_by_then() {
    let (server, proxy, store) = start().await;
    granted(&store, TTL).await;
    // So that the server knows the script.
    store.release(entry(), None).await.expect("released");
    for theirs in [None, Some("theirs")] {
        granted(&store, TTL).await;
        proxy.forget();
        proxy.stall_answers(true);
        let releasing = tokio::spawn(store.release(entry(), None));
        proxy.wait_for_answer_here(":1", LIMIT).await;
        if let Some(theirs) = theirs {
            server.set_px("k", theirs, 60_000).await;
        }
        proxy.cut().await;
        proxy.stall_answers(false);
        let released = releasing.await.expect("no panic").expect("released");
        assert_eq!(released, Released::Done);
        assert_eq!(server.get("k").await.as_deref(), theirs);
    }
    let released = store.release(entry(), None).await.expect("asked once");
    assert_eq!(released, Released::TakenOver);
}

#[tokio::test]
async fn nothing_that_comes_late_finds_a_key_that_was_released_and_kept() {
    let (server, _proxy, store) = start().await;
    granted(&store, TTL).await;
    let kept = store.release(entry(), Some(SHORT)).await.expect("released");
    assert_eq!(kept, Released::Done);
    assert_eq!(
        server.get("k").await.as_deref(),
        Some("~abcdefghij-_ABCDEFGHIJ;me")
    );
    let extended = store.extend(vec![(entry(), TTL)]).await;
    assert!(
        matches!(extended[0], Ok(Extended::TakenOver)),
        "{extended:?}"
    );
    for keep in [None, Some(TTL)] {
        let again = store.release(entry(), keep).await.expect("released");
        assert_eq!(again, Released::Done);
    }
    let left = server.pttl("k").await;
    assert!((1..=2_000).contains(&left), "{left} ms left");
    let busy = store.acquire(entry(), TTL, Asking::Again).await.outcome;
    let Ok(Acquired::Busy(Some(holder))) = busy else {
        panic!("{busy:?}")
    };
    assert_eq!(holder.owner.as_deref(), Some("me"));
}

#[tokio::test]
async fn what_was_never_sent_is_settled() {
    let (_server, proxy, store) = start().await;
    proxy.refuse(true).await;
    proxy.cut().await;
    let idle = store_at(&proxy.url(), TIMEOUTS, None);
    for asking in [Asking::Plain, Asking::Again, Asking::Watching] {
        let attempted = idle.acquire(entry(), TTL, asking).await;
        assert!(attempted.outcome.is_err(), "{attempted:?}");
        assert!(attempted.settled, "{attempted:?}");
    }
    // It had a connection when it was asked.
    let attempted = store.acquire(entry(), TTL, Asking::Plain).await;
    assert!(!attempted.settled, "{attempted:?}");
}

#[tokio::test]
async fn what_was_sent_and_not_answered_is_not_settled_whatever_comes_after() {
    let (server, proxy, store) = start().await;
    proxy.drop_next_answer(bulk("SET"), AfterLoss::Cut);
    let attempted = store.acquire(entry(), TTL, Asking::Plain).await;
    assert!(
        is_granted(&attempted) && !attempted.settled,
        "{attempted:?}"
    );
    // Busy, too, when the first sending was carried out or not.
    server.set_px("k", "theirs", 60_000).await;
    proxy.drop_next_answer(bulk("SET"), AfterLoss::Cut);
    let attempted = store.acquire(entry(), TTL, Asking::Plain).await;
    let is_busy = matches!(attempted.outcome, Ok(Acquired::Busy(_)));
    assert!(is_busy && !attempted.settled, "{attempted:?}");
    let hasty = Timeouts {
        connection: LIMIT,
        response: Duration::from_millis(200),
    };
    let hasty = store_at(&proxy.url(), hasty, None);
    hasty.connect("").await.expect("connected");
    proxy.stall_requests(true);
    let attempted = hasty.acquire(entry(), TTL, Asking::Plain).await;
    assert!(
        attempted.outcome.is_err() && !attempted.settled,
        "{attempted:?}"
    );
}

#[tokio::test]
async fn a_key_that_is_set_without_its_replicas_is_not_settled() {
    let server = Server::start().await;
    let replicas = Replicas {
        count: 1,
        timeout: Duration::from_millis(20),
    };
    let store = store_at(&server.url(), TIMEOUTS, Some(replicas));
    for entry in [entry(), counted()] {
        let attempted = store.acquire(entry.clone(), TTL, Asking::Plain).await;
        assert!(attempted.outcome.is_err(), "{attempted:?}");
        assert!(!attempted.settled, "{attempted:?}");
        assert!(server.exists("k").await);
        store.release(entry, None).await.expect("released");
    }
    server.set_px("k", "theirs", 60_000).await;
    let attempted = store.acquire(entry(), TTL, Asking::Plain).await;
    assert!(
        attempted.outcome.is_ok() && attempted.settled,
        "{attempted:?}"
    );
}

#[tokio::test]
async fn a_script_that_was_refused_a_command_may_have_set_the_key() {
    let server = Server::start().await;
    let mut connection = server.connection().await;
    let rules = "on >secret ~* +ping +set +get +pttl +evalsha +eval";
    let mut user = redis::cmd("ACL");
    user.arg("SETUSER")
        .arg("app")
        .arg(rules.split(' ').collect::<Vec<_>>());
    let () = user.query_async(&mut connection).await.expect("a user");
    let url = format!("redis://app:secret@127.0.0.1:{}", server.port());
    let store = store_at(&url, TIMEOUTS, None);
    let attempted = store.acquire(counted(), TTL, Asking::Plain).await;
    assert!(
        attempted.outcome.is_err() && !attempted.settled,
        "{attempted:?}"
    );
    assert!(server.exists("k").await, "TIME is refused after SET");
    // Refused as a whole, it has done nothing.
    let mut user = redis::cmd("ACL");
    user.arg("SETUSER")
        .arg("app")
        .arg("-set")
        .arg("-eval")
        .arg("-evalsha");
    let () = user.query_async(&mut connection).await.expect("a user");
    for asking in [Asking::Plain, Asking::Again] {
        let attempted = store.acquire(entry(), TTL, asking).await;
        assert!(
            attempted.outcome.is_err() && attempted.settled,
            "{attempted:?}"
        );
    }
}

/// A runtime that ends while it opens the connection.
#[test]
fn a_runtime_that_ends_while_it_connects_takes_nothing_along() {
    let runtime = || {
        let mut builder = Builder::new_current_thread();
        builder.enable_all().build().expect("a runtime")
    };
    let (own, second) = (runtime(), runtime());
    let (_server, proxy, store) = own.block_on(start());
    for asking in [Asking::Plain, Asking::Watching] {
        store.close();
        let first = runtime();
        proxy.stall_answers(true);
        let attempt = store.acquire(entry(), TTL, asking);
        let begun = first.block_on(async { timeout(LIMIT / 200, attempt).await });
        assert!(begun.is_err(), "{begun:?}");
        drop(first);
        proxy.stall_answers(false);
        let attempted = second.block_on(store.acquire(entry(), TTL, asking));
        assert!(is_granted(&attempted), "{attempted:?}");
        let released = second.block_on(store.release(entry(), None));
        assert_eq!(released.expect("released"), Released::Done);
    }
}
