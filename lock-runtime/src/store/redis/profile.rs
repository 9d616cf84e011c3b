//! What a server says of itself when it is connected to: whether it has all keys, takes writes and
//! runs scripts, and which server it is.
//!
//! What it does not say is left open: users may lack the right to ask, services hide things, and
//! proxies close the connection at a command that they don't know.

use std::collections::{HashMap, HashSet};

use redis::aio::MultiplexedConnection;
use redis::{FromRedisValue as _, RedisError, ServerErrorKind, Value};

use super::refusal::refused_in_script;
use crate::store::StoreError;

const SLOTS: u32 = 16_384;

/// A server, as it describes itself.
#[derive(Debug, Default)]
pub(crate) struct Profile {
    /// It is a node of a cluster, and has a part of the keys only.
    pub(crate) is_partial: bool,
    pub(crate) is_replica: bool,
    /// The name that it gave itself when it was started, the same at all its addresses.
    pub(crate) run_id: Option<String>,
}

impl Profile {
    /// With `named`, also which server it is.
    pub(super) async fn of(connection: &mut MultiplexedConnection, named: bool) -> Self {
        // Every user may say that, from Redis 6 on.
        let hello = redis::cmd("HELLO").query_async::<Value>(connection).await;
        let hello = hello
            .ok()
            .and_then(|hello| HashMap::from_redis_value(hello).ok());
        let hello: HashMap<String, Value> = hello.unwrap_or_default();
        let says = |field: &str, word: &str| match hello.get(field) {
            Some(Value::BulkString(said)) => said == word.as_bytes(),
            Some(Value::SimpleString(said)) => said == word,
            _ => false,
        };
        let is_replica = says("role", "replica");
        let is_partial = says("mode", "cluster")
            && match has_all_slots(connection).await {
                Some(has_all) => is_replica || !has_all,
                None => false,
            };
        Self {
            is_partial,
            is_replica,
            run_id: if named {
                run_id(connection).await
            } else {
                None
            },
        }
    }
}

/// Whether one master has all slots of the cluster that this node is of.
async fn has_all_slots(connection: &mut MultiplexedConnection) -> Option<bool> {
    let mut question = redis::cmd("CLUSTER");
    let answer = question
        .arg("SLOTS")
        .query_async::<Vec<Vec<Value>>>(connection);
    let ranges: Option<Vec<_>> = answer.await.ok()?.iter().map(|it| read_range(it)).collect();
    let ranges = ranges?;
    let masters: HashSet<_> = ranges.iter().map(|(master, _)| master).collect();
    let slots: u32 = ranges
        .iter()
        .map(|(_, (from, to))| u32::from(to.saturating_sub(*from)) + 1)
        .sum();
    Some(masters.len() == 1 && slots == SLOTS)
}

/// A master's host and port, and the first and the last of the slots that it has.
type Range = ((String, u16), (u16, u16));

/// First slot, last slot, the master's host, port and more, its replicas.
pub(super) fn read_range(range: &[Value]) -> Option<Range> {
    let [Value::Int(from), Value::Int(to), Value::Array(master), ..] = range else {
        return None;
    };
    let [host, Value::Int(port), ..] = master.as_slice() else {
        return None;
    };
    let host = match host {
        Value::BulkString(host) => String::from_utf8(host.clone()).ok()?,
        Value::Nil => String::new(),
        _ => return None,
    };
    let slots = (u16::try_from(*from).ok()?, u16::try_from(*to).ok()?);
    Some(((host, u16::try_from(*port).ok()?), slots))
}

/// Services that hide it give zeros, or another word for all their servers.
async fn run_id(connection: &mut MultiplexedConnection) -> Option<String> {
    let mut question = redis::cmd("INFO");
    let info = question.arg("server").query_async::<String>(connection);
    let info = info.await.ok()?;
    let id = info.lines().find_map(|line| line.strip_prefix("run_id:"))?;
    let is_hex = id.len() == 40 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    (is_hex && id.bytes().any(|byte| byte != b'0')).then(|| id.to_owned())
}

/// Words of servers and proxies for a command that they don't carry out for this user.
const NOT_CARRIED_OUT: [&str; 6] = [
    "unknown command",
    "unsupported command",
    "not supported",
    "not allowed",
    "disabled",
    "no permissions to run",
];

/// Whether an answer to a script says that this user can run none here.
pub(super) fn refuses_scripts(error: &RedisError) -> bool {
    let words = error.to_string().to_lowercase();
    // Some repeat the arguments, and the script is one.
    let words = words.split(", with args").next().unwrap_or_default();
    refused_in_script(error).is_none()
        && words.contains("eval")
        && NOT_CARRIED_OUT
            .iter()
            .any(|refusal| words.contains(refusal))
}

/// What a store that sends all to one server is answered there, in words.
pub(super) fn of_single(error: RedisError) -> StoreError {
    use ServerErrorKind::{Ask, Moved};
    let is_elsewhere = matches!(error.kind(), redis::ErrorKind::Server(Moved | Ask));
    let error = StoreError::from(error);
    if !is_elsewhere {
        return error;
    }
    StoreError {
        happened: "this Redis is a node of a cluster, and the key's slot is on another".to_owned(),
        advice: "use `connect_cluster`; with the tool, --cluster",
        may_pass: false,
        ..error
    }
}
