//! Why Redis could not answer, in words for the one who is on call.

use std::error::Error;
use std::sync::Arc;

use redis::{ErrorKind, RedisError, ServerErrorKind};

#[cfg(any(feature = "cluster", feature = "sentinel"))]
use super::address_map::{self, NobodyThere};
use super::cause::causes;
#[cfg(feature = "tls")]
use super::certificates;
use super::credentials::NoCredentials;
use super::not_redis::NotRedis;
use super::refusal::{has_too_many_clients, is_final, refused_in_script};
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

impl StoreError {
    /// What redis-rs said, if it was that.
    pub(super) fn redis(&self) -> Option<&RedisError> {
        self.source.downcast_ref()
    }
}

impl From<RedisError> for StoreError {
    fn from(error: RedisError) -> Self {
        let (happened, advice) = describe(&error);
        let may_pass = !is_final(&error);
        Self {
            happened,
            advice,
            may_pass,
            source: untold(error),
        }
    }
}

/// The cause, less the layers that [`describe`] has told already: they would be printed again.
fn untold(error: RedisError) -> Arc<dyn Error + Send + Sync> {
    #[cfg(any(feature = "cluster", feature = "sentinel"))]
    if let Some(nobody) = causes(&error).find_map(|cause| cause.downcast_ref::<NobodyThere>()) {
        return untold(nobody.source.clone());
    }
    if let Some(none) = causes(&error).find_map(|cause| cause.downcast_ref::<NoCredentials>()) {
        return Arc::clone(&none.0);
    }
    if causes(&error).any(<dyn Error>::is::<NotRedis>) {
        return plain("no answer in Redis' protocol");
    }
    Arc::new(error)
}

fn describe(error: &RedisError) -> (String, &'static str) {
    let said = |what: &str| what.to_owned();
    if let Some(described) = describe_cause(error) {
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
    if has_too_many_clients(error) {
        return (
            format!("Redis takes no more connections ({})", words_of(error)),
            "raise its maxclients, or find out who keeps so many connections open",
        );
    }
    match error.kind() {
        ErrorKind::Io => (
            said("Redis could not be reached"),
            "check the configured address and the network",
        ),
        ErrorKind::AuthenticationFailed => (
            said("Redis refused the user name or the password"),
            "check the credentials in the URL, or what the locker's `credentials` gives",
        ),
        #[cfg(not(feature = "tls"))]
        ErrorKind::InvalidClientConfig if error.to_string().contains("TLS") => (
            said("the URL asks for TLS, which this build does not have"),
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
        ErrorKind::RESP3NotSupported => (
            said("Redis does not speak RESP3, which it needs to report changed keys"),
            "upgrade it to 6 or later, or let its user say HELLO",
        ),
        ErrorKind::MasterNameNotFoundBySentinel => (
            said("the sentinels watch no master of this name"),
            "check the name against `sentinel monitor` in their configuration",
        ),
        _ => by_code(error),
    }
}

/// For errors that are about getting there, and in.
fn describe_cause(error: &RedisError) -> Option<(String, &'static str)> {
    #[cfg(any(feature = "cluster", feature = "sentinel"))]
    if let Some(nobody) = causes(error).find_map(|cause| cause.downcast_ref::<NobodyThere>()) {
        let (happened, _) = describe(&nobody.source);
        let happened = format!("{}, and there {happened}", nobody.announced);
        return Some((happened, address_map::ADVICE));
    }
    if let Some(none) = causes(error).find_map(|cause| cause.downcast_ref::<NoCredentials>()) {
        return Some((format!("{none} ({})", none.0), NoCredentials::ADVICE));
    }
    if let Some(other) = causes(error).find_map(|cause| cause.downcast_ref::<NotRedis>()) {
        return Some((other.to_string(), other.advice()));
    }
    #[cfg(feature = "tls")]
    if let Some(described) = certificates::describe(error) {
        return Some(described);
    }
    #[cfg(any(feature = "cluster", feature = "sentinel"))]
    if let Some((address, _)) = error.redirect_node() {
        let happened = "which can't be reached";
        let happened = format!("the cluster announces the key's node at {address}, {happened}");
        return Some((happened, address_map::ADVICE));
    }
    None
}

/// For errors that redis-rs has no kind for.
fn by_code(error: &RedisError) -> (String, &'static str) {
    let said = |what: &str| what.to_owned();
    match error.code() {
        Some("OOM") => (
            said("Redis is out of memory (OOM)"),
            "raise its maxmemory or free some of it",
        ),
        Some("NOREPLICAS") => (
            said("Redis has too few replicas to take writes (NOREPLICAS)"),
            "check its replicas and `min-replicas-to-write`; give the request `retries` that \
                 outlast a failover",
        ),
        Some("BUSY") => (
            said("Redis is busy with somebody's script (BUSY)"),
            "wait until it has ended, or end it with SCRIPT KILL",
        ),
        Some("MISCONF") => (
            said("Redis takes no writes since it can't save its data (MISCONF)"),
            "check its disk and its log",
        ),
        Some("NOAUTH") => (
            said("Redis asks for a password (NOAUTH)"),
            "put the credentials into the URL, or give the locker `credentials`",
        ),
        Some("WRONGPASS") => (
            format!(
                "Redis refuses the credentials of this connection ({})",
                words_of(error)
            ),
            "check the user, and the locker's `credentials` if they change",
        ),
        Some(_) => (
            format!("Redis answered with the error {}", words_of(error)),
            "look up its words in the documentation of the server, or of what stands before it",
        ),
        None => (
            format!("the Redis client failed ({})", error.category()),
            "see the cause for its words",
        ),
    }
}

/// What the server said: escaped, since anything may stand there, and cut.
fn words_of(error: &RedisError) -> String {
    let words = [error.code(), error.detail()];
    let words = words.into_iter().flatten().collect::<Vec<_>>().join(" ");
    words
        .chars()
        .take(100)
        .flat_map(char::escape_debug)
        .collect()
}
