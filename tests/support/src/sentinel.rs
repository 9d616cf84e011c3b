//! A master and its replicas, watched by sentinels, all of the test's own.

use std::fmt::Write as _;
use std::time::Duration;

use redis::{Cmd, cmd};

use crate::certificates::Authority;
use crate::server::{Builder, Server};
use crate::until::{until, until_some};

/// Longer than a failover takes on a machine that runs too many tests at once.
const LIMIT: Duration = Duration::from_secs(60);
const NAME: &str = "mymaster";

/// A master, two replicas and three sentinels, killed when dropped.
pub struct Sentinels {
    servers: Vec<Server>,
    sentinels: Vec<Server>,
}

/// What to start them with.
#[derive(Clone, Copy)]
struct Settings<'a> {
    down_after: Duration,
    /// Of the servers, and of the sentinels.
    passwords: Option<(&'a str, &'a str)>,
    /// Whose certificates all of them have.
    authority: Option<&'a Authority>,
}

impl Default for Settings<'_> {
    fn default() -> Self {
        Self {
            down_after: Duration::from_secs(1),
            passwords: None,
            authority: None,
        }
    }
}

impl Settings<'_> {
    /// A server or a sentinel, which find one another by TLS where they have it.
    fn builder(&self) -> Builder {
        let builder = Server::builder();
        match self.authority {
            Some(authority) => builder
                .tls(authority, &["127.0.0.1"])
                .arg("tls-replication", "yes"),
            None => builder,
        }
    }
}

/// All of these panic if something does not come about in a minute.
impl Sentinels {
    /// Starts sentinels that take the master for dead after a second.
    pub async fn start() -> Self {
        Self::launch(Settings::default()).await
    }

    /// Starts sentinels that take the master for dead after this time without an answer.
    pub async fn with_down_after(down_after: Duration) -> Self {
        Self::launch(Settings {
            down_after,
            ..Settings::default()
        })
        .await
    }

    /// Starts servers that ask for one password, and sentinels that ask for another.
    pub async fn with_passwords(servers: &str, sentinels: &str) -> Self {
        Self::launch(Settings {
            passwords: Some((servers, sentinels)),
            ..Settings::default()
        })
        .await
    }

    /// Starts servers and sentinels that talk to one another with TLS, and whose clients need a
    /// certificate by this authority.
    pub async fn with_tls(authority: &Authority) -> Self {
        Self::launch(Settings {
            authority: Some(authority),
            ..Settings::default()
        })
        .await
    }

    async fn launch(settings: Settings<'_>) -> Self {
        let (password, sentinel_password) = settings.passwords.unzip();
        let mut servers = Vec::new();
        for _ in 0..3 {
            let mut builder = settings
                .builder()
                .arg("repl-diskless-sync-delay", "0")
                .arg("repl-ping-replica-period", "1");
            if let Some(password) = password {
                builder = builder.password(password).arg("masterauth", password);
            }
            servers.push(builder.start().await);
        }
        let port = port(&servers[0]);
        for replica in &servers[1..] {
            let mut follow = cmd("REPLICAOF");
            replica.ask::<()>(follow.arg("127.0.0.1").arg(port)).await;
        }
        let mut config = format!(
            "sentinel monitor {NAME} 127.0.0.1 {port} 2\n\
             sentinel down-after-milliseconds {NAME} {}\n\
             sentinel failover-timeout {NAME} 5000\n\
             sentinel parallel-syncs {NAME} 2\n",
            settings.down_after.as_millis()
        );
        if let Some(password) = password {
            let _ = writeln!(config, "sentinel auth-pass {NAME} {password}");
        }
        if let Some(password) = sentinel_password {
            let _ = writeln!(config, "sentinel sentinel-pass {password}");
        }
        let mut sentinels = Vec::new();
        for _ in 0..3 {
            let mut builder = settings.builder().sentinel(&config);
            if let Some(password) = sentinel_password {
                builder = builder.password(password);
            }
            sentinels.push(builder.start().await);
        }
        let all = Self { servers, sentinels };
        all.settled().await;
        all
    }

