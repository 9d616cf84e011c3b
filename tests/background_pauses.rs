//! Releases that nobody awaits are asked for again less and less often while Redis refuses them.

mod common;

use std::time::Duration;

use common::{LIMIT, locker_at, redis};
use redis_locked::Locker;
use redis_locked_test_support::FakeAnswers;
use tokio::time::{Instant, sleep, timeout};

const TTL: Duration = Duration::from_secs(60);

/// Long enough to tell pauses that grow up to a second from those that stay at a tenth.
const WINDOW: Duration = Duration::from_secs(5);

/// With pauses drawn from 5, 10, 20, … ms up to 1 s, there are about 20 in the window; with those
/// up to 100 ms, about 100.
const FEW: usize = 45;

async fn drop_guards(locker: &Locker, count: usize) {
    for number in 0..count {
        let request = locker.lock(format!("k{number}")).ttl(TTL);
        drop(request.acquire().await.expect("granted"));
    }
}

/// Grants locks, and takes none back.
async fn taker() -> FakeAnswers {
    FakeAnswers::with(|command| {
        let grants = command[0].eq_ignore_ascii_case("SET");
        let answer = if grants {
            "+OK"
        } else {
            "-LOADING in progress"
        };
        answer.to_owned()
    })
    .await
}

#[tokio::test]
async fn a_server_that_refuses_is_asked_all_the_time() {
    const GUARDS: usize = 20;
    let fake = taker().await;
    let locker = locker_at(&fake.url()).await;
    drop_guards(&locker, GUARDS).await;
    sleep(WINDOW).await;
    let asked = fake.commands().len() - GUARDS;
    assert!(asked >= GUARDS, "each was asked for: {asked}");
    assert!(
        asked <= GUARDS * FEW,
        "{asked} attempts for {GUARDS} guards"
    );
}

/// The connection breaks as soon as it is opened.
#[tokio::test]
async fn a_connection_that_breaks_is_opened_all_the_time() {
    let (server, _) = redis().await;
    let proxy = server.proxy().await;
    let locker = locker_at(&proxy.url()).await;
    let guard = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    server.kill();
    let before = proxy.accepted();
    drop(guard);
    sleep(WINDOW).await;
    let opened = proxy.accepted() - before;
    assert!(opened > 0, "it was tried");
    // An attempt may open it twice.
    assert!(opened <= 2 * FEW as u64, "{opened} connections");
    server.restart().await;
    let settled = timeout(LIMIT, locker.shutdown()).await;
    settled.expect("nothing is pending");
}

/// Until then it is in the way of others.
#[tokio::test]
async fn shutdown_ends_no_sooner_than_a_key_that_is_not_released() {
    const TTL: Duration = Duration::from_secs(1);
    let fake = taker().await;
    let locker = locker_at(&fake.url()).await;
    let asked = Instant::now();
    let guard = locker.lock("k").ttl(TTL).acquire().await.expect("granted");
    drop(guard);
    let settled = timeout(LIMIT, locker.shutdown()).await;
    settled.expect("the key's time is over");
    assert!(asked.elapsed() >= TTL, "{:?}", asked.elapsed());
}
