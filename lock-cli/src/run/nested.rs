//! A run inside of a run: it must not wait for the lock that is held around it.

use std::env;

use redis_locked_runtime::Lease;

use super::options::Run;
use crate::exit::Failure;
use crate::lock::Tokens;

/// The tokens of all locks that are held around a command, the innermost last, with blanks between.
const AROUND: &str = "REDIS_LOCKED_TOKENS";

/// The variables of a command that runs under this lock.
pub(super) fn variables(options: &Run, lease: &Lease) -> [(&'static str, String); 4] {
    let token = lease.token();
    let around = match env::var(AROUND) {
        Ok(around) if !around.is_empty() => format!("{around} {token}"),
        _ => token.to_owned(),
    };
    [
        ("REDIS_LOCKED_KEY", options.key.clone()),
        ("REDIS_LOCKED_PREFIX", options.connection.prefix.clone()),
        ("REDIS_LOCKED_TOKEN", token.to_owned()),
        (AROUND, around),
    ]
}

/// Refuses a run whose lock is held around it, which would wait for itself. The key is looked at, since a
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
    let full = format!("{}{}", options.connection.prefix, options.key);
    let Ok(mut holding) = nodes.of_key(&full).await else {
        return Ok(());
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
        let is_around = |holder: &Vec<u8>| Tokens(&around).include_that_of(holder);
        if holders.iter().any(is_around) {
            return Err(Failure::usage(format_args!(
                "lock {:?} is held by the `redis-locked run` around this one, which would wait for \
                 itself; nothing was run. Use another key, or run the command without its lock",
                options.key
            )));
        }
    }
    Ok(())
}
