//! Which servers are meant, for looking at locks and for taking them.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use redis_locked_runtime::{LockError, Locker, LockerBuilder};

use crate::duration::positive;
use crate::exit::Failure;
use crate::servers::{Servers, Topology};

/// The heading of these options in the help.
pub(crate) const SERVERS: &str = "Servers";

#[derive(Debug, Args)]
#[command(next_help_heading = SERVERS)]
pub(crate) struct Connection {
    /// The server, as in `redis://user:password@host:6379/0`, or `rediss://…` for TLS; several, or
    /// with commas between them, with --cluster, --quorum and --sentinel
    #[arg(
        long = "url",
        env = "REDIS_URL",
        hide_env_values = true,
        required = true,
        value_delimiter = ',',
        value_name = "URL"
    )]
    urls: Vec<String>,
    /// The URLs are of some nodes of a Redis Cluster
    #[arg(long, conflicts_with_all = ["quorum", "sentinel"])]
    cluster: bool,
    /// The URLs are of independent servers; a lock is held while more than half of them have it
    #[arg(long, conflicts_with = "sentinel")]
    quorum: bool,
    /// The URLs are of sentinels, with the credentials of the servers; NAME is the master they watch
    #[arg(long, value_name = "NAME")]
    sentinel: Option<String>,
    /// The sentinels' own user; without it, they get the password alone
    #[arg(long, requires = "sentinel_password", value_name = "USER")]
    sentinel_user: Option<String>,
    /// The sentinels' own password
    #[arg(
        long,
        env = "REDIS_SENTINEL_PASSWORD",
        hide_env_values = true,
        requires = "sentinel",
        value_name = "PASSWORD"
    )]
    sentinel_password: Option<String>,
    /// Whom to trust with `rediss://`: certificates in PEM form; by default whom the system trusts
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// The client's certificate, in PEM form, where servers ask for one
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_cert: Option<PathBuf>,
    /// The key of the client's certificate, in PEM form
    #[arg(long, value_name = "FILE", requires = "client_cert")]
    client_key: Option<PathBuf>,
    /// What is put before each key in Redis, as the programs' lockers do
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) prefix: String,
    /// How long connecting to a server may take, and its answer
    #[arg(long, value_name = "DURATION", default_value = "2s", value_parser = positive)]
    timeout: Duration,
}

impl Connection {
    fn topology(&self) -> Result<Topology, Failure> {
        match &self.sentinel {
            Some(master) => Ok(Topology::Sentinel(master.clone())),
            None if self.cluster => Ok(Topology::Cluster),
            None if self.quorum => Ok(Topology::Quorum),
            None if self.urls.len() == 1 => Ok(Topology::One),
            None => Err(Failure::usage(format_args!(
                "{} URLs were given; say by --cluster, --quorum or --sentinel NAME what they are of",
                self.urls.len()
            ))),
        }
    }

    pub(crate) fn is_quorum(&self) -> bool {
        self.quorum
    }

    /// The servers, to look at.
    pub(crate) fn servers(&self) -> Result<Servers, Failure> {
        Servers::new(&self.builder()?, &self.topology()?, &self.urls)
    }

    /// A locker on these servers.
    pub(crate) async fn locker(
        &self,
        settings: impl FnOnce(LockerBuilder) -> LockerBuilder,
    ) -> Result<Locker, Failure> {
        let builder = settings(self.builder()?);
        let connected: Result<Locker, LockError> = match self.topology()? {
            Topology::One => builder.connect(&self.urls[0]).await,
            Topology::Quorum => builder.connect_quorum(&self.urls).await,
            Topology::Cluster => builder.connect_cluster(&self.urls).await,
            Topology::Sentinel(master) => builder.connect_sentinel(&self.urls, &master).await,
        };
        Ok(connected?)
    }

    fn builder(&self) -> Result<LockerBuilder, Failure> {
        let mut builder = Locker::builder()
            .prefix(self.prefix.as_str())
            .connection_timeout(self.timeout)
            .response_timeout(self.timeout);
        if let Some(password) = &self.sentinel_password {
            builder = builder.sentinel_login(self.sentinel_user.as_deref(), password);
        }
        if let Some(ca) = &self.ca {
            builder = builder.root_certificate(read(ca)?);
        }
        if let (Some(certificate), Some(key)) = (&self.client_cert, &self.client_key) {
            builder = builder.client_certificate(read(certificate)?, read(key)?);
        }
        Ok(builder)
    }
}

fn read(path: &PathBuf) -> Result<Vec<u8>, Failure> {
    fs::read(path)
        .map_err(|error| Failure::usage(format_args!("{} cannot be read: {error}", path.display())))
}
