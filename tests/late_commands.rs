//! Two holders: a command that asks for the lock arrives late, and shortens what was had since.

#[path = "common/stuck.rs"]
mod stuck;

use std::future::pending;
use std::time::Duration;

use redis_locked::{LockError, LockGuard};
use redis_locked_test_support::until;
use stuck::{LIMIT, Stuck, TTL};
use tokio::time::timeout;

/// Of the requests whose command gets stuck.
const SHORT: Duration = Duration::from_secs(4);

/// Redis keeps the key at least as long as its holder was told.
async fn outlasts(stuck: &Stuck, remaining: impl Fn() -> Duration) {
    let left = stuck.server.pttl("k").await;
    let left = Duration::from_millis(left.try_into().unwrap_or(0));
    let told = remaining();
    assert!(told > TTL / 2, "its holder is told of {told:?} only");
    assert!(
        left >= told,
        "the key goes in {left:?}, and its holder was told {told:?}"
    );
}

async fn is_extended(stuck: &Stuck) {
    until(LIMIT, "the lock lasts longer", async || {
        stuck.server.pttl("k").await > 30_000
    })
    .await;
}

#[tokio::test]
async fn a_fenced_request_that_was_stuck_cuts_what_its_holder_extended() {
    let stuck = Stuck::start().await;
    stuck.begin();
    let request = stuck.locker.lock("k").ttl(SHORT).fenced();
    let acquiring = tokio::spawn(request.retries(3).acquire());
    stuck.wait_until_stuck("EVALSHA").await;
    let guard = acquiring.await.expect("no panic").expect("granted later");
    guard.extend(TTL).await.expect("ours");
    is_extended(&stuck).await;
    stuck.arrives().await;
    outlasts(&stuck, || guard.remaining()).await;
    guard.release().await.expect("ours");
}

#[tokio::test]
async fn a_waiting_request_that_was_stuck_cuts_the_next_holder_s_time() {
    let stuck = Stuck::start().await;
    let Stuck {
        server,
        proxy,
        locker,
    } = &stuck;
    server.set_px("k", "theirs", 60_000).await;
    let first = locker.lock("k").ttl(SHORT).wait(LIMIT);
    let first = tokio::spawn(first.run(async {}));
    server.wait_until_tracking(LIMIT).await;
    // The one it is passed on to, by one who has it for no time.
    let (sender, leases) = tokio::sync::oneshot::channel();
    let next = locker.lock("k").ttl(TTL).wait(LIMIT).acquire();
    let next = tokio::spawn(async move {
        let guard: Result<LockGuard, LockError> = next.await;
        let guard = guard.expect("its turn");
        let _ = sender.send(guard.lease());
        pending::<()>().await;
    });
    proxy.wait_for_answer_here("theirs", LIMIT).await;
    // The connection that tells when the key is freed; the first is the one for all else.
    stuck.begin_after(1);
    server.del("k").await;
    stuck.wait_until_stuck("EVALSHA").await;
    first.await.expect("no panic").expect("granted later");
    let lease = timeout(LIMIT, leases).await.expect("in time").expect("had");
    is_extended(&stuck).await;
    stuck.arrives().await;
    outlasts(&stuck, || lease.remaining()).await;
    next.abort();
}
