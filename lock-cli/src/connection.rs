//! Which servers are meant, for looking at locks and for taking them.

use std::env::{self, VarError};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use redis_locked_runtime::{LockError, Locker, LockerBuilder};

use crate::duration::answer_time;
use crate::exit::Failure;
use crate::servers::{Servers, Topology};

/// The heading of these options in the help.
pub(crate) const SERVERS: &str = "Servers";

#[derive(Debug, Args)]
#[command(next_help_heading = SERVERS)]
pub(crate) struct Connection {
    /// The server, such as `redis://user:password@host:6379/0`, or `rediss://…` for TLS. With --cluster,
    /// --quorum and --sentinel: several servers, by several --url or with commas between the URLs. By
    /// default, the variable `REDIS_URL`
    #[arg(long = "url", value_name = "URL")]
    urls: Vec<String>,
    /// The URLs lead to some nodes of a Redis Cluster
    #[arg(long, conflicts_with_all = ["quorum", "sentinel"])]
    cluster: bool,
    /// The URLs lead to independent servers. A lock is held while more than half of them have it
    #[arg(long, conflicts_with = "sentinel")]
    quorum: bool,
    /// The URLs lead to sentinels, and have the credentials of the servers. NAME is the master that the
    /// sentinels watch
    #[arg(long, value_name = "NAME")]
    sentinel: Option<String>,
    /// The user for the sentinels themselves. Without it, they get the password alone
    #[arg(long, requires = "sentinel", value_name = "USER")]
    sentinel_user: Option<String>,
    /// The password for the sentinels themselves. By default, the variable `REDIS_SENTINEL_PASSWORD`
    #[arg(long, requires = "sentinel", value_name = "PASSWORD")]
    sentinel_password: Option<String>,
    /// The certificate authorities to trust with `rediss://`, in PEM form. By default, those of the system
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The client's certificate, in PEM form, if the servers ask for one
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_cert: Option<PathBuf>,
    /// The key of the client's certificate, in PEM form
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    client_key: Option<PathBuf>,
    /// How to reach a server that sentinels or a cluster announce at an address which leads nowhere from
    /// here. Give it once for each server
    #[arg(long, value_name = "ANNOUNCED=REACHABLE", value_parser = mapped)]
    address_map: Vec<(String, String)>,
    /// The prefix of all keys in Redis, as in the programs' lockers. KEY is given without it
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) prefix: String,
    /// How long connecting to a server may take, and its answer
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = answer_time)]
    timeout: Duration,
}

impl Connection {
    fn urls(&self) -> Result<Vec<String>, Failure> {
        let variable = match self.urls.as_slice() {
            [] => variable("REDIS_URL")?,
            _ => None,
        };
        let urls: Vec<_> = self.urls.iter().chain(&variable).collect();
        if urls.is_empty() {
            return Err(Failure::usage(
                "no server is named: give --url, or set REDIS_URL",
            ));
        }
        Ok(urls.into_iter().flat_map(|urls| divided(urls)).collect())
    }

    fn topology(&self, urls: &[String]) -> Result<Topology, Failure> {
        match &self.sentinel {
            Some(master) => Ok(Topology::Sentinel(master.clone())),
            None if self.cluster => Ok(Topology::Cluster),
            None if self.quorum => Ok(Topology::Quorum),
            None if urls.len() == 1 => Ok(Topology::One),
            None => Err(Failure::usage(format_args!(
                "{} URLs were given: add --cluster, --quorum or --sentinel NAME, to say what they lead to",
                urls.len()
            ))),
        }
    }

    pub(crate) fn is_quorum(&self) -> bool {
        self.quorum
    }

    /// The servers, to look at.
    pub(crate) fn servers(&self) -> Result<Servers, Failure> {
        let urls = self.urls()?;
        Servers::new(&self.builder()?, &self.topology(&urls)?, &urls)
    }

    /// A locker on these servers.
    pub(crate) async fn locker(
        &self,
        settings: impl FnOnce(LockerBuilder) -> LockerBuilder,
    ) -> Result<Locker, Failure> {
        let builder = settings(self.builder()?);
        let urls = self.urls()?;
        let connected: Result<Locker, LockError> = match self.topology(&urls)? {
            Topology::One => builder.connect(&urls[0]).await,
            Topology::Quorum => builder.connect_quorum(urls).await,
            Topology::Cluster => builder.connect_cluster(urls).await,
            Topology::Sentinel(master) => builder.connect_sentinel(urls, &master).await,
        };
        Ok(connected?)
    }

    fn sentinel_password(&self) -> Result<Option<String>, Failure> {
        match &self.sentinel_password {
            Some(password) => Ok(Some(password.clone())),
            None => variable("REDIS_SENTINEL_PASSWORD"),
        }
    }

    fn builder(&self) -> Result<LockerBuilder, Failure> {
        let mut builder = Locker::builder()
            .prefix(self.prefix.as_str())
            .address_map(self.address_map.iter().cloned())
            .connection_timeout(self.timeout)
            .response_timeout(self.timeout);
        if self.sentinel.is_some() {
            let user = self.sentinel_user.as_deref();
            match (user, self.sentinel_password()?) {
                (_, Some(password)) => builder = builder.sentinel_login(user, &password),
                (None, None) => {}
                (Some(_), None) => {
                    return Err(Failure::usage(
                        "--sentinel-user has no password: give --sentinel-password, or set \
                         REDIS_SENTINEL_PASSWORD",
                    ));
                }
            }
        }
        if let Some(ca) = &self.ca {
            builder = builder.root_certificate_file(ca);
        }
        if let (Some(certificate), Some(key)) = (&self.client_cert, &self.client_key) {
            builder = builder.client_certificate_files(certificate, key);
        }
        Ok(builder)
    }
}

/// Two addresses, as in `172.18.0.2:6379=redis.example.com:7001`.
fn mapped(text: &str) -> Result<(String, String), String> {
    let both = text.split_once('=').filter(|(announced, reachable)| {
        let is_address = |text: &str| {
            text.rsplit_once(':')
                .is_some_and(|(_, port)| port.parse::<u16>().is_ok())
        };
        is_address(announced) && is_address(reachable)
    });
    let (announced, reachable) = both.ok_or("write host:port=host:port")?;
    Ok((announced.to_owned(), reachable.to_owned()))
}

/// A variable of the environment. An empty one means nothing.
fn variable(name: &str) -> Result<Option<String>, Failure> {
    match env::var(name) {
        Ok(value) => Ok(Some(value).filter(|value| !value.is_empty())),
        Err(VarError::NotPresent) => Ok(None),
        Err(VarError::NotUnicode(_)) => Err(Failure::usage(format_args!(
            "the variable {name} is not text in UTF-8; set it anew"
        ))),
    }
}

/// The URLs in a text with commas between them. Behind a comma in a password, no URL begins.
fn divided(text: &str) -> Vec<String> {
    let mut urls: Vec<String> = Vec::new();
    for piece in text.split(',') {
        match urls.last_mut() {
            Some(url) if !begins_url(piece) => url.extend([",", piece]),
            _ => urls.push(piece.trim().to_owned()),
        }
    }
    urls
}

fn begins_url(text: &str) -> bool {
    let scheme = text
        .trim_start()
        .split_once("://")
        .map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| {
        let mut letters = scheme.bytes();
        let is_of_one = |letter: u8| letter.is_ascii_alphanumeric() || b"+-.".contains(&letter);
        !scheme.is_empty() && letters.all(is_of_one)
    })
}
