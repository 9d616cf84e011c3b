//! What passes is outlasted: no answer that may be another one a moment later ends a renewal, a
//! release in the background or a request that has time left.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use redis_locked::Locker;
use redis_locked_test_support::trouble::{Scene, Trouble};
use redis_locked_test_support::until;
use tokio::time::sleep;

/// Longer than anything takes that is awaited, and shorter than a ttl that is not to end.
const LIMIT: Duration = Duration::from_secs(20);

const TTL: Duration = Duration::from_secs(60);
/// A time of trouble.
const LONG: Duration = Duration::from_millis(1500);
const SOON: Duration = Duration::from_millis(100);

async fn locker(scene: &Scene) -> Locker {
    let builder = Locker::builder()
        .connection_timeout(LIMIT / 2)
        .response_timeout(LIMIT / 2);
    builder
        .connect(&scene.url())
        .await
        .expect("the server answers")
}

#[tokio::test]
async fn a_renewed_lock_outlives_it() {
    // Extended after three quarters of a second, if it can be.
    let ttl = 2 * LONG;
    let each = Trouble::ALL.map(async |trouble| {
        let scene = Scene::start().await;
        let locker = locker(&scene).await;
        let held = locker.lock("k").ttl(ttl).renew();
        let running = tokio::spawn(held.run(async move { sleep(ttl * 3 / 2).await }));
        scene.lasts(trouble, LONG).await;
        assert!(scene.answered(trouble).await, "{trouble:?} met nobody");
        let result = running.await.expect("no panic");
        result.unwrap_or_else(|error| panic!("{trouble:?}: {error}"));
        assert!(!scene.server.exists("k").await, "{trouble:?}: not released");
    });
    join_all(each).await;
}

#[tokio::test]
async fn what_nobody_could_release_meanwhile_is_released_after_it() {
    let each = Trouble::ALL.map(async |trouble| {
        let scene = Scene::start().await;
        let locker = locker(&scene).await;
        let dropped = locker.lock("dropped").ttl(TTL).acquire().await;
        let dropped = dropped.expect("free");
        let by_hand = locker.lock("by hand").ttl(TTL).acquire().await;
        let by_hand = by_hand.expect("free");
        let (go, begun) = tokio::sync::oneshot::channel::<()>();
        let body = locker.lock("body").ttl(TTL).run(begun);
        let body = tokio::spawn(body);
        until(LIMIT, "all are held", async || {
            scene.server.keys().await.len() == 3
        })
        .await;
        scene.begin(trouble).await;
        drop(dropped);
        go.send(()).expect("it runs");
        body.await
            .expect("no panic")
            .expect("its result")
            .expect("told");
        let error = by_hand.release().await.expect_err("refused");
        let text = error.to_string();
        assert!(text.contains(trouble.words()[1]), "{trouble:?}: {text}");
        scene.end(trouble).await;
        until(LIMIT, format!("{trouble:?}: all are free"), async || {
            scene.server.keys().await.is_empty()
        })
        .await;
    });
    join_all(each).await;
}

#[tokio::test]
async fn a_request_with_time_left_is_granted_after_it_and_one_without_fails_at_once() {
    let each = Trouble::ALL.map(async |trouble| {
        let scene = Scene::start().await;
        let locker = locker(&scene).await;
        scene.begin(trouble).await;
        let error = locker.lock("at once").acquire().await.expect_err("refused");
        let text = error.to_string();
        assert!(error.is_backend(), "{text}");
        assert!(text.contains(trouble.words()[1]), "{trouble:?}: {text}");
        let request = |key| locker.lock(key).ttl(TTL);
        let retrying = request("retries").retries(1_000).backoff(SOON);
        let waiting = request("wait").wait(LIMIT);
        let asking = [retrying, waiting].map(|request| tokio::spawn(request.acquire()));
        sleep(3 * SOON).await;
        assert!(asking.iter().all(|asking| !asking.is_finished()));
        scene.end(trouble).await;
        for asking in asking {
            let granted = asking.await.expect("no panic");
            let granted = granted.unwrap_or_else(|error| panic!("{trouble:?}: {error}"));
            granted.release().await.expect("ours");
        }
    });
    join_all(each).await;
}

/// A refusal to track that was no refusal once made a process poll for the rest of its life.
#[tokio::test]
async fn a_script_that_runs_when_tracking_begins_is_no_refusal_to_track() {
    let scene = Scene::start().await;
    let locker = locker(&scene).await;
    scene.server.set_px("k", "theirs", 60_000).await;
    scene.begin(Trouble::Script).await;
    let waiting = tokio::spawn(locker.lock("k").ttl(TTL).wait(LIMIT).acquire());
    sleep(5 * SOON).await;
    scene.end(Trouble::Script).await;
    until(LIMIT, "it is told when the key is free", async || {
        scene.tells_somebody().await
    })
    .await;
    assert!(!waiting.is_finished());
    let started = Instant::now();
    scene.server.del("k").await;
    let granted = waiting.await.expect("no panic").expect("woken");
    assert!(started.elapsed() < LIMIT / 2);
    granted.release().await.expect("ours");
}
