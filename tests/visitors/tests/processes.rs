//! Processes in line that are killed and stopped: the others are served in their order, and in time.

mod common;

use std::time::{Duration, Instant};

use common::{LIMIT, LONG, RESERVATION, Scene, ids};
use redis_locked_test_support::{Process, until};

/// The ttl of a holder that dies.
const TTL: Duration = Duration::from_secs(1);

/// What a loaded machine may add, less than what the fault would cost otherwise.
const SLACK: Duration = Duration::from_secs(2);

/// The test releases the key; how long it took until the last of these was served.
async fn until_all_had_it(scene: &Scene, survivors: &[Process], release: impl Future) -> Duration {
    let began = Instant::now();
    release.await;
    scene.place.all_well(survivors).await;
    began.elapsed()
}

#[tokio::test]
async fn who_is_killed_in_line_is_skipped_at_once() {
    for killed in [&[0][..], &[1], &[0, 1], &[1, 3]] {
        let scene = Scene::start().await;
        let held = scene.locker.lock("k").ttl(LONG).acquire().await;
        let held = held.expect("free");
        let mut line = scene.line(5).await;
        for &number in killed.iter().rev() {
            line.remove(number).kill();
        }
        // The kernel closes its connections; the server hears of it when it looks.
        scene.until_heard(line.len()).await;
        let took = until_all_had_it(&scene, &line, held.release()).await;
        assert!(took < RESERVATION, "{killed:?}: {took:?}");
        assert_eq!(scene.place.served(), ids(&line), "{killed:?}");
        assert!(!scene.server.exists("{k}:line").await);
    }
}

#[tokio::test]
async fn who_stands_still_in_line_costs_its_reservation_and_comes_to_its_turn() {
    for stopped in [0, 1] {
        let scene = Scene::start().await;
        let held = scene.locker.lock("k").ttl(LONG).acquire().await;
        let held = held.expect("free");
        let mut line = scene.line(4).await;
        let still = line.remove(stopped);
        still.stop();
        let took = until_all_had_it(&scene, &line, held.release()).await;
        assert!(took >= RESERVATION, "{took:?}: it was not rung");
        assert!(took < RESERVATION + SLACK, "{took:?}");
        assert_eq!(scene.place.served(), ids(&line));
        // Its bell has lain in the socket for too long to begin anything.
        let held = scene.locker.lock("k").ttl(LONG).acquire().await;
        let held = held.expect("nobody begins while it stands still");
        still.resume();
        scene.until_waiting(1).await;
        assert_eq!(scene.place.served(), ids(&line));
        held.release().await.expect("ours");
        scene.place.all_well(std::slice::from_ref(&still)).await;
        assert_eq!(scene.place.served().last(), Some(&still.id()));
    }
}

/// Connections that stay open, and nobody behind them.
#[tokio::test]
async fn machines_that_vanish_together_cost_ten_seconds_in_all() {
    let scene = Scene::start().await;
    let held = scene.locker.lock("k").ttl(LONG).acquire().await;
    let held = held.expect("free");
    let vanished = scene.place.visitors(&["visit", "12", "1", "1"]).start();
    scene.until_waiting(12).await;
    let line = scene.line(2).await;
    vanished.stop();
    let took = until_all_had_it(&scene, &line, held.release()).await;
    assert!(took < Duration::from_secs(10) + SLACK, "{took:?}");
    // One reservation each would be 24 s.
    assert_eq!(scene.place.served(), ids(&line));
}

/// A process that holds the key, and renews it.
async fn holder(scene: &Scene) -> Process {
    let holder = scene.place.visitors(&["visit", "1", "1", "1"]);
    let holder = holder
        .env("TTL_MS", TTL.as_millis().to_string())
        .env("HOLD_US", LONG.as_micros().to_string())
        .env("RENEW", "yes")
        .start();
    until(LIMIT, "it holds the key", async || {
        !scene.place.served().is_empty()
    })
    .await;
    holder
}

#[tokio::test]
async fn when_the_holder_is_killed_the_first_has_the_key_after_its_ttl() {
    let scene = Scene::start().await;
    let holder = holder(&scene).await;
    let line = scene.line(3).await;
    let took = until_all_had_it(&scene, &line, async { holder.kill() }).await;
    assert!(took < TTL + SLACK, "{took:?}");
    assert_eq!(scene.place.served()[1..], ids(&line));
}

#[tokio::test]
async fn when_the_holder_stands_still_it_has_lost_the_key_after_its_ttl() {
    let scene = Scene::start().await;
    let holder = holder(&scene).await;
    let line = scene.line(3).await;
    let took = until_all_had_it(&scene, &line, async { holder.stop() }).await;
    assert!(took < TTL + SLACK, "{took:?}");
    assert_eq!(scene.place.served()[1..], ids(&line));
    holder.resume();
    // It takes the key from nobody, now that it goes on.
    let held = scene.locker.lock("k").ttl(LONG).acquire().await;
    let held = held.expect("free");
    tokio::time::sleep(2 * TTL).await;
    held.release().await.expect("still ours");
}

#[tokio::test]
async fn when_the_holder_and_the_first_die_together_the_second_stands_in() {
    let scene = Scene::start().await;
    let holder = holder(&scene).await;
    let mut line = scene.line(4).await;
    let first = line.remove(0);
    let die = async {
        holder.kill();
        first.kill();
    };
    let took = until_all_had_it(&scene, &line, die).await;
    assert!(took < TTL + SLACK, "{took:?}");
    assert_eq!(scene.place.served()[1..], ids(&line));
}
