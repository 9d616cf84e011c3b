//! An answer to an acquisition that comes after the deadline is of no use.

use std::time::Duration;

use redis_locked::{LockError, Locker};
use redis_locked_test_support::{Server, bulk};

const TTL: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(20);

/// The command itself is late: its answer says so only after the deadline.
#[tokio::test]
async fn a_lock_that_is_granted_after_its_deadline_is_lost_and_released() {
    const SHORT: Duration = Duration::from_secs(3);
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
