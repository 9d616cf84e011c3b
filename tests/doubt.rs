//! A key for nobody: a command that sets the key arrives late, and nobody takes the key back.

#[path = "common/stuck.rs"]
mod stuck;

use std::time::Duration;

use redis_locked_test_support::{AfterLoss, bulk, until};
use stuck::{LIMIT, RESPONSE, Stuck, TTL};

const WAIT: Duration = Duration::from_secs(3);
const PAUSE: Duration = Duration::from_millis(400);

impl Stuck {
    async fn leaves_no_key(&self) {
        until(LIMIT, "the key that is nobody's is gone", async || {
            !self.server.exists("k").await
        })
        .await;
    }

    /// The server learns the script of those who wait: the next is the first command of a wait.
    async fn knows_waits(&self) {
        let warm = self.locker.lock("warm").wait(LIMIT).run(async {});
        warm.await.expect("free");
    }
}

#[tokio::test]
async fn wait_forgets_a_grant_whose_answer_was_lost_when_it_is_refused_the_connection() {
    let stuck = Stuck::start().await;
    stuck.knows_waits().await;
    stuck.proxy.refuse(true).await;
    stuck
        .proxy
        .drop_next_answer(bulk("EVALSHA"), AfterLoss::Cut);
    let request = stuck.locker.lock("k").ttl(TTL).wait(PAUSE);
    let error = request.acquire().await.expect_err("refused");
    assert!(error.is_backend(), "{error}");
    assert!(stuck.proxy.lost_answers() >= 1, "it was answered");
    assert!(stuck.server.exists("k").await, "it was granted");
    stuck.proxy.refuse(false).await;
    stuck.leaves_no_key().await;
}

#[tokio::test]
async fn wait_forgets_a_stuck_set_when_a_later_attempt_is_granted_and_released() {
    let stuck = Stuck::start().await;
    stuck.knows_waits().await;
    stuck.begin();
    let request = stuck.locker.lock("k").ttl(TTL).wait(LIMIT);
    let acquiring = tokio::spawn(request.acquire());
    stuck.wait_until_stuck("EVALSHA").await;
    let guard = acquiring.await.expect("no panic").expect("granted later");
    guard.release().await.expect("ours");
    stuck.arrives().await;
    stuck.leaves_no_key().await;
}

#[tokio::test]
async fn wait_forgets_a_stuck_set_when_a_later_attempt_is_busy() {
    let stuck = Stuck::start().await;
    stuck.server.set_px("k", "theirs", 60_000).await;
    stuck.begin();
    let request = stuck.locker.lock("k").ttl(TTL).wait(WAIT);
    let error = request.acquire().await.expect_err("theirs");
    assert!(error.is_busy(), "{error}");
    stuck.server.del("k").await;
    stuck.arrives().await;
    stuck.leaves_no_key().await;
}

#[tokio::test]
async fn retries_forget_a_stuck_set_when_a_later_attempt_is_busy() {
    let stuck = Stuck::start().await;
    stuck.server.set_px("k", "theirs", 60_000).await;
    stuck.begin();
    let request = stuck.locker.lock("k").ttl(TTL).retries(1);
    let error = request.acquire().await.expect_err("theirs");
    assert!(error.is_busy(), "{error}");
    stuck.server.del("k").await;
    stuck.arrives().await;
    stuck.leaves_no_key().await;
}

/// The same, when attempts are left: those would be told that they themselves are the holder.
#[tokio::test]
async fn retries_go_on_though_the_key_is_theirs() {
    let stuck = Stuck::start().await;
    stuck.server.set_px("k", "theirs", 60_000).await;
    stuck.begin();
    let request = stuck.locker.lock("k").ttl(TTL).retries(9).backoff(PAUSE);
    let acquiring = tokio::spawn(request.acquire());
    // The second attempt; the first is stuck.
    stuck.proxy.wait_for_answer_here("theirs", LIMIT).await;
    stuck.server.del("k").await;
    stuck.arrives().await;
    let value = stuck.server.get("k").await;
    assert!(value.is_some_and(|value| value.ends_with(";me")));
    let guard = acquiring.await.expect("no panic").expect("it is theirs");
    // On a machine that is slow, more than the second may have come before.
    let attempts = guard.attempts();
    assert!(attempts <= 5, "it found that out at attempt {attempts}");
    guard.release().await.expect("ours");
    stuck.leaves_no_key().await;
}

#[tokio::test]
async fn a_release_that_finds_a_key_forgets_another_set_that_is_stuck() {
    let stuck = Stuck::start().await;
    stuck.begin();
    let request = stuck.locker.lock("k").ttl(TTL).retries(1);
    let acquiring = tokio::spawn(request.acquire());
    stuck.wait_until_stuck("SET").await;
    // The second attempt, on another connection, sets the key; its answer never comes.
    let script = bulk("EVALSHA");
    stuck.proxy.drop_next_answer(script, AfterLoss::Silence);
    let error = acquiring.await.expect("no panic").expect_err("unanswered");
    assert!(error.is_backend(), "{error}");
    assert!(stuck.proxy.lost_answers() >= 1, "it was answered");
    until(
        RESPONSE * 2,
        "the second attempt's key is released",
        async || !stuck.server.exists("k").await,
    )
    .await;
    stuck.arrives().await;
    stuck.leaves_no_key().await;
}
