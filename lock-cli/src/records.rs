//! The records of runs, as the server keeps them.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use futures_util::future::join_all;
use redis::Value;
use redis_locked_runtime::private::{FIELDS, last_run_of};
use redis_locked_runtime::{LastRun, Outcome};
use serde::Serialize;

use crate::exit::Failure;
use crate::glob;
use crate::lock::record_key;
use crate::scan::BATCH;
use crate::servers::{Node, Nodes};
use crate::{text, waiting};

/// The last run of a lock.
pub(crate) struct Run {
    /// Without the prefix.
    pub(crate) key: String,
    pub(crate) last: LastRun,
    /// What time it was on the server when it was read.
    pub(crate) now: SystemTime,
}

/// The same as JSON.
#[derive(Serialize)]
pub(crate) struct Told<'a> {
    key: &'a str,
    owner: &'a str,
    started: String,
    ended: Option<String>,
    took_ms: Option<u64>,
    outcome: &'static str,
    running: bool,
    fence: Option<String>,
    last_success: Option<String>,
}

impl Run {
    /// One word: `running`, `died`, or how it ended.
    pub(crate) fn outcome(&self) -> &'static str {
        match self.last.outcome {
            Some(outcome) => Outcome::as_str(outcome),
            None if self.last.running => "running",
            None => "died",
        }
    }

    /// How long it took, or has taken so far. Of one that died, nobody knows.
    pub(crate) fn took(&self) -> Option<Duration> {
        let until = if self.last.running {
            Some(self.now)
        } else {
            self.last.ended
        };
        Some(until?.duration_since(self.last.started).unwrap_or_default())
    }

    /// Whether there was no success in this time.
    pub(crate) fn is_older_than(&self, limit: Duration) -> bool {
        let age = |success| self.now.duration_since(success).unwrap_or_default();
        self.last
            .last_success
            .is_none_or(|success| age(success) > limit)
    }

    pub(crate) fn told(&self) -> Told<'_> {
        let millis = |took: Duration| u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        Told {
            key: &self.key,
            owner: &self.last.owner,
            started: time(self.last.started),
            ended: self.last.ended.map(time),
            took_ms: self.took().map(millis),
            outcome: self.outcome(),
            running: self.last.running,
            fence: self.last.fencing_token.map(|token| token.to_string()),
            last_success: self.last.last_success.map(time),
        }
    }

    /// In a row, behind the key.
    pub(crate) fn in_words(&self) -> [String; 4] {
        [
            time(self.last.started),
            self.took()
                .map_or_else(|| "-".into(), |took| text::left(Some(took))),
            self.outcome().into(),
            self.last.owner.clone(),
        ]
    }
}

/// In UTC, to the second.
pub(crate) fn time(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}

/// The last runs of all locks whose key matches.
pub(crate) async fn all(
    nodes: &mut Nodes,
    prefix: &str,
    pattern: &str,
) -> Result<Vec<Run>, Failure> {
    let scans = nodes.nodes.iter_mut();
    let scans = scans.map(|node| scan(node, prefix, pattern));
    let mut found = BTreeMap::new();
    for runs in join_all(scans).await {
        // A key can be on two masters while its slot moves.
        found.extend(runs?.into_iter().map(|run| (run.key.clone(), run)));
    }
    Ok(found.into_values().collect())
}

async fn scan(node: &mut Node, prefix: &str, pattern: &str) -> Result<Vec<Run>, Failure> {
    let mut runs = Vec::new();
    let mut cursor: u64 = 0;
    loop {
        let mut command = redis::cmd("SCAN");
        command.arg(cursor).arg("MATCH").arg("*:last");
        command.arg("COUNT").arg(BATCH).arg("TYPE").arg("hash");
        let (next, records): (u64, Vec<Vec<u8>>) = node.ask(&command).await?;
        let keys = records.into_iter().filter_map(|record| {
            let key = lock_of(&String::from_utf8(record).ok()?)?;
            let own = key.strip_prefix(prefix)?;
            glob::matches(pattern, own).then_some(key)
        });
        runs.extend(read(node, prefix, keys.collect()).await?);
        cursor = next;
        if cursor == 0 {
            return Ok(runs);
        }
    }
}

/// The key of the lock whose record has this key.
fn lock_of(record: &str) -> Option<String> {
    let lock = record.strip_suffix(":last")?;
    let inside = lock
        .strip_prefix('{')
        .and_then(|lock| lock.strip_suffix('}'));
    let mut candidates = inside.into_iter().chain([lock]);
    let is_lock = |lock: &&str| !lock.is_empty() && record_key(lock).as_deref() == Some(record);
    candidates.find(is_lock).map(str::to_owned)
}

/// The last run of one lock, if one is recorded.
pub(crate) async fn one(nodes: &Nodes, prefix: &str, key: &str) -> Result<Option<Run>, Failure> {
    let full = format!("{prefix}{key}");
    let mut found = None;
    for node in &mut nodes.of_key(&full).await? {
        found = found.or(read(node, prefix, vec![full.clone()]).await?.pop());
    }
    Ok(found)
}

async fn read(node: &mut Node, prefix: &str, keys: Vec<String>) -> Result<Vec<Run>, Failure> {
    let mut question = redis::pipe();
    let mut asked = Vec::new();
    for key in keys {
        let Some(record) = record_key(&key) else {
            continue;
        };
        if asked.is_empty() {
            question.cmd("TIME");
        }
        question.cmd("GET").arg(&key);
        question.cmd("HMGET").arg(record).arg(&FIELDS);
        asked.push(key);
    }
    let mut answers = node.ask_all(&question).await?.into_iter();
    let now = answers.next().as_ref().map_or(0, waiting::millis);
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(now);
    let mut runs = Vec::new();
    for key in asked {
        let (holder, fields) = (answers.next(), answers.next());
        // A key that is no record any more has an error in its place.
        let Some(Value::Array(fields)) = fields else {
            continue;
        };
        let fields: Vec<_> = fields.iter().map(in_text).collect();
        let holder = holder.as_ref().and_then(in_text);
        let values = fields.iter().map(Option::as_deref);
        if let Some(last) = last_run_of(values, holder.as_deref()) {
            let key = key[prefix.len()..].to_owned();
            runs.push(Run { key, last, now });
        }
    }
    Ok(runs)
}

fn in_text(value: &Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_known_by_its_record() {
        for key in ["nightly", "jobs:nightly", "{a}b", "a{b}c", "a{b"] {
            let record = record_key(key).expect("it has one");
            assert_eq!(lock_of(&record).as_deref(), Some(key));
        }
        for other in ["nightly:last", "{nightly}:lasts", "{}:last", "a}:last"] {
            assert_eq!(lock_of(other), None, "{other}");
        }
    }
}
