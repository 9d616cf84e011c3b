//! A quorum some of whose servers are down, hang, answer late or forget.

#[path = "common/five.rs"]
mod five;

use std::time::{Duration, Instant};

use five::{Five, LIMIT, PATIENCE, locker_at, patient};
use redis_locked::{Locker, LostReason};
use redis_locked_test_support::{Logs, Server, until};
use tokio::time::{sleep, timeout};

const TTL: Duration = Duration::from_secs(60);

/// What a machine that runs too many tests at once may add.
const SLACK: Duration = Duration::from_millis(350);

/// Acquires and releases; how long each took.
async fn round(locker: &Locker) -> (Duration, Duration) {
    let start = Instant::now();
    let guard = locker
        .lock("k")
        .ttl(TTL)
        .acquire()
        .await
        .expect("a majority grants");
    let acquired = start.elapsed();
    let start = Instant::now();
    guard.release().await.expect("a majority releases");
    (acquired, start.elapsed())
}

/// That another locker finds it busy, while it is held.
async fn excludes(five: &Five, locker: &Locker) {
    let guard = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    let other = five.locker().await;
    let error = other.lock("k").acquire().await.expect_err("held");
    assert!(error.is_busy(), "{error}");
    guard.release().await.expect("ours");
    other.shutdown().await;
}

#[tokio::test]
async fn two_of_five_may_be_down() {
    let five = Five::start().await;
    let locker = five.locker().await;
    let (logs, _guard) = Logs::of_this_thread();
    for server in &five.0[..2] {
        server.kill();
        for _ in 0..5 {
            round(&locker).await;
        }
        excludes(&five, &locker).await;
        assert_eq!(five.with("k").await, 0);
    }
    let told = logs.events().into_iter().filter(|event| {
        let url = five.0[0].url();
        let address = url.trim_start_matches("redis://");
        event.message.contains("fails") && event.fields["server"].contains(address)
    });
    // Once by this locker, and by the two that came when it was down already.
    assert_eq!(told.count(), 3);
    let late = five.locker().await;
    round(&late).await;
}

