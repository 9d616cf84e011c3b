//! States in which a server refuses commands, each entered for real.

use redis::cmd;

use crate::server::Server;

/// Enough for a minute of loading, at one key per `LOAD_DELAY`.
const KEYS_TO_LOAD: u32 = 6_000;
const LOAD_DELAY_MICROS: &str = "10000";

/// All of these panic if the server does not answer.
impl Server {
    /// While on, writes are answered with `-READONLY`, as after a failover; all keys stay readable.
    pub async fn set_read_only(&self, on: bool) {
        // Nobody listens there: a primary that could be reached would replace our data by its own.
        let (host, port) = if on {
            ("127.0.0.1", "1")
        } else {
            ("NO", "ONE")
        };
        self.ask::<()>(cmd("REPLICAOF").arg(host).arg(port)).await;
    }

    /// While on, commands that need memory are answered with `-OOM`.
    pub async fn set_out_of_memory(&self, on: bool) {
        self.set("maxmemory-policy", "noeviction").await;
        self.set("maxmemory", if on { "1" } else { "0" }).await;
    }

    /// Restarts the server with its data; it answers with `-LOADING` for about a minute, or until
    /// [`Server::finish_loading`].
    ///
    /// # Panics
    /// If it does not start.
    pub async fn restart_loading(&self) {
        let fill = "for i = 1, tonumber(ARGV[1]) do \
                    redis.call('SET', 'filler:' .. i, string.rep('x', 1024)) end";
        let fill = cmd("EVAL").arg(fill).arg(0).arg(KEYS_TO_LOAD).clone();
        self.ask::<()>(&fill).await;
        self.set("rdbcompression", "no").await;
        self.ask::<()>(&cmd("SAVE")).await;
        self.start_again(&[
            ("key-load-delay", LOAD_DELAY_MICROS),
            // How often it looks for commands between two keys.
            ("loading-process-events-interval-bytes", "1024"),
        ])
        .await;
    }

    /// Has the server load the rest at once, and returns when it works as usual.
    ///
    /// # Panics
    /// If it does not.
    pub async fn finish_loading(&self) {
        self.set("key-load-delay", "0").await;
        let clear = "for i = 1, tonumber(ARGV[1]) do redis.call('DEL', 'filler:' .. i) end";
        let clear = cmd("EVAL").arg(clear).arg(0).arg(KEYS_TO_LOAD).clone();
        while let Err(error) = self.control.query::<()>(&clear).await {
            assert!(is_loading(&error), "after loading: {error}");
            tokio::task::yield_now().await;
        }
    }

    /// `CONFIG SET`.
    pub async fn set(&self, name: &str, value: &str) {
        self.ask::<()>(cmd("CONFIG").arg("SET").arg(name).arg(value))
            .await;
    }
}

fn is_loading(error: &redis::RedisError) -> bool {
    error.code() == Some("LOADING")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use redis::{RedisResult, cmd};

    use crate::server::Server;

    async fn write(server: &Server) -> RedisResult<()> {
        let mut connection = server.connection().await;
        cmd("SET")
            .arg("key")
            .arg("value")
            .query_async(&mut connection)
            .await
    }

    async fn refusal(server: &Server) -> String {
        let error = write(server).await.expect_err("refused");
        error.code().unwrap_or_default().to_owned()
    }

    #[tokio::test]
    async fn read_only() {
        let server = Server::start().await;
        server.set_px("old", "value", 60_000).await;
        server.set_read_only(true).await;
        assert_eq!(refusal(&server).await, "READONLY");
        assert!(server.exists("old").await);
        server.set_read_only(false).await;
        write(&server).await.expect("writable again");
    }

    #[tokio::test]
    async fn out_of_memory() {
        let server = Server::start().await;
        server.set_out_of_memory(true).await;
        assert_eq!(refusal(&server).await, "OOM");
        server.set_out_of_memory(false).await;
        write(&server).await.expect("writable again");
    }

    #[tokio::test]
    async fn loading() {
        let server = Server::start().await;
        server.set_px("old", "value", 60_000).await;
        server.restart_loading().await;
        let start = std::time::Instant::now();
        while start.elapsed() < Duration::from_millis(500) {
            assert_eq!(refusal(&server).await, "LOADING");
        }
        server.finish_loading().await;
        write(&server).await.expect("writable again");
        let mut keys = server.keys().await;
        keys.sort();
        assert_eq!(keys, ["key", "old"]);
        server.restart().await;
        assert!(server.keys().await.is_empty());
    }
}
