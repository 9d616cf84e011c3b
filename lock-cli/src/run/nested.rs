//! A run inside of a run: it must not wait for the lock that is held around it.

use std::env;

use redis_locked_runtime::Lease;
use redis_locked_runtime::private::tokens;

use super::options::Run;
use crate::exit::Failure;
use crate::lock::Tokens;
use crate::servers::Nodes;

/// The tokens of all locks that are held around a command, the innermost last, with blanks between.
const AROUND: &str = "REDIS_LOCKED_TOKENS";

/// The variables of a command that runs under this lock.
pub(super) fn variables(options: &Run, lease: &Lease) -> [(&'static str, String); 4] {
    let lines = |words: Vec<&str>| words.join("\n");
    let mut around = env::var(AROUND).unwrap_or_default();
    for token in tokens(lease) {
        if !around.is_empty() {
            around.push(' ');
        }
        around.push_str(token);
    }
    [
        ("REDIS_LOCKED_KEY", lines(lease.keys().collect())),
        ("REDIS_LOCKED_PREFIX", options.connection.prefix.clone()),
        ("REDIS_LOCKED_TOKEN", lines(tokens(lease).collect())),
        (AROUND, around),
    ]
}

/// Refuses a run of which a key is held around it, which would wait for itself. The keys are looked at, since a
/// command may outlive the lock that it was started under.
pub(super) async fn refuse(options: &Run) -> Result<(), Failure> {
    let around = env::var(AROUND).unwrap_or_default();
    if around.is_empty() {
        return Ok(());
    }
    let servers = options.connection.servers()?;
    // What is wrong with the servers is said by the attempt that follows.
    let Ok(nodes) = servers.connect().await else {
        return Ok(());
    };
    for key in options.keys() {
        if is_held_around(options, &nodes, key, &Tokens(&around)).await {
            return Err(Failure::usage(format_args!(
                "lock {key:?} is held by the `redis-locked run` around this one, which would wait for \
                 itself; nothing was run. Use another key, or run the command without its lock"
            )));
        }
    }
    Ok(())
}

async fn is_held_around(options: &Run, nodes: &Nodes, key: &str, around: &Tokens<'_>) -> bool {
    let full = format!("{}{key}", options.connection.prefix);
    let Ok(mut holding) = nodes.of_key(&full).await else {
        return false;
    };
    for node in &mut holding {
        let value: Result<Option<Vec<u8>>, _> = node.ask(redis::cmd("GET").arg(&full)).await;
        let holders = match value {
            Ok(value) => value.into_iter().collect(),
            Err(_) if options.connection.is_quorum() => continue,
            // Several may hold it.
            Err(_) => {
                let mut places = redis::cmd("ZRANGE");
                places.arg(&full).arg(0).arg(-1);
                node.ask(&places).await.unwrap_or_else(|_| Vec::new())
            }
        };
        if holders.iter().any(|holder| around.include_that_of(holder)) {
            return true;
        }
    }
    false
}
