//! A master and a replica of its own, with a network between them that tests can slow down.

use std::time::Duration;

use redis::{RedisResult, cmd};

use crate::proxy::Proxy;
use crate::server::Server;
use crate::until::until;

const LIMIT: Duration = Duration::from_secs(60);

/// A master and a replica, killed when dropped.
pub struct Pair {
    /// The server that the pair began with as the master.
    pub master: Server,
    /// Its replica.
    pub replica: Server,
    /// What the replica hears from the master comes through here, as answers.
    pub link: Proxy,
}

/// All of these panic if something does not come about in a minute.
impl Pair {
    /// Starts both, and returns when the replica has all that the master has.
    pub async fn start() -> Self {
        let server = || Server::builder().arg("repl-diskless-sync-delay", "0");
        let master = server().arg("repl-ping-replica-period", "1").start().await;
        let link = master.proxy().await;
        let pair = Self {
            replica: server().start().await,
            master,
            link,
        };
        pair.follow().await;
        pair
    }

    /// Has the replica follow the master, and returns when it has all that the master has.
    pub async fn follow(&self) {
        let mut follow = cmd("REPLICAOF");
        follow.arg("127.0.0.1").arg(self.link.port());
        self.replica.ask::<()>(&follow).await;
        until(LIMIT, "the replica confirms a write", async || {
            self.is_confirmed().await.unwrap_or(false)
        })
        .await;
    }

    async fn is_confirmed(&self) -> RedisResult<bool> {
        let mut connection = self.master.connection().await;
        let mut both = redis::pipe();
        both.cmd("SET")
            .arg("confirmed")
            .arg("")
            .arg("PX")
            .arg(1)
            .ignore();
        both.cmd("WAIT").arg(1).arg(100);
        let (replicas,): (i64,) = both.query_async(&mut connection).await?;
        Ok(replicas == 1)
    }

    /// Makes the replica a master, without asking anyone: what it has not got yet is lost.
    pub async fn promote(&self) {
        self.replica
            .ask::<()>(cmd("REPLICAOF").arg("NO").arg("ONE"))
            .await;
    }
}
