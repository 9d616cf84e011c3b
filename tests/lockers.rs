//! Which locker applies. What is installed, and the environment, are the process's: each such case
//! is a process of its own, a test here that is run as a child.

mod common;

use std::error::Error;
use std::sync::atomic::{AtomicBool, Ordering};

use common::{LIMIT, redis};
use redis_locked::{LockError, LockGuard, Locker, redis_locked};
use redis_locked_test_support::{Process, Server};

static RAN: AtomicBool = AtomicBool::new(false);

#[redis_locked(key = "k")]
async fn ambient() -> Result<(), LockError> {
    RAN.store(true, Ordering::SeqCst);
    Ok(())
}

#[redis_locked(key = "k", locker = locker)]
async fn named(locker: &Locker) -> Result<(), LockError> {
    Ok(())
}

/// A locker whose lock is taken, and which its owner's name tells from others.
async fn taken(owner: &str) -> (Locker, LockGuard) {
    let locker = Locker::builder().owner(owner).in_memory();
    let guard = locker.lock("k").acquire().await.expect("free");
    (locker, guard)
}

/// The locker that a call used: the one that says that its lock is busy.
async fn used(call: impl Future<Output = Result<(), LockError>>) -> String {
    match call.await {
        Err(LockError::Busy { owner, .. }) => owner.expect("an owner"),
        other => panic!("{other:?}"),
    }
}

/// Runs a test of this file in a process of its own, with this environment.
async fn child(name: &str, redis_url: Option<&str>) {
    let this = std::env::current_exe().expect("the path of this binary");
    let launch = Process::program("env").arg("-u").arg("REDIS_URL").arg(this);
    let launch = ["--exact", "--include-ignored", name]
        .into_iter()
        .fold(launch.env("CHILD", "1"), |launch, argument| {
            launch.arg(argument)
        });
    let launch = match redis_url {
        Some(url) => Process::test(name).env("CHILD", "1").env("REDIS_URL", url),
        None => launch,
    };
    let child = launch.start();
    child
        .wait_for_line("test result: ok. 1 passed", LIMIT)
        .await;
    assert!(child.wait(LIMIT).await.success());
}

fn is_child() -> bool {
    std::env::var_os("CHILD").is_some()
}

#[tokio::test]
async fn the_named_one_before_the_scope_and_the_innermost_scope() {
    let (outer, _a) = taken("outer").await;
    let (inner, _b) = taken("inner").await;
    let (other, _c) = taken("other").await;
    outer
        .scope(async {
            assert_eq!(used(ambient()).await, "outer");
            inner
                .scope(async {
                    assert_eq!(used(ambient()).await, "inner");
                    tokio::task::yield_now().await;
                    assert_eq!(used(named(&other)).await, "other");
                    assert_eq!(used(ambient()).await, "inner");
                })
                .await;
            assert_eq!(used(ambient()).await, "outer");
        })
        .await;
}

#[tokio::test]
async fn the_scope_that_counts_is_the_one_the_call_is_awaited_in() {
    let (locker, _guard) = taken("awaited").await;
    let call = ambient();
    assert_eq!(used(locker.scope(call)).await, "awaited");
    let nested = locker.scope(async { locker.clone().scope(ambient()).await });
    assert_eq!(used(nested).await, "awaited");
}

#[tokio::test]
async fn none_at_all() {
    child("none_at_all_child", None).await;
}

#[tokio::test]
#[ignore = "run as a child"]
async fn none_at_all_child() {
    if !is_child() {
        return;
    }
    let error = ambient().await.expect_err("no locker");
    assert!(
        matches!(error, LockError::NotConfigured { .. }),
        "{error:?}"
    );
    assert!(!RAN.load(Ordering::SeqCst), "the body ran unlocked");
    assert_eq!(error.key(), Some("k"));
    assert_eq!(
        error.to_string(),
        "lock \"k\" has no locker: none is in scope or installed, and REDIS_URL is not set; call \
         `Locker::install` at the start of the program, set REDIS_URL, or pass `locker = …`; a spawned \
         task does not see the `Locker::scope` that it was spawned in"
    );

    // The scope is not the spawned task's.
    let (locker, _guard) = taken("scope").await;
    let spawned = locker.scope(async { tokio::spawn(ambient()).await });
    let error = spawned.await.expect("no panic").expect_err("no locker");
    assert!(
        matches!(error, LockError::NotConfigured { .. }),
        "{error:?}"
    );
    let spawned = locker.scope(async { tokio::spawn(locker.scope(ambient())).await });
    let error = spawned.await.expect("no panic").expect_err("busy");
    assert!(error.is_busy(), "{error:?}");

    // Not too late to install one.
    locker.install().expect("the first");
    assert_eq!(used(ambient()).await, "scope");
}

