//! Finding the master that a group of sentinels watches.
//!
//! Each time a connection is opened, all sentinels are asked side by side, and the master named by
//! the newest of the answers of a majority is taken (<https://redis.io/docs/latest/develop/reference/sentinel-clients/>).
//! redis-rs' own client takes the first sentinel's word and waits for each with time limits that
//! cannot be set, so that a sentinel that hangs, or was cut off from the others before a failover,
//! would hold up or mislead every connection.

use std::collections::HashMap;
use std::fmt;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use redis::aio::MultiplexedConnection;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, ErrorKind,
    IntoConnectionInfo as _, ProtocolVersion, RedisConnectionInfo, RedisError, RedisResult, Role,
    ServerErrorKind,
};
use tokio::time::timeout;

use super::access::Access;
use super::connect::Server;
use super::credentials::Credentials;
use super::settings::Timeouts;
use super::tls::elsewhere;

/// The sentinels, and what is needed to connect to the servers that they watch.
#[derive(Clone)]
pub(crate) struct Sentinels {
    addresses: Vec<ConnectionInfo>,
    /// Credentials and database of the servers.
    settings: RedisConnectionInfo,
    access: Access,
    master: String,
    timeouts: Timeouts,
}

impl Sentinels {
    /// At least one URL.
    pub(crate) fn new<U: AsRef<str>>(
        urls: impl IntoIterator<Item = U>,
        login: Option<&Credentials>,
        master: &str,
        access: &Access,
        timeouts: Timeouts,
    ) -> RedisResult<Self> {
        let nobody = RedisConnectionInfo::default();
        let to_sentinel = match login {
            Some(login) => login.applied_to(&nobody),
            None => nobody,
        };
        let mut settings = None;
        let addresses = urls
            .into_iter()
            .map(|url| {
                let info = access.parse(url.as_ref())?;
                settings.get_or_insert_with(|| info.redis_settings().clone());
                Ok(info
                    .set_redis_settings(to_sentinel.clone())
                    .set_tcp_settings(timeouts.tcp()))
            })
            .collect::<RedisResult<Vec<_>>>()?;
        let settings = settings.ok_or((ErrorKind::EmptySentinelList, "no sentinel is given"))?;
        Ok(Self {
            addresses,
            settings,
            access: access.clone(),
            master: master.to_owned(),
            timeouts,
        })
    }

    /// The same, for connections on which the master tells of changed keys.
    pub(super) fn with_pushes(&self) -> Self {
        Self {
            settings: self.settings.clone().set_protocol(ProtocolVersion::RESP3),
            ..self.clone()
        }
    }

    /// Connects to the master, within the connection timeout.
    pub(super) async fn connect(
        &self,
        config: &AsyncConnectionConfig,
    ) -> RedisResult<MultiplexedConnection> {
        let limit = self.timeouts.connection;
        let connecting = async {
            let mut connection = self.find_master().await?.master.connect(config).await?;
            match redis::cmd("ROLE").query_async(&mut connection).await? {
                Role::Primary { .. } => Ok(connection),
                // The sentinels do not know of a failover yet, or the server does not.
                _ => Err(RedisError::from((
                    ErrorKind::Server(ServerErrorKind::ReadOnly),
                    "the server that the sentinels name is no master",
                ))),
            }
        };
        timeout(limit, connecting)
            .await
            .unwrap_or_else(|_| Err(late("no master was found in time")))
    }

    async fn find_master(&self) -> RedisResult<Announced> {
        let mut asked: FuturesUnordered<_> = self
            .addresses
            .iter()
            // Half, so that there is time left to connect to the master that the others name.
            .map(|sentinel| self.ask(sentinel, self.timeouts.connection / 2))
            .collect();
        let mut answers = 0;
        let mut newest: Option<Announced> = None;
        let mut failed = None;
        while let Some(answer) = asked.next().await {
            match answer {
                Ok(named) => {
                    answers += 1;
                    if newest
                        .as_ref()
                        .is_none_or(|newest| named.epoch > newest.epoch)
                    {
                        newest = Some(named);
                    }
                    if 2 * answers > self.addresses.len() {
                        break;
                    }
                }
                Err(error) => failed = Some(error),
            }
        }
        match (newest, failed) {
            (Some(named), _) => Ok(named),
            (None, Some(error)) => Err(error),
            (None, None) => Err((ErrorKind::EmptySentinelList, "no sentinel is given").into()),
        }
    }

    async fn ask(&self, sentinel: &ConnectionInfo, limit: Duration) -> RedisResult<Announced> {
        let (connection, response) = (limit, limit);
        let config = Timeouts {
            connection,
            response,
        }
        .config();
        let asking = async {
            let access = self.access.clone().without_credentials();
            let client = Client::open(access.complete(sentinel).await?)?;
            let mut connection = client
                .get_multiplexed_async_connection_with_config(&config)
                .await?;
            // While the others still follow its failover, the sentinel that leads it answers
            // `MASTER` with the old address and the new epoch.
            let mut question = redis::pipe();
            for name in ["MASTER", "GET-MASTER-ADDR-BY-NAME"] {
                question.cmd("SENTINEL").arg(name).arg(&self.master);
            }
            let (fields, (host, port)): (HashMap<String, String>, (String, u16)) = question
                .query_async(&mut connection)
                .await
                .map_err(|error| self.explain(error))?;
            let epoch = fields.get("config-epoch");
            let epoch = epoch.and_then(|epoch| epoch.parse().ok()).unwrap_or(0);
            self.named(epoch, host, port, sentinel.addr())
        };
        timeout(limit, asking)
            .await
            .unwrap_or_else(|_| Err(late("a sentinel did not answer in time")))
    }

    fn explain(&self, error: RedisError) -> RedisError {
        // The error of a pipeline has no details; the first of its commands' errors has.
        let first = error.clone().into_server_errors();
        let first = first.and_then(|errors| Some(errors.first()?.1.clone()));
        let error = first.map_or(error, RedisError::from);
        if error.to_string().contains("No such master") {
            let (kind, name) = (ErrorKind::MasterNameNotFoundBySentinel, self.master.clone());
            (kind, "the sentinels watch no master of this name", name).into()
        } else {
            error
        }
    }

    fn named(
        &self,
        epoch: u64,
        host: String,
        port: u16,
        sentinel: &ConnectionAddr,
    ) -> RedisResult<Announced> {
        let announced = format!("the sentinels announce the master at {host}:{port}");
        let (host, port) = self.access.addresses.reach(host, port);
        let master = elsewhere(sentinel, host, port)
            .into_connection_info()?
            .set_redis_settings(self.settings.clone())
            .set_tcp_settings(self.timeouts.tcp());
        let master = Server::new(master, self.access.clone(), self.timeouts.connection);
        Ok(Announced {
            epoch,
            master: master.announced(announced),
        })
    }
}

/// The master, as a sentinel knows it.
struct Announced {
    /// Grows with each failover.
    epoch: u64,
    master: Server,
}

impl fmt::Debug for Sentinels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the Redis master {:?} of the sentinels at", self.master)?;
        for (number, sentinel) in self.addresses.iter().enumerate() {
            let comma = if number == 0 { "" } else { "," };
            write!(f, "{comma} {}", sentinel.addr())?;
        }
        Ok(())
    }
}

fn late(what: &'static str) -> RedisError {
    std::io::Error::new(std::io::ErrorKind::TimedOut, what).into()
}
