//! Why a store could not answer, in words for the one who is on call.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::redis::{Replicas, Script};
use redis::{ErrorKind, RedisError, ServerErrorKind};

/// A store that did not do what it was asked.
#[derive(Debug, Clone)]
pub(crate) struct StoreError {
    /// What happened, as the end of a sentence that begins with "because".
    pub(crate) happened: String,
    /// What the reader should do.
    pub(crate) advice: &'static str,
    /// Whether asking again may help.
    pub(crate) may_pass: bool,
    /// Whether the command may have been carried out, or may still be.
    pub(crate) unresolved: bool,
    pub(crate) source: Arc<dyn Error + Send + Sync>,
}

impl StoreError {
    pub(crate) fn unexpected(answer: &dyn fmt::Debug) -> Self {
        Self {
            happened: "the store gave an answer that no lock script gives".to_owned(),
            advice: "check that nothing between here and Redis rewrites answers",
            may_pass: false,
            unresolved: true,
            source: plain(format!("unexpected answer {answer:?}")),
        }
    }
}

impl StoreError {
    pub(crate) fn late(patience: Duration) -> Self {
        Self {
            happened: format!("no answer within {patience:.1?}"),
            advice: "check its load and the network, or raise the locker's timeouts",
            may_pass: true,
            unresolved: true,
            source: plain("no answer in time"),
        }
    }

    /// The same, with the name of one of several servers.
    pub(crate) fn of(self, server: &dyn fmt::Debug) -> Self {
        Self {
            happened: format!("{server:?}: {}", self.happened),
            ..self
        }
    }

    /// So many of these servers failed that the rest decides nothing.
    pub(crate) fn no_majority(mut errors: Vec<Self>, servers: usize) -> Self {
        let failed = errors.len();
        let each: Vec<_> = errors.iter().map(|error| error.happened.as_str()).collect();
        let happened = format!(
            "{failed} of {servers} servers failed, and without them there is no majority ({})",
            each.join("; ")
        );
        let unresolved = errors.iter().any(|error| error.unresolved);
        let may_pass = errors.iter().any(|error| error.may_pass);
        let source: Arc<dyn Error + Send + Sync> = match errors.pop() {
            Some(error) => Arc::new(error),
            None => plain("no server answered"),
        };
        Self {
            happened,
            advice: "check the servers; a lock needs more than half of them",
            may_pass,
            unresolved,
            source,
        }
    }

    pub(crate) fn too_few_replicas(confirmed: i64, wanted: Replicas) -> Self {
        let Replicas { count, timeout } = wanted;
        Self {
            happened: format!(
                "only {confirmed} of {count} replicas confirmed the lock within {timeout:?}"
            ),
            advice: "check that the replicas are connected and keep up, or ask for fewer",
            may_pass: true,
            unresolved: true,
            source: plain("too few replicas"),
        }
    }
}

fn plain(text: impl Into<Box<dyn Error + Send + Sync>>) -> Arc<dyn Error + Send + Sync> {
    text.into().into()
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.happened, self.advice)
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}

impl From<RedisError> for StoreError {
    fn from(error: RedisError) -> Self {
        let (happened, advice) = describe(&error);
        Self {
            happened,
            advice,
            may_pass: may_pass(&error),
            // A script may have done a part of its work before it was refused a command.
            unresolved: (error.is_io_error() && !error.is_connection_refusal())
                || refused_in_script(&error).is_some(),
            source: Arc::new(error),
        }
    }
}

