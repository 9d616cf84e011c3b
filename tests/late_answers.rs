//! An answer to an acquisition that comes after the deadline is of no use.

use std::time::Duration;

use redis_locked::{LockError, Locker};
use redis_locked_test_support::{Event, Proxy, Server, bulk, until};

const TTL: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(20);
const SHORT: Duration = Duration::from_secs(3);

/// The command itself is late: its answer says so only after the deadline.
#[tokio::test]
async fn a_lock_that_is_granted_after_its_deadline_is_lost_and_released() {
    for min_hold in [None, Some(TTL)] {
        let server = Server::start().await;
        let proxy = server.proxy().await;
        let locker = Locker::builder()
            .connection_timeout(LIMIT)
            .response_timeout(LIMIT)
            .connect(&proxy.url())
            .await
            .expect("connected");
        let monitor = server.monitor();
        proxy.stall_requests(true);
        let mut request = locker.lock("key").ttl(SHORT);
        if let Some(min_hold) = min_hold {
            request = request.renew().min_hold(min_hold);
        }
        let running = tokio::spawn(request.run(async { panic!("the body runs without a lock") }));
        proxy.wait_for_request_here(bulk("NX"), LIMIT).await;
        tokio::time::sleep(SHORT).await;
        proxy.stall_requests(false);
        let error: LockError = match running.await.expect("the body was not begun") {
            Ok(()) => panic!("locked"),
            Err(error) => error,
        };
        assert!(error.is_lost(), "{error}");
        monitor
            .wait_for(
                |event| event.is("del", "key") && event.is_from_script(),
                LIMIT,
            )
            .await;
        locker.shutdown().await;
    }
}

/// Two of five grant at once; the third to grant, which makes the majority, comes too late. Either
/// the keys are set late, and would be there for another ttl, or only the answers are.
#[tokio::test]
async fn a_majority_that_grants_after_the_deadline_is_lost_and_released() {
    tokio::join!(
        majority_after_the_deadline(Proxy::stall_requests, true),
        majority_after_the_deadline(Proxy::stall_answers, false),
    );
}

async fn majority_after_the_deadline(stall: fn(&Proxy, bool), sets_late: bool) {
    let (mut servers, mut proxies, mut urls) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..5 {
        let server = Server::start().await;
        if number < 3 {
            let proxy = server.proxy().await;
            urls.push(proxy.url());
            proxies.push(proxy);
        } else {
            urls.push(server.url());
        }
        servers.push(server);
    }
    let locker = Locker::builder()
        // What is in doubt in the end waits for both, twice.
        .connection_timeout(2 * SHORT)
        .response_timeout(2 * SHORT)
        .server_timeout(2 * SHORT)
        .connect_quorum(urls)
        .await
        .expect("all answer");
    let monitors: Vec<_> = servers.iter().map(Server::monitor).collect();
    for proxy in &proxies {
        stall(proxy, true);
    }
    let body = async { panic!("the body runs without a lock") };
    let running = tokio::spawn(locker.lock("key").ttl(SHORT).run(body));
    for server in &servers[3..] {
        until(LIMIT, "it has granted", async || server.exists("key").await).await;
    }
    for proxy in &proxies {
        proxy.wait_for_request_here(bulk("NX"), LIMIT).await;
    }
    tokio::time::sleep(SHORT).await;
    for proxy in &proxies {
        stall(proxy, false);
    }
    let answer: Result<(), LockError> = running.await.expect("the body was not begun");
    let error = answer.expect_err("the deadline has passed");
    assert!(error.is_lost(), "{error}");
    for monitor in monitors.iter().take(if sets_late { 3 } else { 0 }) {
        let released = |event: &Event| event.is("del", "key") && event.is_from_script();
        monitor.wait_for(released, LIMIT).await;
    }
    locker.shutdown().await;
    for server in &servers {
        assert!(!server.exists("key").await, "an orphan");
    }
}