#[tokio::test]
async fn the_one_from_the_environment() {
    let (server, _locker) = redis().await;
    server
        .set_px("k", "abcdefghijklmnopqrstuv;environment", 60_000)
        .await;
    child("the_one_from_the_environment_child", Some(&server.url())).await;
    assert_eq!(
        server.get("k").await.as_deref(),
        Some("abcdefghijklmnopqrstuv;environment")
    );
}

#[tokio::test]
#[ignore = "run as a child"]
async fn the_one_from_the_environment_child() {
    if !is_child() {
        return;
    }
    for _ in 0..3 {
        assert_eq!(used(ambient()).await, "environment");
    }
    let (scope, _a) = taken("scope").await;
    assert_eq!(used(scope.scope(ambient())).await, "scope");
    assert_eq!(used(named(&scope)).await, "scope");

    // One that is installed goes before it, also later.
    let (installed, _b) = taken("installed").await;
    installed.install().expect("the first");
    assert_eq!(used(ambient()).await, "installed");
}

#[tokio::test]
async fn an_environment_that_names_no_redis() {
    for url in ["nonsense", "http://example.com", ""] {
        child("an_environment_that_names_no_redis_child", Some(url)).await;
    }
}

#[tokio::test]
#[ignore = "run as a child"]
async fn an_environment_that_names_no_redis_child() {
    if !is_child() {
        return;
    }
    let error = ambient().await.expect_err("no locker");
    assert!(
        matches!(error, LockError::NotConfigured { .. }),
        "{error:?}"
    );
    assert!(
        error
            .to_string()
            .contains("REDIS_URL is not the URL of a Redis"),
        "{error}"
    );
    assert!(error.source().is_some());
    assert!(!RAN.load(Ordering::SeqCst), "the body ran unlocked");
}

#[tokio::test]
async fn an_environment_whose_redis_is_down() {
    let server = Server::start().await;
    server.kill();
    child(
        "an_environment_whose_redis_is_down_child",
        Some(&server.url()),
    )
    .await;
}

#[tokio::test]
#[ignore = "run as a child"]
async fn an_environment_whose_redis_is_down_child() {
    if !is_child() {
        return;
    }
    let error = ambient().await.expect_err("down");
    assert!(error.is_backend(), "{error:?}");
    assert!(!RAN.load(Ordering::SeqCst), "the body ran unlocked");
}

#[tokio::test]
async fn the_installed_one() {
    child("the_installed_one_child", None).await;
}

#[tokio::test]
#[ignore = "run as a child"]
async fn the_installed_one_child() {
    if !is_child() {
        return;
    }
    let (installed, _a) = taken("installed").await;
    let (other, _b) = taken("other").await;
    installed.install().expect("the first");
    assert_eq!(used(ambient()).await, "installed");
    assert_eq!(used(other.scope(ambient())).await, "other");
    assert_eq!(used(named(&other)).await, "other");
    assert_eq!(used(installed.scope(named(&other))).await, "other");
    let spawned = tokio::spawn(async { used(ambient()).await });
    assert_eq!(spawned.await.expect("no panic"), "installed");

    // The second is an error, and changes nothing.
    for second in [&other, &installed] {
        let error = second.install().expect_err("the second");
        assert!(
            matches!(error, LockError::InvalidRequest { .. }),
            "{error:?}"
        );
        assert_eq!(error.key(), None);
        let text = error.to_string();
        assert!(
            text.starts_with("the locker was not set up: another is installed"),
            "{text}"
        );
    }
    assert_eq!(used(ambient()).await, "installed");
}
