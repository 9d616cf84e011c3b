//! Finding locks: all of a pattern, or the one of a key.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use redis::Value;
use tokio::time::Instant;

use crate::exit::Failure;
use crate::lock::{Lock, Reading, fence, is_place, is_side_key, line_keys, places};
use crate::servers::{Node, Nodes};
use crate::share::merge;
use crate::waiting;

/// How many keys one `SCAN` looks at: enough to be done soon, few enough to hold up nobody.
pub(crate) const BATCH: usize = 1000;
/// No more places of a key are read.
const MOST_PLACES: usize = 1000;
/// No more of a value is read: one of ours is a token and a short name, others may be huge.
const LONGEST_VALUE: usize = 512;

/// Which locks to look for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Search<'a> {
    pub(crate) prefix: &'a str,
    /// A glob of keys without the prefix.
    pub(crate) pattern: &'a str,
    pub(crate) foreign: bool,
}

/// All locks, by their keys.
pub(crate) async fn all(nodes: &mut Nodes, search: Search<'_>) -> Result<Vec<Lock>, Failure> {
    let lines = nodes.quorum.is_none();
    let asking = nodes.nodes.iter_mut();
    let asking = asking.map(|node| scan(node, search, lines));
    let mut locks = together(nodes.quorum, join_all(asking).await)?;
    // How many is enough.
    for lock in &mut locks {
        lock.line = None;
    }
    Ok(locks)
}

/// One list out of the answers of all servers. Of a quorum, a minority may be missing.
fn together(
    quorum: Option<usize>,
    answers: Vec<Result<Vec<Lock>, Failure>>,
) -> Result<Vec<Lock>, Failure> {
    let mut found = Vec::new();
    let mut failed = None;
    for answer in answers {
        match answer {
            Ok(locks) => found.push(locks),
            Err(failure) => failed = Some(failure),
        }
    }
    match (quorum, failed) {
        (Some(of), failed) if failed.is_none() || 2 * found.len() > of => Ok(merge(found, of)),
        (_, Some(failure)) => Err(failure),
        _ => Ok(merge_masters(found)),
    }
}

/// A key can be on two masters while its slot moves.
fn merge_masters(found: Vec<Vec<Lock>>) -> Vec<Lock> {
    let locks = found.into_iter().flatten();
    let locks: BTreeMap<_, _> = locks.map(|lock| (lock.id(), lock)).collect();
    locks.into_values().collect()
}

