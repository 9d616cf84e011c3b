//! What the tests against a real server start with.

use std::time::Duration;

use redis_locked::Locker;
use redis_locked_test_support::{Monitor, Server, until};

/// Longer than anything takes that is awaited, also on a machine that runs too many tests at once;
/// shorter than the ttl of a lock that is not to go by itself.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// A server of the test's own, and a locker that is connected to it.
pub(crate) async fn redis() -> (Server, Locker) {
    let server = Server::start().await;
    let locker = locker_at(&server.url()).await;
    (server, locker)
}

/// A locker with its own connection, as another process has it, and with time limits that no
/// loaded machine reaches.
pub(crate) async fn locker_at(url: &str) -> Locker {
    let builder = Locker::builder()
        .connection_timeout(LIMIT / 2)
        .response_timeout(LIMIT / 2);
    builder.connect(url).await.expect("the server answers")
}

/// Until a caller that waits for this key has a seat in the line, is the first in it, and has asked
/// to be told when the key is changed: it has looked twice then, and watched.
#[allow(dead_code, reason = "not all tests need it")]
pub(crate) async fn until_watched(monitor: &Monitor, key: &str) {
    until(LIMIT, format_args!("{key} is watched"), async || {
        let events = monitor.events().await;
        let of_scripts = events.iter().filter(|event| event.is_from_script());
        of_scripts.filter(|event| event.is("pttl", key)).count() >= 3
    })
    .await;
}
