//! Five servers that know nothing of one another.

use std::time::Duration;

use redis_locked::{Locker, LockerBuilder};
use redis_locked_test_support::{Server, until};

/// Longer than anything takes that is awaited, and shorter than the ttl of a lock.
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// How long a test lets an operation wait for servers that hang: far longer than one takes that
/// works, also on a machine that runs too many tests at once.
pub(crate) const PATIENCE: Duration = Duration::from_millis(400);

pub(crate) struct Five(pub(crate) Vec<Server>);

impl Five {
    pub(crate) async fn start() -> Self {
        let mut servers = Vec::new();
        for _ in 0..5 {
            servers.push(Server::start().await);
        }
        Self(servers)
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        self.0.iter().map(Server::url).collect()
    }

    /// A locker with connections of its own, as another process has them.
    pub(crate) async fn locker(&self) -> Locker {
        locker_at(self.urls()).await
    }

    /// How many of those that run have the key.
    pub(crate) async fn with(&self, key: &str) -> usize {
        let mut count = 0;
        for server in self.0.iter().filter(|server| server.is_running()) {
            count += usize::from(server.exists(key).await);
        }
        count
    }

    pub(crate) async fn until_nobody_has(&self, key: &str) {
        let what = format!("no server has {key}");
        until(LIMIT, what, async || self.with(key).await == 0).await;
    }
}

pub(crate) fn patient() -> LockerBuilder {
    Locker::builder().server_timeout(PATIENCE)
}

pub(crate) async fn locker_at(urls: Vec<String>) -> Locker {
    let connected = patient().connect_quorum(urls).await;
    connected.expect("a majority answers")
}
