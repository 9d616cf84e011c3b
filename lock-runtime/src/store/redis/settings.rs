//! What a store is told of its servers: how long they may take, and how many have to confirm.

use std::time::Duration;

use redis::io::tcp::TcpSettings;
use redis::io::tcp::socket2::TcpKeepalive;
use redis::{AsyncConnectionConfig, Cmd};

use super::script::whole_millis;

/// How often a connection that carries nothing shows what is between that it is needed, and finds
/// out whether the other end is there: the quickest load balancers forget one after half a minute.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// How long Redis may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    pub(crate) connection: Duration,
    pub(crate) response: Duration,
}

impl Timeouts {
    /// How long one operation may take: to connect, and to be answered.
    pub(crate) fn total(self) -> Duration {
        self.connection + self.response
    }

    pub(super) fn config(self) -> AsyncConnectionConfig {
        AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.connection))
            .set_response_timeout(Some(self.response))
    }

    /// Commands are small and somebody waits for each, so they are not to be held back; and a
    /// connection whose other end vanished without a word is to be given up as soon as an
    /// operation is.
    pub(super) fn tcp(self) -> TcpSettings {
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE);
        let tcp = TcpSettings::default()
            .set_nodelay(true)
            .set_keepalive(keepalive.with_interval(KEEPALIVE / 3));
        #[cfg(target_os = "linux")]
        let tcp = {
            // The kernel counts its milliseconds in 31 bits.
            let longest = Duration::from_millis(i32::MAX.unsigned_abs().into());
            tcp.set_user_timeout(self.total().min(longest))
        };
        tcp
    }
}

/// How many replicas have to confirm that they have a lock, and how long that may take.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Replicas {
    pub(crate) count: u32,
    pub(crate) timeout: Duration,
}

impl Replicas {
    /// Redis blocks the connection until so many replicas have all that was written on it before
    /// (<https://redis.io/docs/latest/commands/wait/>).
    pub(super) fn wait(self) -> Cmd {
        let mut command = redis::cmd("WAIT");
        // Zero would be no limit at all.
        let limit = whole_millis(self.timeout).max(1);
        command.arg(self.count).arg(limit);
        command
    }
}

/// Turns tracking on for a connection; once more does no harm.
pub(super) fn track() -> Cmd {
    let mut command = redis::cmd("CLIENT");
    command.arg("TRACKING").arg("ON").arg("NOLOOP");
    command
}