#[tokio::test]
async fn three_of_five_down_are_no_majority() {
    let five = Five::start().await;
    let locker = five.locker().await;
    five.0[..3].iter().for_each(Server::kill);
    let start = Instant::now();
    let body = async { panic!("it runs without the lock") };
    let error = locker
        .lock("k")
        .ttl(TTL)
        .run(body)
        .await
        .expect_err("no majority");
    assert!(error.is_backend(), "{error}");
    assert!(start.elapsed() < PATIENCE + SLACK, "{:?}", start.elapsed());
    let text = error.to_string();
    assert!(text.contains("3 of 5 servers failed"), "{text}");
    let address = format!(
        "Redis refused the connection, at 127.0.0.1:{}",
        five.0[0].port()
    );
    assert!(text.contains(&address), "{text}");
    five.until_nobody_has("k").await;

    let error = patient()
        .connect_quorum(five.urls())
        .await
        .expect_err("no majority");
    assert!(error.is_backend(), "{error}");
    five.0[0].restart().await;
    until(LIMIT, "three answer again", async || {
        locker.lock("k").acquire().await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn two_of_five_may_hang_and_cost_at_most_the_time_limit() {
    let five = Five::start().await;
    let locker = five.locker().await;
    for server in &five.0[..2] {
        server.stop_process();
        for _ in 0..3 {
            let (acquired, released) = round(&locker).await;
            assert!(
                acquired < PATIENCE,
                "nobody need wait for them: {acquired:?}"
            );
            assert!(released < PATIENCE + SLACK, "{released:?}");
        }
        let guard = locker.lock("k").ttl(TTL).acquire().await.expect("free");
        let start = Instant::now();
        let error = locker.lock("k").acquire().await.expect_err("held");
        assert!(error.is_busy(), "{error}");
        assert!(start.elapsed() < PATIENCE + SLACK, "{:?}", start.elapsed());
        guard.release().await.expect("ours");
    }
    let start = Instant::now();
    let late = five.locker().await;
    assert!(
        start.elapsed() < PATIENCE + SLACK,
        "connected in {:?}",
        start.elapsed()
    );
    round(&late).await;
    five.0[..2].iter().for_each(Server::continue_process);
    five.until_nobody_has("k").await;
}

#[tokio::test]
async fn three_that_hang_are_no_majority_and_get_no_orphan() {
    let five = Five::start().await;
    let locker = five.locker().await;
    five.0[..3].iter().for_each(Server::stop_process);
    let start = Instant::now();
    let error = locker
        .lock("k")
        .ttl(TTL)
        .acquire()
        .await
        .expect_err("no majority");
    assert!(error.is_backend(), "{error}");
    assert!(start.elapsed() < PATIENCE + SLACK, "{:?}", start.elapsed());
    assert!(
        error.to_string().contains("no answer within 400.0ms"),
        "{error}"
    );
    for server in &five.0[3..] {
        until(LIMIT, "given back", async || !server.exists("k").await).await;
    }
    five.0[..3].iter().for_each(Server::continue_process);
    five.until_nobody_has("k").await;
    round(&locker).await;
}

/// One of them is busy, so that the others decide nothing. It must not read as busy before the
/// ones that hang have had their time.
#[tokio::test]
async fn a_broken_majority_is_not_busy() {
    let five = Five::start().await;
    let locker = five.locker().await;
    five.0[0].set_px("k", "theirs", 50_000).await;
    five.0[1..3].iter().for_each(Server::kill);
    five.0[3..].iter().for_each(Server::stop_process);
    let error = locker.lock("k").acquire().await.expect_err("no majority");
    assert!(error.is_backend(), "{error}");
    assert!(
        error.to_string().contains("4 of 5 servers failed"),
        "{error}"
    );
}

#[tokio::test]
async fn two_may_answer_late_and_three_may_not() {
    let five = Five::start().await;
    let mut urls = five.urls();
    let mut proxies = Vec::new();
    for (server, url) in five.0.iter().zip(&mut urls).take(3) {
        let proxy = server.proxy().await;
        *url = proxy.url();
        proxies.push(proxy);
    }
    let locker = locker_at(urls).await;
    round(&locker).await;
    for (number, proxy) in proxies.iter().enumerate() {
        if number % 2 == 0 {
            proxy.delay_requests(PATIENCE * 2);
        } else {
            proxy.delay_answers(PATIENCE * 2);
        }
        if number < 2 {
            for _ in 0..2 {
                let (acquired, _) = round(&locker).await;
                assert!(acquired < PATIENCE, "{acquired:?}");
            }
        }
    }
    let start = Instant::now();
    let error = locker
        .lock("k")
        .ttl(TTL)
        .acquire()
        .await
        .expect_err("no majority");
    assert!(error.is_backend(), "{error}");
    assert!(start.elapsed() < PATIENCE + SLACK, "{:?}", start.elapsed());
    // What came late is given back all the same.
    for proxy in &proxies {
        proxy.delay_requests(Duration::ZERO);
        proxy.delay_answers(Duration::ZERO);
    }
    locker.shutdown().await;
    five.until_nobody_has("k").await;
}

#[tokio::test]
async fn who_waits_is_woken_while_two_hang() {
    let five = Five::start().await;
    let (holder, waiter) = (five.locker().await, five.locker().await);
    five.0[..2].iter().for_each(Server::stop_process);
    let guard = holder.lock("k").ttl(TTL).acquire().await.expect("free");
    let waiting = tokio::spawn(waiter.lock("k").ttl(TTL).wait(LIMIT).acquire());
    sleep(Duration::from_secs(1)).await;
    guard.release().await.expect("ours");
    let start = Instant::now();
    let guard = waiting.await.expect("no panic").expect("its turn");
    assert!(
        start.elapsed() < Duration::from_secs(5),
        "{:?}",
        start.elapsed()
    );
    drop(guard);
    five.0[..2].iter().for_each(Server::continue_process);
    five.until_nobody_has("k").await;
}

#[tokio::test]
async fn a_majority_extends_while_two_hang_and_others_forget() {
    let five = Five::start().await;
    let locker = five.locker().await;
    five.0[0].stop_process();
    let ttl = Duration::from_millis(1500);
    let guard = locker
        .lock("k")
        .ttl(ttl)
        .renew()
        .acquire()
        .await
        .expect("free");
    sleep(ttl).await;
    five.0[1].restart().await;
    sleep(ttl * 2).await;
    assert!(guard.is_held(), "a minority forgot it");
    let error = five.locker().await.lock("k").acquire().await;
    assert!(error.expect_err("held").is_busy());
    guard.release().await.expect("ours");
    five.0[0].continue_process();
    five.until_nobody_has("k").await;
}

#[tokio::test]
async fn it_is_lost_when_a_majority_has_lost_the_key() {
    let five = Five::start().await;
    let locker = five.locker().await;
    let ttl = Duration::from_secs(2);
    let guard = locker
        .lock("k")
        .ttl(ttl)
        .renew()
        .acquire()
        .await
        .expect("free");
    for server in &five.0[..2] {
        until(LIMIT, "it was set", async || server.del("k").await).await;
    }
    let still = timeout(ttl * 2, guard.lost()).await;
    assert!(still.is_err(), "two of five do not matter: {still:?}");
    assert!(five.0[2].del("k").await);
    let reason = timeout(ttl, guard.lost())
        .await
        .expect("seen at the next extension");
    assert_eq!(reason, LostReason::Deleted);
    drop(guard);
    five.until_nobody_has("k").await;
}
