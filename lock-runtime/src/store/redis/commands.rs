//! What each operation sends, and how its answer is read.

use std::sync::Arc;
use std::time::Duration;

use redis::{Cmd, Pipeline, RedisError, Value};
use tokio::time::Instant;

use super::link::{Link, whole_millis};
use super::script::{ACQUIRE, EXTEND, RELEASE, Script, command};
use crate::store::{
    Acquired, Asking, Attempted, Entry, Extended, Extension, Holder, Released, StoreError, owner_of,
};

/// How long a fencing counter lives after its last use.
///
/// The clock keeps fencing numbers growing once the counter is gone; the counter only has to
/// outlive the steps that a server's clock may make backwards. A day is far more than NTP ever
/// corrects in one step, and lets the counters of keys that nobody uses go away.
const COUNTER_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

/// What came of it, and whether nothing of it is under way any more.
pub(super) fn attempted(link: &Link, outcome: Result<Acquired, StoreError>) -> Attempted {
    let unresolved = outcome.as_ref().is_err_and(|error| error.unresolved);
    Attempted {
        settled: !link.in_doubt && !unresolved,
        outcome,
    }
}

pub(super) async fn acquire(
    link: &mut Link,
    entry: &Entry,
    ttl: Duration,
    asking: Asking,
) -> Result<Acquired, StoreError> {
    if asking != Asking::Again && entry.counter.is_none() {
        let since = Instant::now();
        match link.ask_or_doubt(&set(entry, ttl)).await? {
            Some(Value::Nil) if asking == Asking::Plain => return Ok(Acquired::Busy(None)),
            // Busy, and the caller wants to know who has it; or sent, and nobody knows what came of it.
            Some(Value::Nil) | None => {}
            Some(Value::Okay) => {
                link.check_replicas()?;
                return Ok(Acquired::Granted { since, fence: None });
            }
            Some(other) => return Err(StoreError::unexpected(&other)),
        }
    }
    acquire_by_script(link, entry, ttl, false).await
}

fn set(entry: &Entry, ttl: Duration) -> Cmd {
    let mut set = command("SET");
    set.arg(&entry.key).arg(&entry.value);
    set.arg("NX").arg("PX").arg(whole_millis(ttl));
    set
}

/// Takes a key that is free, or ours by an attempt whose answer was lost; else tells who has it.
pub(super) async fn acquire_by_script(
    link: &mut Link,
    entry: &Entry,
    ttl: Duration,
    rings: bool,
) -> Result<Acquired, StoreError> {
    let arguments = |command: &mut Cmd| {
        match &entry.counter {
            None => command.arg(1).arg(&entry.key),
            Some(counter) => command.arg(2).arg(&entry.key).arg(counter),
        };
        command.arg(&entry.value).arg(whole_millis(ttl));
        command.arg(whole_millis(COUNTER_LIFETIME));
    };
    let (since, answer) = link.run(&ACQUIRE, arguments).await?;
    match answer {
        Value::Array(parts) => match parts.as_slice() {
            [Value::Int(1), Value::Int(number)] => {
                link.check_replicas()?;
                let number = u64::try_from(*number).ok();
                Ok(Acquired::Granted {
                    since,
                    fence: number.filter(|_| entry.counter.is_some()),
                })
            }
            [Value::Int(0), Value::Int(left), Value::BulkString(value)] => {
                Ok(Acquired::Busy(Some(Holder {
                    owner: owner_of(&String::from_utf8_lossy(value)),
                    left: u64::try_from(*left).ok().map(Duration::from_millis),
                    rings,
                })))
            }
            _ => Err(StoreError::unexpected(&parts)),
        },
        other => Err(StoreError::unexpected(&other)),
    }
}

