//! What an error lets us conclude, beside what it means to a reader.

use redis::{ErrorKind, RedisError, ServerErrorKind, Value};

/// The words of an `ERR` that Redis gives to a request which it can't serve as it is. Other words
/// may be anything: Redis has many, and what stands between has its own.
const MALFORMED: &[&str] = &[
    "unknown command",
    "unknown subcommand",
    "wrong number of arguments",
    "syntax error",
    "invalid expire",
    "not an integer or out of range",
    "db index is out of range",
    "error compiling script",
    // Before Redis 7, a script that fails has only this code.
    "wrongtype",
];

/// The error that stands for an answer.
pub(super) fn error_of(answer: &Value) -> Option<RedisError> {
    match answer {
        Value::ServerError(error) => Some(error.clone().into()),
        _ => None,
    }
}

/// Whether no later answer to the same can be another one. All else may pass: there is no end to
/// what a server, or something before it, says for a second.
pub(super) fn is_final(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::InvalidClientConfig
        | ErrorKind::UnexpectedReturnType
        | ErrorKind::RESP3NotSupported
        | ErrorKind::MasterNameNotFoundBySentinel
        | ErrorKind::EmptySentinelList
        | ErrorKind::Server(ServerErrorKind::CrossSlot) => true,
        ErrorKind::Server(ServerErrorKind::ResponseError) => says(error, MALFORMED),
        _ => error.code() == Some("WRONGTYPE"),
    }
}

/// Whether Redis answered that it has not done anything of what it was asked.
///
/// The error of a proxy says nothing of what the server behind it did, and a script may have done a
/// part of its work before it failed. Redis looks at its memory, its disk and its replicas before
/// the first write of a script.
pub(super) fn is_untouched(error: &RedisError) -> bool {
    let by_code = match error.kind() {
        ErrorKind::Server(ServerErrorKind::ResponseError) => is_final(error),
        ErrorKind::Server(_) => true,
        _ => matches!(error.code(), Some("WRONGTYPE" | "BUSY")) || has_forgotten_us(error),
    };
    let before_writing = matches!(
        error.code(),
        Some("OOM" | "MISCONF" | "NOREPLICAS" | "READONLY")
    );
    before_writing || by_code && !says(error, &["user_script"])
}

/// Whether the server, or something before it, does not offer to tell of changed keys, or not to
/// this user.
pub(super) fn is_without_tracking(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::RESP3NotSupported | ErrorKind::Server(ServerErrorKind::NoPerm) => true,
        ErrorKind::Server(ServerErrorKind::ResponseError) => {
            says(error, &["unknown command", "unknown subcommand"])
        }
        _ => error.code() == Some("NOPROTO"),
    }
}

/// Whether the user lacks a right, or the server a command, to some part of what was asked.
pub(super) fn is_without_right(error: &RedisError) -> bool {
    refused_in_script(error).is_some()
        || error.kind() == ErrorKind::Server(ServerErrorKind::NoPerm)
        || says(error, &["unknown redis command", "unknown command"])
}

/// Whether the keys of one command can't be had together, since a cluster's slot is on its way from one
/// node to another.
pub(super) fn is_between_nodes(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::TryAgain)
}

/// What Redis says when the user may not run a command of a script; its code is a mere `ERR`. What
/// the script did before is done.
pub(super) fn refused_in_script(error: &RedisError) -> Option<&str> {
    let words = error.detail()?;
    let is_refusal =
        words.contains("ACL failure in script") || words.contains("The user executing the script");
    is_refusal.then_some(words)
}

/// Whether it is the connection that is not let in any more, and a new one may be: a token is over, or
/// a user was made anew.
pub(super) fn has_forgotten_us(error: &RedisError) -> bool {
    matches!(error.code(), Some("NOAUTH" | "WRONGPASS"))
}

/// Whether the server refuses connections because it has as many as it takes.
pub(super) fn has_too_many_clients(error: &RedisError) -> bool {
    says(error, &["max number of clients"])
}

fn says(error: &RedisError, any: &[&str]) -> bool {
    let words = error.detail().map(str::to_lowercase);
    words.is_some_and(|words| any.iter().any(|part| words.contains(part)))
}
