//! What a body returned reaches the caller, whatever becomes of the release.

mod common;

use std::time::Duration;

use common::{LIMIT, redis};
use redis_locked::{LockError, Locker, redis_locked};
use redis_locked_test_support::{AfterLoss, Logs, Proxy, Server, bulk, until};
use tracing::Level;

#[derive(Debug, PartialEq)]
enum Failure {
    Lock(String),
    Own,
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        Self::Lock(error.to_string())
    }
}

/// Returns what it is told to, after something has happened.
#[redis_locked(key = "order:7", ttl = "60s")]
async fn work(
    meanwhile: impl Future<Output = ()>,
    result: Result<u32, Failure>,
) -> Result<u32, Failure> {
    meanwhile.await;
    result
}

/// Something happens to the key while a body holds it; its results pass all the same.
async fn passes_although(meanwhile: impl AsyncFn(&Server), log: &str) -> Server {
    let (server, locker) = redis().await;
    for result in [Ok(1), Err(Failure::Own)] {
        let (logs, _guard) = Logs::of_this_thread();
        let expected = format!("{result:?}");
        let returned = locker.scope(work(meanwhile(&server), result)).await;
        assert_eq!(format!("{returned:?}"), expected);
        let warning = logs.find(Level::WARN, log).expect("a warning");
        assert_eq!(warning.fields["lock.key"], "order:7");
        server.del("order:7").await;
    }
    server
}

#[tokio::test]
async fn the_key_was_gone() {
    passes_although(
        async |server| assert!(server.del("order:7").await),
        "its key was gone",
    )
    .await;
}

#[tokio::test]
async fn the_key_was_someone_elses() {
    passes_although(
        async |server| server.set_px("order:7", "theirs", 60_000).await,
        "someone else has the key now",
    )
    .await;
}

#[tokio::test]
async fn the_server_was_dead() {
    let (server, locker) = redis().await;
    let (logs, _guard) = Logs::of_this_thread();
    let result = locker.scope(work(async { server.kill() }, Ok(1))).await;
    assert_eq!(result, Ok(1));
    let warning = logs.find(Level::WARN, "order:7").expect("a warning");
    assert!(
        warning.fields["error"].contains("could not be released"),
        "{warning:?}"
    );
}

/// The release fails at that moment, and is made up for in the background, long before the ttl.
async fn is_made_up_for(fault: impl AsyncFn(&Proxy), mend: impl AsyncFn(&Proxy)) {
    let server = Server::start().await;
    let proxy = server.proxy().await;
    let builder = Locker::builder()
        .connection_timeout(Duration::from_secs(1))
        .response_timeout(Duration::from_secs(1));
    let locker = builder.connect(&proxy.url()).await.expect("connected");
    let (logs, _guard) = Logs::of_this_thread();
    let result = locker.scope(work(fault(&proxy), Ok(1))).await;
    assert_eq!(result, Ok(1));
    let warning = logs.find(Level::WARN, "order:7").expect("a warning");
    assert!(
        warning.fields["error"].contains("could not be released"),
        "{warning:?}"
    );
    assert!(server.exists("order:7").await, "the fault came too late");
    mend(&proxy).await;
    until(LIMIT, "it is released", async || {
        !server.exists("order:7").await
    })
    .await;
    locker.shutdown().await;
}

#[tokio::test]
async fn the_connection_was_cut_for_a_while() {
    let fault = async |proxy: &Proxy| {
        proxy.refuse(true).await;
        proxy.cut().await;
    };
    is_made_up_for(fault, async |proxy| proxy.refuse(false).await).await;
}

#[tokio::test]
async fn the_network_was_silent_for_a_while() {
    let fault = async |proxy: &Proxy| proxy.stall_requests(true);
    is_made_up_for(fault, async |proxy| proxy.stall_requests(false)).await;
}

#[tokio::test]
async fn the_answer_to_the_release_was_lost() {
    for then in [AfterLoss::Cut, AfterLoss::Silence] {
        let server = Server::start().await;
        let proxy = server.proxy().await;
        let builder = Locker::builder().response_timeout(Duration::from_secs(1));
        let locker = builder.connect(&proxy.url()).await.expect("connected");
        // So that the server knows the script, and the lost answer is the release's own.
        locker.lock("other").run(async {}).await.expect("free");
        let fault = async { proxy.drop_next_answer(bulk("EVALSHA"), then) };
        assert_eq!(locker.scope(work(fault, Ok(1))).await, Ok(1));
        assert_eq!(proxy.lost_answers(), 1);
        locker.shutdown().await;
        assert!(!server.exists("order:7").await);
    }
}

#[tokio::test]
async fn a_guards_release_that_fails_says_so_and_is_made_up_for() {
    let server = Server::start().await;
    let proxy = server.proxy().await;
    let locker = common::locker_at(&proxy.url()).await;
    let guard = locker.lock("order:7").acquire().await.expect("free");
    proxy.refuse(true).await;
    proxy.cut().await;
    let error = guard.release().await.expect_err("unreachable");
    assert!(error.is_backend() && !error.is_not_held(), "{error}");
    assert_eq!(error.key(), Some("order:7"));
    proxy.refuse(false).await;
    until(LIMIT, "it is released", async || {
        !server.exists("order:7").await
    })
    .await;
}

#[tokio::test]
async fn the_background_gives_up_when_the_key_is_gone_by_itself() {
    let (server, locker) = redis().await;
    let (logs, _guard) = Logs::of_this_thread();
    let brief = locker.lock("order:7").ttl(Duration::from_millis(600));
    let result = brief.run(async { server.kill() }).await;
    result.expect("the body's result");
    tokio::time::timeout(LIMIT, locker.shutdown())
        .await
        .expect("given up");
    // The warning was told by the run.
    assert!(
        logs.find(Level::DEBUG, "lock not released; its key goes")
            .is_some()
    );
}
