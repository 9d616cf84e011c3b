//! Requests that are refused, and what their callers get.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use redis_locked::{LockError, Locker, redis_locked};

const TTL: Duration = Duration::from_secs(60);

pub(crate) async fn requests_that_cannot_be_meant(locker: Locker) {
    for request in [
        locker.lock(""),
        locker.lock("k").ttl(Duration::ZERO),
        locker.lock("k").ttl(Duration::from_millis(9)),
        locker.lock("k").ttl(TTL).min_hold(TTL * 2),
        locker.lock("k").max_hold(TTL),
        locker.lock("k").retries(3).wait(TTL),
        locker.lock("k").wait_forever().retries(0),
        locker.lock("k").wait(TTL).backoff(TTL),
        locker.lock("k").backoff(TTL).wait_forever(),
    ] {
        let shown = format!("{request:?}");
        let error = request.run(async { panic!("it ran") }).await;
        let error = Result::<(), _>::expect_err(error, "refused");
        assert!(
            matches!(error, LockError::InvalidRequest { .. }),
            "{shown}: {error}"
        );
    }
    locker.lock("k").run(async {}).await.expect("still free");
}

pub(crate) async fn a_lock_inside_itself(locker: Locker) {
    let body = async {
        let inner = locker.lock("k").wait_forever().run(async {});
        let error = inner.await.expect_err("it would wait for itself");
        assert!(matches!(error, LockError::WouldDeadlock { .. }), "{error}");
        assert_eq!(error.key(), Some("k"));
        locker.lock("other").run(async {}).await.expect("another");
    };
    locker.lock("k").ttl(TTL).run(body).await.expect("free");
    locker.lock("k").run(async {}).await.expect("free again");
}

pub(crate) async fn nothing_runs_without_the_lock(locker: Locker) {
    let _held = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    let ran = AtomicU32::new(0);
    for request in [
        locker.lock("k"),
        locker
            .lock("k")
            .retries(2)
            .backoff(Duration::from_millis(1)),
        locker.lock("k").wait(Duration::from_millis(20)),
        locker.lock("k").fenced(),
        locker.lock("k").ttl(Duration::ZERO),
    ] {
        let body = async { ran.fetch_add(1, Ordering::SeqCst) };
        assert!(request.run(body).await.is_err());
    }
    assert_eq!(ran.into_inner(), 0);
}

#[redis_locked(key = "k", ttl = TTL, skip)]
async fn unit(ran: &AtomicU32) {
    ran.fetch_add(1, Ordering::SeqCst);
}

#[redis_locked(key = "k", ttl = TTL, skip)]
async fn option(ran: &AtomicU32) -> Option<u32> {
    Some(ran.fetch_add(1, Ordering::SeqCst))
}

#[redis_locked(key = "k", ttl = TTL, skip)]
async fn result(ran: &AtomicU32) -> Result<u32, LockError> {
    Ok(ran.fetch_add(1, Ordering::SeqCst))
}

#[redis_locked(key = "k", ttl = TTL, or_else = |error| error.to_string())]
async fn text(ran: &AtomicU32) -> String {
    ran.fetch_add(1, Ordering::SeqCst).to_string()
}

pub(crate) async fn skip_and_or_else(locker: Locker) {
    let ran = AtomicU32::new(1);
    let held = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    let busy = locker.scope(async {
        unit(&ran).await;
        (option(&ran).await, result(&ran).await, text(&ran).await)
    });
    let (option_busy, result_busy, text_busy) = busy.await;
    assert_eq!(option_busy, None);
    assert_eq!(result_busy.expect("busy is no error"), 0);
    assert!(text_busy.starts_with("lock \"k\" is busy"), "{text_busy}");
    assert_eq!(ran.load(Ordering::SeqCst), 1, "a body ran unlocked");

    held.release().await.expect("ours");
    let free = locker.scope(async {
        unit(&ran).await;
        (option(&ran).await, result(&ran).await, text(&ran).await)
    });
    let (option_free, result_free, text_free) = free.await;
    assert_eq!((option_free, &*text_free), (Some(2), "4"));
    assert_eq!(result_free.expect("free"), 3);
}
