//! Every exit of a body releases the lock: after the body's state is gone, and before the caller
//! gets the result where there is one.

mod common;

use std::future::pending;
use std::pin::pin;
use std::time::Duration;

use common::{LIMIT, locker_at, redis};
use redis_locked::{LockError, Locker, redis_locked};
use redis_locked_test_support::{Monitor, Server, bulk, until};
use tokio::sync::Notify;

#[derive(Debug, PartialEq)]
enum Failure {
    Lock,
    Own,
}

impl From<LockError> for Failure {
    fn from(_: LockError) -> Self {
        Self::Lock
    }
}

/// State of a body: tells the server when it is dropped.
struct Belongings(redis::Connection);

impl Belongings {
    fn of(server: &Server) -> Self {
        Self(server.client().get_connection().expect("connected"))
    }
}

impl Drop for Belongings {
    fn drop(&mut self) {
        // Time for a release that does not wait for this.
        std::thread::sleep(Duration::from_millis(50));
        let told: redis::RedisResult<()> = redis::cmd("ECHO").arg("dropped").query(&mut self.0);
        told.expect("told");
    }
}

/// What the server saw, in its order: the acquisition, the drop of the body's state, the release.
async fn order(monitor: &Monitor) -> Vec<&'static str> {
    let mut seen: Vec<_> = monitor
        .events()
        .await
        .iter()
        .filter(|event| !event.is_from_script())
        .filter_map(|event| match event.command().as_str() {
            "set" => Some("acquired"),
            "eval" | "evalsha" => Some("released"),
            "echo" if event.is("echo", "dropped") => Some("dropped"),
            _ => None,
        })
        .collect();
    seen.dedup();
    seen
}

const IN_ORDER: [&str; 3] = ["acquired", "dropped", "released"];

fn fails() -> Result<u32, Failure> {
    Err(Failure::Own)
}

/// Holds its state until its end, whichever that is.
#[redis_locked(key = "k", ttl = "60s")]
async fn leave(how: &str, belongings: Belongings, inside: &Notify) -> Result<u32, Failure> {
    let _belongings = belongings;
    inside.notify_one();
    tokio::task::yield_now().await;
    if how == "return" {
        return Ok(2);
    }
    match how {
        "end" => Ok(1),
        "?" => Ok(fails()? + 1),
        "panic" => panic!("as asked"),
        _ => pending().await,
    }
}

#[tokio::test]
async fn the_end_of_the_block_return_and_question_mark() {
    for how in ["end", "return", "?"] {
        let (server, locker) = redis().await;
        let monitor = server.monitor();
        let result = locker
            .scope(leave(how, Belongings::of(&server), &Notify::new()))
            .await;
        assert!(!server.exists("k").await, "{how}: still locked");
        let expected = match how {
            "?" => Err(Failure::Own),
            "return" => Ok(2),
            _ => Ok(1),
        };
        assert_eq!(result, expected);
        assert_eq!(order(&monitor).await, IN_ORDER, "{how}");
    }
}

#[tokio::test]
async fn the_caller_waits_for_the_answer_to_the_release() {
    for how in ["end", "return", "?"] {
        let server = Server::start().await;
        let proxy = server.proxy().await;
        let builder = Locker::builder().response_timeout(LIMIT);
        let locker = builder.connect(&proxy.url()).await.expect("connected");
        // So that the server knows the script.
        locker.lock("k").run(async {}).await.expect("free");
        proxy.forget();
        let inside = Notify::new();
        let call = locker.scope(leave(how, Belongings::of(&server), &inside));
        let mut call = pin!(call);
        let released = async {
            inside.notified().await;
            proxy.stall_answers(true);
            proxy.wait_for_answer_here(":1\r\n", LIMIT).await;
            assert!(!server.exists("k").await);
        };
        tokio::select! {
            biased;
            _ = &mut call => panic!("{how}: came back before the answer"),
            () = released => proxy.stall_answers(false),
        }
        assert_ne!(call.await, Err(Failure::Lock), "{how}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic() {
    let (server, locker) = redis().await;
    let monitor = server.monitor();
    let belongings = Belongings::of(&server);
    let call = tokio::spawn(async move {
        let inside = Notify::new();
        locker.scope(leave("panic", belongings, &inside)).await
    });
    let panic = call.await.expect_err("panicked").into_panic();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"as asked"));
    until(LIMIT, "the key is gone", async || !server.exists("k").await).await;
    assert_eq!(order(&monitor).await, IN_ORDER);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_who_leaves() {
    let (server, locker) = redis().await;
    let monitor = server.monitor();
    let inside = Notify::new();
    tokio::select! {
        _ = locker.scope(leave("stay", Belongings::of(&server), &inside)) => unreachable!(),
        () = inside.notified() => {}
    }
    until(LIMIT, "the key is gone", async || !server.exists("k").await).await;
    assert_eq!(order(&monitor).await, IN_ORDER);
}

#[tokio::test]
async fn a_caller_who_leaves_during_the_release() {
    let server = Server::start().await;
    let proxy = server.proxy().await;
    let locker = locker_at(&proxy.url()).await;
    // Connecting sends the script as well.
    proxy.forget();
    let body = async { proxy.stall_requests(true) };
    tokio::select! {
        _ = locker.lock("k").run(body) => panic!("nobody answers the release"),
        () = proxy.wait_for_request_here(bulk("EVALSHA"), LIMIT) => {}
    }
    assert!(server.exists("k").await);
    proxy.stall_requests(false);
    until(LIMIT, "the key is gone", async || !server.exists("k").await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cut_off_at_the_deadline() {
    let (server, locker) = redis().await;
    let monitor = server.monitor();
    let belongings = Belongings::of(&server);
    let body = async move {
        let _belongings = belongings;
        pending::<()>().await;
    };
    let request = locker.lock("k").ttl(Duration::from_millis(500));
    let mut call = pin!(request.run(body));
    assert!(call.as_mut().await.expect_err("cut off").is_lost());
    locker.shutdown().await;
    // The caller still has the future.
    assert_eq!(order(&monitor).await, IN_ORDER);
}

#[tokio::test]
async fn a_guard_released_or_dropped() {
    let (server, locker) = redis().await;
    let guard = locker.lock("k").acquire().await.expect("free");
    assert!(server.exists("k").await);
    let lease = guard.lease();
    guard.release().await.expect("ours");
    assert!(!server.exists("k").await);
    assert!(!lease.is_held());

    drop(locker.lock("k").acquire().await.expect("free again"));
    until(LIMIT, "the key is gone", async || !server.exists("k").await).await;
}

#[tokio::test]
async fn shutdown_waits_for_what_was_dropped() {
    let (server, locker) = redis().await;
    for number in 0..50 {
        let guard = locker.lock(format!("k{number}")).acquire().await;
        drop(guard.expect("free"));
    }
    locker.shutdown().await;
    assert_eq!(server.keys().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_body_whose_state_panics_when_it_is_dropped_frees_the_key_all_the_same() {
    struct Bad;
    impl Drop for Bad {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }
    let (server, locker) = redis().await;
    let begun = std::sync::Arc::new(Notify::new());
    let tell = std::sync::Arc::clone(&begun);
    let call = tokio::spawn(locker.lock("key").run(async move {
        let _bad = Bad;
        tell.notify_one();
        pending::<()>().await;
    }));
    begun.notified().await;
    call.abort();
    assert!(call.await.expect_err("aborted").is_panic());
    until(LIMIT, "the key is free", async || {
        !server.exists("key").await
    })
    .await;
}
