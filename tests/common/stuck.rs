//! A locker behind a proxy on which commands get stuck.

use std::time::Duration;

use redis_locked::Locker;
use redis_locked_test_support::{Proxy, Server, bulk};

/// Longer than anything takes that is awaited, and shorter than [`TTL`].
pub(crate) const LIMIT: Duration = Duration::from_secs(20);

/// Longer than any test: a key that goes earlier was released.
pub(crate) const TTL: Duration = Duration::from_secs(60);

/// How long an attempt waits for an answer that is stuck.
pub(crate) const RESPONSE: Duration = Duration::from_secs(1);

pub(crate) struct Stuck {
    pub(crate) server: Server,
    pub(crate) proxy: Proxy,
    pub(crate) locker: Locker,
}

impl Stuck {
    /// The locker is connected, and the server knows the scripts. A command that is stuck may take
    /// effect for twice the two timeouts, so 8 s after it was sent: far longer than the tests let it
    /// be stuck.
    pub(crate) async fn start() -> Self {
        let server = Server::start().await;
        let proxy = server.proxy().await;
        let locker = Locker::builder()
            .owner("me")
            .connection_timeout(RESPONSE * 3)
            .response_timeout(RESPONSE)
            .connect(&proxy.url())
            .await
            .expect("connected");
        let warm = locker.lock("warm").fenced().acquire().await.expect("free");
        warm.extend(TTL).await.expect("ours");
        warm.release().await.expect("ours");
        Self {
            server,
            proxy,
            locker,
        }
    }

    /// From now on, what is sent gets stuck on the connections that are open, but for so many that
    /// were opened first.
    pub(crate) fn begin_after(&self, first: u64) {
        self.proxy.forget();
        self.proxy.stall_connections(first..self.proxy.accepted());
    }

    /// The same for all that are open.
    pub(crate) fn begin(&self) {
        self.begin_after(0);
    }

    /// A command that can set the key is stuck.
    pub(crate) async fn wait_until_stuck(&self, command: &str) {
        let command = bulk(command);
        self.proxy.wait_for_request_here(command, LIMIT).await;
    }

    /// The server carries out what was stuck.
    pub(crate) async fn arrives(&self) {
        self.proxy.let_go(LIMIT).await;
        // What has reached its socket by now, it may carry out after the first question, but not
        // after the second.
        for _ in 0..2 {
            self.server.exists("k").await;
        }
    }
}
