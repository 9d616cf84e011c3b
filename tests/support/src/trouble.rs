//! Troubles of a server that pass, and whom they meet.

use std::time::Duration;

use redis::{Cmd, FromRedisValue};

use crate::server::Server;
use crate::until::until;

const LIMIT: Duration = Duration::from_secs(20);

/// A trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// Right after a failover.
    NoReplicas,
    /// Somebody's script runs on and on.
    Script,
    /// The disk is full.
    Disk,
    /// The user is deleted and made anew.
    User,
}

impl Trouble {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::NoReplicas, Self::Script, Self::Disk, Self::User];

    /// What Redis answers meanwhile, and what the reader is told.
    #[must_use]
    pub fn words(self) -> [&'static str; 2] {
        match self {
            Self::NoReplicas => ["NOREPLICAS", "Redis has too few replicas to take writes"],
            Self::Script => ["BUSY", "Redis is busy with somebody's script"],
            Self::Disk => [
                "MISCONF",
                "Redis takes no writes since it can't save its data",
            ],
            Self::User => ["WRONGPASS", "Redis refused the user name or the password"],
        }
    }
}

/// A server with a user `app` on whom all of these can come.
pub struct Scene {
    /// The server.
    pub server: Server,
}

fn words(line: &str) -> Cmd {
    let mut all = line.split(' ');
    let mut command = redis::cmd(all.next().expect("a word"));
    for word in all {
        command.arg(word);
    }
    command
}

impl Scene {
    /// Starts the server.
    pub async fn start() -> Self {
        let server = Server::builder()
            .arg("lua-time-limit", "5")
            .arg("save", "3600 1")
            .start()
            .await;
        let scene = Self { server };
        scene.say("ACL SETUSER app on >secret ~* &* +@all").await;
        scene
    }

    /// The server's address, with the user on whom they come.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://app:secret@127.0.0.1:{}", self.server.port())
    }

    async fn say(&self, line: &str) {
        self.ask::<redis::Value>(line).await;
    }

    async fn ask<T: FromRedisValue>(&self, line: &str) -> T {
        let mut connection = self.server.connection().await;
        let command = words(line);
        command.query_async(&mut connection).await.expect(line)
    }

    /// Returns when it has begun.
    ///
    /// # Panics
    /// If it does not begin.
    pub async fn begin(&self, trouble: Trouble) {
        match trouble {
            Trouble::NoReplicas => self.say("CONFIG SET min-replicas-to-write 1").await,
            Trouble::User => self.say("ACL DELUSER app").await,
            Trouble::Script => {
                let mut connection = self.server.connection().await;
                tokio::spawn(async move {
                    let mut script = redis::cmd("EVAL");
                    script.arg("while true do end").arg(0);
                    // It ends by being killed, or takes longer than the test's own time limit.
                    script.query_async::<()>(&mut connection).await.ok();
                });
                let mut connection = self.server.connection().await;
                until(LIMIT, "the script runs", async || {
                    let ping = words("PING");
                    let answer = ping.query_async::<()>(&mut connection).await;
                    answer.is_err_and(|error| error.code() == Some("BUSY"))
                })
                .await;
            }
            Trouble::Disk => {
                let dir: Vec<String> = self.ask("CONFIG GET dir").await;
                // Its file can't be put in the place of a directory.
                let taken = std::path::Path::new(&dir[1]).join("dump.rdb").join("taken");
                std::fs::create_dir_all(taken).expect("a directory");
                self.say("BGSAVE").await;
                until(LIMIT, "it could not save", async || {
                    let info: String = self.ask("INFO persistence").await;
                    info.contains("rdb_last_bgsave_status:err")
                })
                .await;
                self.say("CONFIG SET stop-writes-on-bgsave-error yes").await;
            }
        }
    }

    /// Whether a client of the server is told of changed keys.
    pub async fn tells_somebody(&self) -> bool {
        let list: String = self.ask("CLIENT LIST").await;
        let mut fields = list.split([' ', '\n']);
        fields.any(|field| {
            field
                .strip_prefix("flags=")
                .is_some_and(|flags| flags.contains('t'))
        })
    }

    /// Returns when it is over.
    pub async fn end(&self, trouble: Trouble) {
        match trouble {
            Trouble::NoReplicas => self.say("CONFIG SET min-replicas-to-write 0").await,
            Trouble::User => self.say("ACL SETUSER app on >secret ~* &* +@all").await,
            Trouble::Script => {
                self.say("SCRIPT KILL").await;
                // Its end comes a moment behind the answer.
                let mut connection = self.server.connection().await;
                until(LIMIT, "the script has ended", async || {
                    let ping = words("PING");
                    ping.query_async::<()>(&mut connection).await.is_ok()
                })
                .await;
            }
            Trouble::Disk => self.say("CONFIG SET stop-writes-on-bgsave-error no").await,
        }
    }

    /// Begins and ends it: returns when it is over.
    pub async fn lasts(&self, trouble: Trouble, time: Duration) {
        self.begin(trouble).await;
        tokio::time::sleep(time).await;
        self.end(trouble).await;
    }

    /// Whether a client was answered so.
    pub async fn answered(&self, trouble: Trouble) -> bool {
        let info: String = self.ask("INFO errorstats").await;
        info.contains(&format!("errorstat_{}:", trouble.words()[0]))
    }
}