    /// Waits until all servers run, replicas follow the master, and all sentinels know all of it.
    pub async fn settled(&self) {
        until(LIMIT, "the sentinels know all", async || {
            let Some(master) = self.agreed().await else {
                return false;
            };
            let replication: String = self.servers[master]
                .ask(cmd("INFO").arg("replication"))
                .await;
            if replication.matches("state=online").count() < 2 {
                return false;
            }
            for sentinel in &self.sentinels {
                let info: String = sentinel.ask(cmd("INFO").arg("sentinel")).await;
                if !info.contains("status=ok") || !info.contains("slaves=2,sentinels=3") {
                    return false;
                }
            }
            true
        })
        .await;
    }

    /// The name of the master.
    #[must_use]
    pub fn name(&self) -> &'static str {
        NAME
    }

    /// The urls of the sentinels, with the servers' password if they have one.
    #[must_use]
    pub fn urls(&self) -> Vec<String> {
        let password = self.servers[0].password();
        let url = |sentinel: &Server| match (sentinel.port_with_tls(), password) {
            (Some(port), _) => format!("rediss://127.0.0.1:{port}"),
            (None, Some(password)) => sentinel.url_with_password(password),
            (None, None) => sentinel.url_without_password(),
        };
        self.sentinels.iter().map(url).collect()
    }

    /// A server: the master or a replica.
    #[must_use]
    pub fn server(&self, number: usize) -> &Server {
        &self.servers[number]
    }

    /// A sentinel.
    #[must_use]
    pub fn sentinel(&self, number: usize) -> &Server {
        &self.sentinels[number]
    }

    /// The master by its number, once the running sentinels agree and it says so itself.
    pub async fn master(&self) -> usize {
        until_some(LIMIT, "there is a master", async || self.agreed().await).await
    }

    async fn agreed(&self) -> Option<usize> {
        let mut named = None;
        for sentinel in self
            .sentinels
            .iter()
            .filter(|sentinel| sentinel.is_running())
        {
            let port = named_by(sentinel).await?;
            if *named.get_or_insert(port) != port {
                return None;
            }
        }
        let number = self
            .servers
            .iter()
            .position(|server| Some(port(server)) == named)?;
        let server = &self.servers[number];
        if !server.is_running() {
            return None;
        }
        let role: Vec<redis::Value> = server.control.query(&cmd("ROLE")).await.ok()?;
        let role: String = redis::from_redis_value(role.into_iter().next()?).ok()?;
        (role == "master").then_some(number)
    }

    /// Has the sentinels promote a replica, by command: the new master.
    pub async fn fail_over(&self) -> usize {
        let old = self.master().await;
        let port = port(&self.servers[old]);
        until_some(
            LIMIT,
            "another server is the master by command",
            async || {
                // Ordered again, since sentinels may give a failover up, and refused while one is under way.
                if named_by(&self.sentinels[0]).await == Some(port) {
                    let mut order = subcommand("FAILOVER");
                    let control = &self.sentinels[0].control;
                    let _ = control.query::<()>(order.arg(NAME)).await;
                }
                self.agreed().await.filter(|master| *master != old)
            },
        )
        .await
    }

    /// Kills the master (SIGKILL): which one it was.
    pub async fn kill_master(&self) -> usize {
        let master = self.master().await;
        self.servers[master].kill();
        master
    }

    /// Waits until another server is the master: which one.
    pub async fn another_master(&self, old: usize) -> usize {
        until_some(LIMIT, "another server is the master", async || {
            self.agreed().await.filter(|master| *master != old)
        })
        .await
    }
}

/// The port of the server that this sentinel takes for the master.
async fn named_by(sentinel: &Server) -> Option<u16> {
    let mut question = subcommand("GET-MASTER-ADDR-BY-NAME");
    let answer = sentinel.control.query(question.arg(NAME)).await;
    let (_, port): (String, u16) = answer.ok()?;
    Some(port)
}

/// Where servers and sentinels find this one.
fn port(server: &Server) -> u16 {
    server.port_with_tls().unwrap_or(server.port())
}

fn subcommand(name: &str) -> Cmd {
    let mut command = cmd("SENTINEL");
    command.arg(name);
    command
}

#[cfg(test)]
mod tests {
    use super::Sentinels;

    #[tokio::test]
    async fn the_master_moves_by_command_and_when_killed() {
        let sentinels = Sentinels::start().await;
        let first = sentinels.master().await;
        let second = sentinels.fail_over().await;
        assert_ne!(first, second);
        sentinels.settled().await;
        assert_eq!(sentinels.kill_master().await, second);
        assert_ne!(sentinels.another_master(second).await, second);
        sentinels.server(second).restart().await;
        sentinels.settled().await;
    }
}
