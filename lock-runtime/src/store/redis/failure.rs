//! Why Redis could not answer, in words for the one who is on call.

use std::sync::Arc;

use redis::{ErrorKind, RedisError, ServerErrorKind};

#[cfg(feature = "tls")]
use super::certificates;
use super::script::Script;
use super::settings::Replicas;
use crate::store::failure::{StoreError, plain};

pub(super) fn too_few_replicas(confirmed: i64, wanted: Replicas) -> StoreError {
    let Replicas { count, timeout } = wanted;
    StoreError {
        happened: format!(
            "only {confirmed} of {count} replicas confirmed the lock within {timeout:?}"
        ),
        advice: "check that the replicas are connected and keep up, or ask for fewer",
        may_pass: true,
        source: plain("too few replicas"),
    }
}

impl From<RedisError> for StoreError {
    fn from(error: RedisError) -> Self {
        let (happened, advice) = describe(&error);
        Self {
            happened,
            advice,
            may_pass: may_pass(&error),
            source: Arc::new(error),
        }
    }
}

fn describe(error: &RedisError) -> (String, &'static str) {
    let said = |what: &str| what.to_owned();
    #[cfg(feature = "tls")]
    if let Some(described) = certificates::describe(error) {
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

/// What Redis says when the user may not run a command of a script; its code is a mere `ERR`. What
/// the script did before is done.
pub(super) fn refused_in_script(error: &RedisError) -> Option<&str> {
    let words = error.detail()?;
    let is_refusal =
        words.contains("ACL failure in script") || words.contains("The user executing the script");
    is_refusal.then_some(words)
}

/// Whether asking again may help.
pub(super) fn may_pass(error: &RedisError) -> bool {
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
