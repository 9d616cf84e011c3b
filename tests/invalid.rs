//! Requests that cannot be meant so: refused in words, with the body not run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis_locked::{LockError, Locker, redis_locked};

#[redis_locked(key = "report:{tenant}:{region}", ttl = ttl)]
async fn report(
    tenant: &str,
    region: &str,
    ttl: Duration,
    ran: &AtomicBool,
) -> Result<(), LockError> {
    ran.store(true, Ordering::SeqCst);
    Ok(())
}

#[redis_locked(key = name)]
async fn named(name: &str, ran: &AtomicBool) -> Result<(), LockError> {
    ran.store(true, Ordering::SeqCst);
    Ok(())
}

const TTL: Duration = Duration::from_secs(5);

/// Refused for this key, with this in the message.
async fn refused(call: impl Future<Output = Result<(), LockError>>, key: &str, why: &[&str]) {
    let error = Locker::in_memory().scope(call).await.expect_err("refused");
    assert!(
        matches!(error, LockError::InvalidRequest { .. }),
        "{error:?}"
    );
    assert_eq!(error.key(), Some(key));
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("lock {key:?} was not asked for: ")),
        "{text}"
    );
    for part in why {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn an_interpolated_value_that_is_empty_or_blank() {
    let ran = AtomicBool::new(false);
    let why = ["`tenant`", "\"report:{tenant}:{region}\"", "is empty"];
    refused(report("", "eu", TTL, &ran), "report::eu", &why).await;
    let why = ["`region`", "is empty", "make sure that it has a value"];
    refused(report("acme", "", TTL, &ran), "report:acme:", &why).await;
    assert!(!ran.load(Ordering::SeqCst));
    for blank in [" ", "\t\n", "\u{3000}"] {
        let why = ["`tenant`", "is empty or blank"];
        let key = format!("report:{blank}:eu");
        refused(report(blank, "eu", TTL, &ran), &key, &why).await;
    }
    assert!(!ran.load(Ordering::SeqCst));
    Locker::in_memory()
        .scope(report(" acme", "eu ", TTL, &ran))
        .await
        .expect("blanks beside a value");
    assert!(ran.load(Ordering::SeqCst));
}

#[tokio::test]
async fn an_empty_key() {
    let ran = AtomicBool::new(false);
    refused(named("", &ran), "", &["its key is empty"]).await;
    assert!(!ran.load(Ordering::SeqCst));
    let prefixed = Locker::builder().prefix("billing:").in_memory();
    let error = prefixed.lock("").acquire().await.expect_err("refused");
    assert!(matches!(error, LockError::InvalidRequest { .. }), "{error}");
}

#[tokio::test]
async fn a_ttl_that_is_too_short_or_too_long() {
    let ran = AtomicBool::new(false);
    for ttl in [Duration::ZERO, Duration::from_micros(9_999), Duration::MAX] {
        let shown = format!("{ttl:?}");
        let why = ["ttl", &shown, "give one from 10ms to ten years"];
        refused(report("acme", "eu", ttl, &ran), "report:acme:eu", &why).await;
    }
    assert!(!ran.load(Ordering::SeqCst));
    let guard = Locker::in_memory().lock("k").ttl(TTL).acquire().await;
    let guard = guard.expect("free");
    for ttl in [Duration::ZERO, Duration::from_millis(9), Duration::MAX] {
        let error = guard.extend(ttl).await.expect_err("refused");
        assert!(matches!(error, LockError::InvalidRequest { .. }), "{error}");
        assert!(guard.is_held());
    }
}

#[tokio::test]
async fn a_default_ttl_that_is_too_short_is_found_when_it_is_used() {
    let locker = Locker::builder().default_ttl(Duration::ZERO).in_memory();
    let error = locker.lock("k").acquire().await.expect_err("refused");
    assert!(error.to_string().contains("its ttl is 0ns"), "{error}");
    locker.lock("k").ttl(TTL).run(async {}).await.expect("fine");
}

#[tokio::test]
async fn a_lock_with_the_name_of_a_side_key() {
    let ran = AtomicBool::new(false);
    let why = ["keeps beside a lock's", "let it end in another word"];
    for key in ["{z}:fence", "{z}:line", "a{z}b:seats", "{a{b}:last"] {
        refused(named(key, &ran), key, &why).await;
    }
    assert!(!ran.load(Ordering::SeqCst));
    let tagged = Locker::builder().prefix("{app}:").in_memory();
    let error = tagged.lock("order:line").acquire().await;
    assert_eq!(error.expect_err("refused").key(), Some("order:line"));
    for key in ["z:fence", "{}:line", "{z}:lines"] {
        let guard = Locker::in_memory().lock(key).acquire().await;
        guard.expect("no side key");
    }
}

#[tokio::test]
async fn an_owner_that_nobody_could_read() {
    for owner in ["", " ", "\n", "web\u{1b}[2J", "a\0b"] {
        let builder = Locker::builder().owner(owner);
        let locker = builder.clone().in_memory();
        let error = locker.lock("k").acquire().await.expect_err("refused");
        assert!(matches!(error, LockError::InvalidRequest { .. }), "{error}");
        assert!(error.to_string().contains("its owner "), "{error}");
        // Nobody listens there: it is refused before anything is sent.
        let urls = ["redis://127.0.0.1:1"];
        for connected in [
            builder.clone().connect(urls[0]).await,
            builder.connect_quorum(urls).await,
        ] {
            let error = connected.expect_err("refused");
            assert!(matches!(error, LockError::InvalidRequest { .. }), "{error}");
        }
    }
}