fn describe(error: &RedisError) -> (String, &'static str) {
    let said = |what: &str| what.to_owned();
    #[cfg(feature = "tls")]
    if let Some(described) = super::redis::describe_tls(error) {
        return described;
    }
    if error.is_connection_refusal() {
        return (
            said("Redis refused the connection"),
            "check that it is running and reachable at the configured address",
        );
    }
    if error.is_timeout() {
        return (
            said("Redis did not answer in time"),
            "check its load and the network, or raise the locker's timeouts",
        );
    }
    if error.is_connection_dropped() {
        return (
            said("the connection to Redis broke"),
            "check that Redis is up and whether something between closes connections",
        );
    }
    if let Some(words) = refused_in_script(error) {
        let command = Script::command_of(words).unwrap_or("a command");
        return (
            format!("the Redis user lacks a right: a script was refused {command} ({words})"),
            "grant the command and the key pattern to this user",
        );
    }
    match error.kind() {
        ErrorKind::Io => (
            said("Redis could not be reached"),
            "check the configured address and the network",
        ),
        ErrorKind::AuthenticationFailed => (
            said("Redis refused the user name or the password"),
            "check the credentials in the URL",
        ),
        #[cfg(not(feature = "tls"))]
        ErrorKind::InvalidClientConfig if error.to_string().contains("TLS") => (
            said("the URL asks for TLS, which this build has not"),
            "enable the cargo feature `tls` of redis-locked",
        ),
        ErrorKind::InvalidClientConfig => (
            said("the Redis URL or its settings are not usable"),
            "check the URL: redis://[user:password@]host:port[/db]",
        ),
        ErrorKind::Server(ServerErrorKind::BusyLoading) => (
            said("Redis is still loading its data (LOADING)"),
            "wait until it has started, or give the request `retries`",
        ),
        ErrorKind::Server(ServerErrorKind::ReadOnly) => (
            said("this Redis is a replica and takes no writes (READONLY)"),
            "connect to the master; after a failover, check where the address points",
        ),
        ErrorKind::Server(ServerErrorKind::NoPerm) => (
            format!(
                "the Redis user lacks a right (NOPERM: {})",
                error.detail().unwrap_or("no details")
            ),
            "grant the command and the key pattern to this user",
        ),
        ErrorKind::Server(ServerErrorKind::ClusterDown) => (
            said("the cluster does not serve the key's slot (CLUSTERDOWN)"),
            "check its nodes; give the request `retries` that outlast a failover",
        ),
        ErrorKind::Server(
            ServerErrorKind::Moved | ServerErrorKind::Ask | ServerErrorKind::TryAgain,
        )
        | ErrorKind::ClusterConnectionNotFound => (
            said("no node of the cluster that can be reached has the key's slot"),
            "check its nodes; give the request `retries` that outlast a failover",
        ),
        ErrorKind::MasterNameNotFoundBySentinel => (
            said("the sentinels watch no master of this name"),
            "check the name against `sentinel monitor` in their configuration",
        ),
        _ => match error.code() {
            Some("OOM") => (
                said("Redis is out of memory (OOM)"),
                "raise its maxmemory or free some of it",
            ),
            Some("NOAUTH") => (
                said("Redis asks for a password (NOAUTH)"),
                "put the credentials into the URL",
            ),
            Some(code) => (
                format!("Redis answered with the error {code}"),
                "see the cause for its words",
            ),
            None => (
                format!("the Redis client failed ({})", error.category()),
                "see the cause for its words",
            ),
        },
    }
}

/// What Redis says when the user may not run a command of a script; its code is a mere `ERR`.
fn refused_in_script(error: &RedisError) -> Option<&str> {
    let words = error.detail()?;
    let is_refusal =
        words.contains("ACL failure in script") || words.contains("The user executing the script");
    is_refusal.then_some(words)
}

/// Whether asking again may help.
pub(crate) fn may_pass(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Io | ErrorKind::ClusterConnectionNotFound => true,
        ErrorKind::Server(kind) => matches!(
            kind,
            ServerErrorKind::BusyLoading
                | ServerErrorKind::Moved
                | ServerErrorKind::Ask
                | ServerErrorKind::TryAgain
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ReadOnly
        ),
        // UNBLOCKED: the master became a replica while its replicas were waited for.
        _ => matches!(error.code(), Some("OOM" | "UNBLOCKED")),
    }
}
