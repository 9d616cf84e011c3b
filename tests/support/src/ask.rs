//! What tests ask a server.

use std::collections::BTreeMap;
use std::time::Duration;

use redis::{Cmd, FromRedisValue, ToRedisArgs, cmd};

use crate::control::field;
use crate::server::Server;
use crate::until::until;

/// What counting itself takes.
const COUNTING: [&str; 2] = ["info", "config|resetstat"];

/// All of these panic if the server does not answer.
impl Server {
    /// The value of a key.
    pub async fn get(&self, key: impl ToRedisArgs) -> Option<String> {
        self.ask(cmd("GET").arg(key)).await
    }

    /// The milliseconds until a key expires: -1 without an expiry, -2 without the key.
    pub async fn pttl(&self, key: impl ToRedisArgs) -> i64 {
        self.ask(cmd("PTTL").arg(key)).await
    }

    /// Whether there is such a key.
    pub async fn exists(&self, key: impl ToRedisArgs) -> bool {
        self.ask(cmd("EXISTS").arg(key)).await
    }

    /// All keys.
    pub async fn keys(&self) -> Vec<String> {
        self.ask(cmd("KEYS").arg("*")).await
    }

    /// Sets a key for so many milliseconds, whoever holds it.
    pub async fn set_px(&self, key: impl ToRedisArgs, value: impl ToRedisArgs, ms: u64) {
        self.ask::<()>(cmd("SET").arg(key).arg(value).arg("PX").arg(ms))
            .await;
    }

    /// `SET key value NX PX ms`, as any other client locks: whether it got the key.
    pub async fn set_nx_px(&self, key: impl ToRedisArgs, value: impl ToRedisArgs, ms: u64) -> bool {
        let mut set = cmd("SET");
        set.arg(key).arg(value).arg("NX").arg("PX").arg(ms);
        self.ask::<Option<String>>(&set).await.is_some()
    }

    /// Deletes a key: whether it was there.
    pub async fn del(&self, key: impl ToRedisArgs) -> bool {
        self.ask(cmd("DEL").arg(key)).await
    }

    /// A field of a hash.
    pub async fn hget(&self, key: impl ToRedisArgs, field: &str) -> Option<String> {
        self.ask(cmd("HGET").arg(key).arg(field)).await
    }

    /// Sets a field of a hash.
    pub async fn hset(&self, key: impl ToRedisArgs, field: &str, value: impl ToRedisArgs) {
        self.ask::<u64>(cmd("HSET").arg(key).arg(field).arg(value))
            .await;
    }

    /// How many are in a sorted set.
    pub async fn zcard(&self, key: impl ToRedisArgs) -> u64 {
        self.ask(cmd("ZCARD").arg(key)).await
    }

    /// Forgets all scripts (`SCRIPT FLUSH`).
    pub async fn flush_scripts(&self) {
        self.ask::<()>(cmd("SCRIPT").arg("FLUSH").arg("SYNC")).await;
        // Valkey 9.1 starts its Lua anew, which asks for the settings.
        self.control.note("config|get".to_owned());
    }

    /// How often each command was called since [`Server::reset_stats`], handshakes of connections
    /// included and what these helpers themselves asked left out. Names are in lower case, those
    /// of subcommands as in `client|setinfo`; what a script calls counts too.
    pub async fn command_calls(&self) -> BTreeMap<String, u64> {
        let info: String = self.ask(cmd("INFO").arg("commandstats")).await;
        let own = self.control.sent();
        info.lines()
            .filter_map(|line| {
                let (name, stats) = line.strip_prefix("cmdstat_")?.split_once(':')?;
                let (calls, _) = stats.strip_prefix("calls=")?.split_once(',')?;
                let calls = calls.parse::<u64>().ok()?;
                let own = own.get(name).copied().unwrap_or(0);
                Some((name.to_owned(), calls.saturating_sub(own)))
            })
            .filter(|(name, calls)| *calls > 0 && !COUNTING.contains(&name.as_str()))
            .collect()
    }

    /// How many keys connections have the server watch (`CLIENT TRACKING`).
    pub async fn tracked_keys(&self) -> u64 {
        let info: redis::InfoDict = self.ask(cmd("INFO").arg("stats")).await;
        info.get("tracking_total_keys").unwrap_or(0)
    }

    /// Waits until it watches a key for somebody: who waits for a lock has asked here.
    pub async fn wait_until_tracking(&self, limit: Duration) {
        until(limit, "a waiter has asked", async || {
            self.tracked_keys().await > 0
        })
        .await;
    }

    /// Starts counting anew.
    pub async fn reset_stats(&self) {
        self.ask::<()>(cmd("CONFIG").arg("RESETSTAT")).await;
        self.control.forget_sent();
    }

    /// How many clients are connected, these helpers and monitors left out.
    pub async fn connections(&self) -> usize {
        self.client_ids().await.len()
    }

    /// How many connections of clients sent this command last.
    pub async fn connections_that_sent(&self, command: &str) -> usize {
        let list: String = self.ask(cmd("CLIENT").arg("LIST")).await;
        list.lines()
            .filter(|line| field(line, "cmd") == Some(command))
            .count()
    }

    /// Closes the connection of each client, except those of these helpers and of monitors.
    pub async fn kill_clients(&self) {
        for id in self.client_ids().await {
            // 0 if it has gone by itself meanwhile.
            let _: u64 = self.ask(cmd("CLIENT").arg("KILL").arg("ID").arg(id)).await;
        }
    }

    async fn client_ids(&self) -> Vec<String> {
        let list: String = self.ask(cmd("CLIENT").arg("LIST")).await;
        list.lines()
            .filter(|line| !self.control.is_own(field(line, "addr").unwrap_or_default()))
            .filter(|line| field(line, "cmd") != Some("monitor"))
            .filter_map(|line| field(line, "id").map(ToOwned::to_owned))
            .collect()
    }

    pub(crate) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> T {
        let answer = self.control.query(command).await;
        answer.unwrap_or_else(|error| panic!("{command:?} on port {}: {error}", self.port()))
    }
}