async fn scan(node: &mut Node, search: Search<'_>, lines: bool) -> Result<Vec<Lock>, Failure> {
    let mut locks = BTreeMap::new();
    // A quorum has no places.
    for of_type in if lines {
        &["string", "zset"][..]
    } else {
        &["string"]
    } {
        let mut cursor: u64 = 0;
        loop {
            let (next, keys) = page(node, search, cursor, of_type).await?;
            let found = match *of_type {
                "string" => read(node, keys, search, lines).await?,
                _ => read_places(node, &keys, search.prefix).await?,
            };
            locks.extend(found.into_iter().map(|lock| (lock.id(), lock)));
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
    }
    Ok(locks.into_values().collect())
}

/// Some of the keys that are of this type.
async fn page(
    node: &mut Node,
    search: Search<'_>,
    cursor: u64,
    of_type: &str,
) -> Result<(u64, Vec<String>), Failure> {
    let pattern = format!("{}{}", escaped(search.prefix), search.pattern);
    let mut command = redis::cmd("SCAN");
    command.arg(cursor).arg("MATCH").arg(&pattern);
    command.arg("COUNT").arg(BATCH).arg("TYPE").arg(of_type);
    let (next, keys): (u64, Vec<Vec<u8>>) = node.ask(&command).await?;
    // The library's keys are text.
    let keys = keys.into_iter();
    let keys = keys.filter_map(|key| String::from_utf8(key).ok());
    Ok((next, keys.collect()))
}

/// The places of those of these keys that several hold. The others are somebody's data, or lines, of
/// which no more is read than their first value.
async fn read_places(node: &mut Node, keys: &[String], prefix: &str) -> Result<Vec<Lock>, Failure> {
    let keys: Vec<_> = keys.iter().filter(|key| !is_side_key(key)).collect();
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut first = redis::pipe();
    for key in &keys {
        first.cmd("ZRANGE").arg(key).arg(0).arg(0);
        first.cmd("PTTL").arg(key);
    }
    let answers = node.ask_all(&first).await?;
    let answers = keys.into_iter().zip(answers.chunks_exact(2));
    let of_several = answers.filter(|(_, answers)| {
        let first: Vec<Vec<u8>> = waiting::read_as(&answers[0]);
        // A set without an expiry is no lock's.
        let expires = matches!(answers[1], Value::Int(left) if left >= 0);
        expires && first.iter().any(|value| is_place(value))
    });
    let keys: Vec<_> = of_several.map(|(key, _)| key).collect();
    let mut question = redis::pipe();
    question.cmd("TIME");
    for key in &keys {
        question.cmd("ZRANGE").arg(key).arg(0).arg(MOST_PLACES - 1);
        question.arg("WITHSCORES");
    }
    let asked = Instant::now();
    let mut answers = node.ask_all(&question).await?.into_iter();
    let reading = Reading::since(asked);
    let now = answers.next().map_or(0, |time| waiting::micros(&time));
    let mut found = Vec::new();
    for (key, values) in keys.into_iter().zip(answers) {
        let values: Vec<(Vec<u8>, f64)> = waiting::read_as(&values);
        found.extend(places(&key[prefix.len()..], &values, now, reading));
    }
    complete(node, &mut found, prefix, true).await?;
    Ok(found)
}

/// The lock of one key on each node that may have it; foreign ones, too. Of a key that several hold, all
/// their places.
pub(crate) async fn one(nodes: &Nodes, prefix: &str, key: &str) -> Result<Vec<Lock>, Failure> {
    let search = Search {
        prefix,
        pattern: "",
        foreign: true,
    };
    let full = format!("{prefix}{key}");
    let mut holding = nodes.of_key(&full).await?;
    let lines = nodes.quorum.is_none();
    let asking = holding.iter_mut();
    let asking = asking.map(|node| named(node, &full, search, lines));
    let mut holders = together(nodes.quorum, join_all(asking).await)?;
    // The first to end is in front.
    holders.sort_by_key(|lock| lock.left);
    Ok(holders)
}

async fn named(
    node: &mut Node,
    full: &str,
    search: Search<'_>,
    lines: bool,
) -> Result<Vec<Lock>, Failure> {
    let kind: String = node.ask(redis::cmd("TYPE").arg(full)).await?;
    match kind.as_str() {
        "none" => Ok(Vec::new()),
        "string" => read(node, vec![full.to_owned()], search, lines).await,
        other => {
            if other == "zset" {
                let places = read_places(node, &[full.to_owned()], search.prefix).await?;
                if !places.is_empty() {
                    return Ok(places);
                }
            }
            let key = full[search.prefix.len()..].to_owned();
            let value = format!("(not a lock: a {other})");
            let asked = Instant::now();
            let left: i64 = node.ask(redis::cmd("PTTL").arg(full)).await?;
            let (left, reading) = (left_of(left), Reading::since(asked));
            Ok(vec![Lock::read(key, value.as_bytes(), left, reading)])
        }
    }
}

/// Reads values and times, then the fencing counters of what turns out to be locks, with `lines` also
/// who waits for them.
async fn read(
    node: &mut Node,
    keys: Vec<String>,
    search: Search<'_>,
    lines: bool,
) -> Result<Vec<Lock>, Failure> {
    let mut values = redis::pipe();
    for key in &keys {
        values.cmd("GETRANGE").arg(key).arg(0).arg(LONGEST_VALUE);
        values.cmd("PTTL").arg(key);
    }
    let asked = Instant::now();
    let answers = node.ask_all(&values).await?;
    let reading = Reading::since(asked);
    let named = search.pattern.is_empty();
    let mut locks: Vec<Lock> = keys
        .into_iter()
        .zip(answers.chunks_exact(2))
        .filter_map(|(key, answers)| {
            let (Value::BulkString(value), Value::Int(left)) = (&answers[0], &answers[1]) else {
                // It became something else since it was scanned.
                return None;
            };
            let own = key[search.prefix.len()..].to_owned();
            let lock = Lock::read(own, value, left_of(*left), reading);
            let is_wanted = if lock.is_foreign() {
                // A lock without an expiry is none, unless somebody says that it is one.
                search.foreign && (named || (*left >= 0 && !is_side_key(&key)))
            } else {
                true
            };
            // Gone since it was scanned: -2.
            (is_wanted && *left != -2).then_some(lock)
        })
        .collect();
    complete(node, &mut locks, search.prefix, lines).await?;
    Ok(locks)
}

/// What is kept beside a lock.
async fn complete(
    node: &mut Node,
    locks: &mut [Lock],
    prefix: &str,
    lines: bool,
) -> Result<(), Failure> {
    let mut found: Vec<&mut [Lock]> = Vec::new();
    let mut beside = redis::pipe();
    // All places of a key have the same beside them, and stand one after the other.
    for locks in locks.chunk_by_mut(|one, other| one.key == other.key) {
        let lock = &locks[0];
        let key = format!("{prefix}{}", lock.key);
        let Some([line, seats, counter]) = line_keys(&key) else {
            continue;
        };
        if found.is_empty() && lines {
            beside.cmd("TIME");
        }
        beside.cmd("GET").arg(counter);
        if lines {
            beside.cmd("ZRANGE").arg(line).arg(0).arg(-1);
            beside.cmd("HGETALL").arg(seats);
        }
        found.push(locks);
    }
    let mut answers = node.ask_all(&beside).await?.into_iter();
    let time = if lines { answers.next() } else { None };
    let now = time.as_ref().map_or(0, waiting::millis);
    let mut standing = Vec::new();
    for locks in found {
        if let Some(Value::BulkString(counter)) = answers.next() {
            for lock in &mut *locks {
                lock.fence = fence(&counter);
            }
        }
        if lines && let (Some(line), Some(seats)) = (answers.next(), answers.next()) {
            standing.push((locks, waiting::read(&line, &seats, now)));
        }
    }
    waiting::tell(node, standing).await
}

pub(crate) fn left_of(millis: i64) -> Option<Duration> {
    u64::try_from(millis).ok().map(Duration::from_millis)
}

/// A prefix that matches itself in a glob.
fn escaped(prefix: &str) -> String {
    let mut glob = String::with_capacity(prefix.len());
    for c in prefix.chars() {
        if matches!(c, '*' | '?' | '[' | ']' | '^' | '\\') {
            glob.push('\\');
        }
        glob.push(c);
    }
    glob
}

#[cfg(test)]
mod tests {
    use super::escaped;

    #[test]
    fn a_prefix_matches_only_itself() {
        assert_eq!(escaped("billing:"), "billing:");
        assert_eq!(escaped("a*[b]?"), "a\\*\\[b\\]\\?");
    }
}
