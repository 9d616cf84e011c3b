//! Requests whose runs are recorded: what their scripts are given more than the plain ones, and what these
//! answer more.

use std::time::Duration;

use redis::Value;
use tokio::time::Instant;

use super::found::Drawn;
use super::operation::{Operation, Reader, Said};
use super::script::{LAST_RUN, Script, whole_millis};
use crate::store::{Began, Done, Entry, FIELDS, LastRun, Record, StoreError, last_run_of};

/// The script for this entry: the plain one, or the one with a record around it.
pub(super) fn script(
    entry: &Entry,
    plain: &'static Script,
    recorded: &'static Script,
) -> &'static Script {
    if entry.record.is_some() {
        recorded
    } else {
        plain
    }
}

/// What `record_begin.lua` is given.
pub(super) fn to_begin(record: &Record) -> String {
    let wants = record.wants;
    let period = wants.period.map_or(0, whole_millis);
    let early = wants.tolerance().as_millis();
    format!("{period} {early} {}", whole_millis(wants.lifetime))
}

/// What `record_end.lua` is given.
pub(super) fn to_end(record: &Record) -> String {
    let Some(ending) = record.ending() else {
        return String::new();
    };
    let Began {
        started,
        period,
        fence,
    } = ending.began;
    let number = fence.map_or_else(|| "-".to_owned(), |number| number.to_string());
    let lifetime = whole_millis(record.wants.lifetime);
    format!("{started} {period} {number} {} {lifetime}", ending.outcome)
}

/// What the plain script said, and the run that begins with it.
pub(super) type Begins = (Drawn, Began, bool);

pub(super) enum Refusal<N> {
    /// As the plain script says it.
    Plain(N),
    Done(Done),
    ForeignRecord,
}

/// Asks for the lock and the beginning of a run.
pub(super) async fn claim<N>(
    operation: &mut Operation,
    command: redis::Cmd,
    record: &Record,
    read: Reader<Begins, Refusal<N>>,
) -> Result<Result<(Instant, Said<Drawn, N>), Done>, StoreError> {
    let (since, said) = operation.ask(command, read).await?;
    match said {
        Said::Ours((drawn, began, is_kept)) => {
            operation.heard_of_record(&record.key, is_kept);
            record.begun(began);
            Ok(Ok((since, Said::Ours(drawn))))
        }
        Said::NotOurs(Refusal::Plain(refusal)) => Ok(Ok((since, Said::NotOurs(refusal)))),
        Said::NotOurs(Refusal::Done(done)) => Ok(Err(done)),
        Said::NotOurs(Refusal::ForeignRecord) => Err(StoreError::foreign_record(&record.key)),
    }
}

/// Reads what `record_begin.lua` answers around a script whose answers this reads.
pub(super) fn read<N>(answer: &Value, plain: Reader<Drawn, N>) -> Option<Said<Begins, Refusal<N>>> {
    let Value::Array(parts) = answer else {
        return None;
    };
    let millis = |number: &i64| u64::try_from(*number).ok();
    match parts.as_slice() {
        [answer @ Value::Array(_), rest @ ..] => match (plain(answer)?, rest) {
            (
                Said::Ours((number, found)),
                [Value::Int(started), Value::Int(period), Value::Int(kept)],
            ) => {
                let began = Began {
                    started: millis(started)?,
                    period: millis(period)?,
                    fence: number.filter(|number| *number > 0),
                };
                Some(Said::Ours(((number, found), began, *kept == 1)))
            }
            (Said::NotOurs(refusal), []) => Some(Said::NotOurs(Refusal::Plain(refusal))),
            _ => None,
        },
        [
            Value::Int(3),
            Value::Int(next),
            Value::Int(ago),
            Value::BulkString(owner),
        ] => {
            let time = |number| millis(number).map(Duration::from_millis);
            let owner = String::from_utf8_lossy(owner);
            let done = Done::new(&owner, time(ago)?, time(next)?);
            Some(Said::NotOurs(Refusal::Done(done)))
        }
        [Value::Int(-2)] => Some(Said::NotOurs(Refusal::ForeignRecord)),
        _ => None,
    }
}

/// What is kept of the runs of this lock.
pub(super) async fn last_run(
    operation: &mut Operation,
    key: &str,
    record: &str,
) -> Result<Option<LastRun>, StoreError> {
    let mut command = operation.script(&LAST_RUN);
    command.arg(2).arg(key).arg(record);
    match operation.ask(command, read_last_run).await? {
        (_, Said::Ours(last_run)) => Ok(last_run),
        (_, Said::NotOurs(())) => Err(StoreError::foreign_record(record)),
    }
}

fn read_last_run(answer: &Value) -> Option<Said<Option<LastRun>, ()>> {
    let Value::Array(parts) = answer else {
        return None;
    };
    if matches!(parts.as_slice(), [Value::Int(-1)]) {
        return Some(Said::NotOurs(()));
    }
    let (value, fields) = parts.split_first()?;
    if fields.len() != FIELDS.len() {
        return None;
    }
    let text = |value: &Value| match value {
        Value::BulkString(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
        _ => None,
    };
    let values: Vec<_> = fields.iter().map(text).collect();
    let values = values.iter().map(Option::as_deref);
    Some(Said::Ours(last_run_of(values, text(value).as_deref())))
}