pub(super) async fn release(
    mut link: Link,
    entry: &Entry,
    keep: Option<Duration>,
) -> Result<Released, StoreError> {
    let arguments = |command: &mut Cmd| {
        command.arg(1).arg(&entry.key).arg(&entry.value);
        command.arg(keep.map_or(0, whole_millis));
    };
    let (_, answer) = link.run(&RELEASE, arguments).await?;
    Ok(match ownership(&answer)? {
        Ownership::Ours => Released::Done,
        // An earlier command, whose answer was lost, has released it.
        Ownership::Gone | Ownership::Other if link.in_doubt => Released::Done,
        Ownership::Gone => Released::Gone,
        Ownership::Other => Released::TakenOver,
    })
}

pub(super) async fn extend_one(mut link: Link, entry: Arc<Entry>, ttl: Duration) -> Extension {
    let arguments = |command: &mut Cmd| {
        command.arg(1).arg(&entry.key).arg(&entry.value);
        command.arg(whole_millis(ttl));
    };
    let (since, answer) = link.run(&EXTEND, arguments).await?;
    extended(&link, since, &answer)
}

pub(super) async fn extend(mut link: Link, batch: &[(Arc<Entry>, Duration)]) -> Vec<Extension> {
    let mut since = Instant::now();
    let script = || {
        if link.whole_scripts {
            EXTEND.by_source()
        } else {
            EXTEND.by_hash()
        }
    };
    let scripts = pipeline(batch.iter(), script);
    let mut answers = match link.ask_all(scripts.clone()).await {
        Ok(answers) => answers,
        Err(error) if error.is_connection_dropped() => {
            since = Instant::now();
            match link.ask_all(scripts).await {
                Ok(answers) => answers,
                Err(error) => return all_failed(batch.len(), &error),
            }
        }
        Err(error) => return all_failed(batch.len(), &error),
    };
    let unknown: Vec<usize> = (0..answers.len())
        .filter(|at| is_unknown_script(&answers[*at]))
        .collect();
    if !unknown.is_empty() {
        let by_source = pipeline(unknown.iter().map(|at| &batch[*at]), || EXTEND.by_source());
        match link.ask_all(by_source).await {
            Ok(again) => {
                for (at, answer) in unknown.into_iter().zip(again) {
                    answers[at] = answer;
                }
            }
            Err(error) => return all_failed(batch.len(), &error),
        }
    }
    answers
        .into_iter()
        .map(|answer| extended(&link, since, &answer.extract_error()?))
        .collect()
}

fn extended(link: &Link, since: Instant, answer: &Value) -> Extension {
    Ok(match ownership(answer)? {
        Ownership::Ours => {
            link.check_replicas()?;
            Extended::Since(since)
        }
        Ownership::Gone => Extended::Gone,
        Ownership::Other => Extended::TakenOver,
    })
}

fn pipeline<'a>(
    batch: impl Iterator<Item = &'a (Arc<Entry>, Duration)>,
    script: impl Fn() -> Cmd,
) -> Pipeline {
    let mut pipeline = redis::pipe();
    for (entry, ttl) in batch {
        let mut command = script();
        command.arg(1).arg(&entry.key).arg(&entry.value);
        command.arg(whole_millis(*ttl));
        pipeline.add_command(command);
    }
    pipeline
}

fn is_unknown_script(answer: &Value) -> bool {
    matches!(answer, Value::ServerError(error) if Script::is_unknown(&error.clone().into()))
}

fn all_failed(count: usize, error: &RedisError) -> Vec<Extension> {
    (0..count).map(|_| Err(error.clone().into())).collect()
}

/// Whose key it is, as the scripts for releasing and extending answer.
enum Ownership {
    Ours,
    Gone,
    Other,
}

fn ownership(answer: &Value) -> Result<Ownership, StoreError> {
    match answer {
        Value::Int(1) => Ok(Ownership::Ours),
        Value::Int(0) => Ok(Ownership::Gone),
        Value::Int(-1) => Ok(Ownership::Other),
        other => Err(StoreError::unexpected(other)),
    }
}
