//! What nobody sees from outside.

use std::time::Duration;

use crate::{LockRequest, Locker};

const TTL: Duration = Duration::from_secs(60);

fn request(locker: &Locker) -> LockRequest {
    locker.lock("k").ttl(TTL).wait(TTL / 2)
}

fn has_line(locker: &Locker) -> bool {
    !locker.common().lines.is_empty()
}

#[tokio::test(start_paused = true)]
async fn an_empty_line_takes_no_memory() {
    let locker = Locker::in_memory();
    let held = request(&locker).acquire().await.expect("free");
    let gives_up = tokio::spawn(request(&locker).ttl(TTL).acquire());
    let next = tokio::spawn(request(&locker).acquire());
    tokio::task::yield_now().await;
    assert!(has_line(&locker));
    gives_up.abort();
    held.release().await.expect("passed on");
    let next = next.await.expect("no panic").expect("its turn");
    assert!(has_line(&locker));
    let too_long = request(&locker).acquire().await.expect_err("held");
    assert!(too_long.is_busy());
    next.release().await.expect("ours");
    assert!(!has_line(&locker));

    drop(request(&locker).acquire().await.expect("free"));
    locker.shutdown().await;
    assert!(!has_line(&locker));

    let held = locker.lock("k").acquire().await.expect("free");
    let too_long = request(&locker).wait(TTL / 60).acquire().await;
    assert!(too_long.expect_err("held").is_busy());
    assert!(!has_line(&locker));
    drop(held);
}
