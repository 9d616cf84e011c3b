//! Which servers are meant, for looking at locks and for taking them.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use redis_locked_runtime::{LockError, Locker, LockerBuilder};

use crate::duration::positive;
use crate::exit::Failure;
use crate::servers::{Kind, Login, Servers};

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

/// The content of a file.
type Pem = Vec<u8>;

impl Connection {
    fn kind(&self) -> Result<Kind, Failure> {
        match &self.sentinel {
            Some(master) => Ok(Kind::Sentinel {
                master: master.clone(),
                login: self.sentinel_password.clone().map(|password| Login {
                    user: self.sentinel_user.clone(),
                    password,
                }),
            }),
            None if self.cluster => Ok(Kind::Cluster),
            None if self.quorum => Ok(Kind::Quorum),
            None if self.urls.len() == 1 => Ok(Kind::One),
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
        let certificates = redis::TlsCertificates {
            root_cert: self.ca.as_ref().map(read).transpose()?,
            client_tls: self
                .client()?
                .map(|(client_cert, client_key)| redis::ClientTlsConfig {
                    client_cert,
                    client_key,
                }),
        };
        Servers::new(self.kind()?, &self.urls, &certificates, self.timeout)
    }

    /// A locker on these servers.
    pub(crate) async fn locker(
        &self,
        settings: impl FnOnce(LockerBuilder) -> LockerBuilder,
    ) -> Result<Locker, Failure> {
        let mut builder = settings(Locker::builder())
            .prefix(self.prefix.as_str())
            .connection_timeout(self.timeout)
            .response_timeout(self.timeout);
        if let Some(ca) = &self.ca {
            builder = builder.root_certificate(read(ca)?);
        }
        if let Some((certificate, key)) = self.client()? {
            builder = builder.client_certificate(certificate, key);
        }
        let connected: Result<Locker, LockError> = match self.kind()? {
            Kind::One => builder.connect(&self.urls[0]).await,
            Kind::Quorum => builder.connect_quorum(&self.urls).await,
            Kind::Cluster => builder.connect_cluster(&self.urls).await,
            Kind::Sentinel { master, login } => {
                if let Some(Login { user, password }) = login {
                    builder = builder.sentinel_login(user.as_deref(), &password);
                }
                builder.connect_sentinel(&self.urls, &master).await
            }
        };
        Ok(connected?)
    }

    fn client(&self) -> Result<Option<(Pem, Pem)>, Failure> {
        match (&self.client_cert, &self.client_key) {
            (Some(certificate), Some(key)) => Ok(Some((read(certificate)?, read(key)?))),
            _ => Ok(None),
        }
    }
}

fn read(path: &PathBuf) -> Result<Pem, Failure> {
    fs::read(path)
        .map_err(|error| Failure::usage(format_args!("{} cannot be read: {error}", path.display())))
}
