//! What each operation sends, and how its answer is read.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use redis::{Cmd, Value};
use tokio::time::Instant;

use super::found::{Drawn, Found};
use super::line::Line;
use super::operation::{Operation, Said};
use super::recorded::{self, claim, to_begin, to_end};
use super::script::{
    ACQUIRE, ACQUIRE_AND_BEGIN, ACQUIRE_PLACE, END_AND_RELEASE, EXTEND, EXTEND_PLACE, LIST_HOLDERS,
    LOOK, LOOK_AND_BEGIN, RELEASE, RELEASE_PLACE, WATCH, command, whole_millis,
};
use crate::key::line_keys;
use crate::kind::Kind;
use crate::store::seats::{SEAT, reservation};
use crate::store::{
    Acquired, Asking, Done, Entry, Extended, Extension, Holder, Released, Seat, StoreError,
    owner_of,
};

/// How long a fencing counter lives after its last use.
///
/// The clock keeps fencing numbers growing once the counter is gone; the counter only has to
/// outlive the steps that a server's clock may make backwards. A day is far more than NTP ever
/// corrects in one step, and lets the counters of keys that nobody uses go away.
const COUNTER_LIFETIME: Duration = Duration::from_secs(24 * 60 * 60);

pub(super) async fn acquire(
    operation: &mut Operation,
    entry: &Entry,
    ttl: Duration,
    asking: Asking,
) -> Result<(Acquired, Found), StoreError> {
    let is_plain = entry.counter.is_none() && entry.record.is_none();
    if asking != Asking::Again && is_plain {
        if let Some(granted) = take(operation, entry, ttl).await? {
            return Ok((granted, Found::NotOurs));
        }
        // Else the caller wants to know who has it; or it is ours by a sending whose answer was lost.
        if asking == Asking::Plain && operation.is_settled() {
            return Ok((Acquired::Busy(None), Found::NotOurs));
        }
    }
    Box::pin(acquire_by_script(operation, entry, ttl, false)).await
}

/// Takes the key when it is free.
pub(super) async fn take(
    operation: &mut Operation,
    entry: &Entry,
    ttl: Duration,
) -> Result<Option<Acquired>, StoreError> {
    let (since, said) = operation.ask(set(entry, ttl), read_set).await?;
    Ok(match said {
        Said::Ours(()) => Some(Acquired::Granted { since, fence: None }),
        Said::NotOurs(()) => None,
    })
}

fn set(entry: &Entry, ttl: Duration) -> Cmd {
    let mut set = command("SET", 6);
    set.arg(&entry.key).arg(&entry.value);
    set.arg("NX").arg("PX").arg(whole_millis(ttl));
    set
}

fn read_set(answer: &Value) -> Option<Said<(), ()>> {
    match answer {
        Value::Okay => Some(Said::Ours(())),
        Value::Nil => Some(Said::NotOurs(())),
        _ => None,
    }
}

/// Takes a key that is free, or ours by an attempt whose answer was lost; else tells who has it.
pub(super) async fn acquire_by_script(
    operation: &mut Operation,
    entry: &Entry,
    ttl: Duration,
    rings: bool,
) -> Result<(Acquired, Found), StoreError> {
    let record = entry.record.as_deref();
    let script = recorded::script(entry, &ACQUIRE, &ACQUIRE_AND_BEGIN);
    let mut command = operation.script(script);
    let side_keys = [entry.counter.as_ref(), record.map(|record| &record.key)];
    command.arg(1 + side_keys.iter().flatten().count());
    command.arg(&entry.key).arg(&side_keys);
    command.arg(&entry.value).arg(whole_millis(ttl));
    command.arg(whole_millis(COUNTER_LIFETIME));
    let said = match record {
        None => operation.ask(command, read_acquired).await?,
        Some(record) => {
            command.arg(to_begin(record));
            let read = |answer: &_| recorded::read(answer, read_acquired);
            match Box::pin(claim(operation, command, record, read)).await? {
                Ok(said) => said,
                Err(done) => return Ok((Acquired::Done(done), Found::NotOurs)),
            }
        }
    };
    match said {
        (since, Said::Ours((number, found))) => {
            let fence = number.filter(|_| entry.counter.is_some());
            Ok((Acquired::Granted { since, fence }, found))
        }
        (_, Said::NotOurs(Some(holder))) => {
            let holder = Holder { rings, ..holder };
            Ok((Acquired::Busy(Some(holder)), Found::NotOurs))
        }
        (_, Said::NotOurs(None)) => Err(StoreError::foreign_counter(entry.counter.as_deref())),
    }
}

/// Not ours, and no holder: something else is in the counter's place.
fn read_acquired(answer: &Value) -> Option<Said<Drawn, Option<Holder>>> {
    let Value::Array(parts) = answer else {
        return None;
    };
    let ours = |number: i64, found| Some(Said::Ours((u64::try_from(number).ok(), found)));
    match parts.as_slice() {
        [Value::Int(1), Value::Int(number)] => ours(*number, Found::NotOurs),
        [Value::Int(2), Value::Int(number)] => ours(*number, Found::Ours),
        [Value::Int(0), left, value] => Some(Said::NotOurs(Some(read_holder(left, value)?))),
        [Value::Int(-1)] => Some(Said::NotOurs(None)),
        _ => None,
    }
}

/// So much of a value do the scripts show.
const SHOWN: usize = 428;

/// What a look found.
pub(super) enum Looked {
    Granted(Acquired, Found),
    Busy(Holder),
    /// The bell that was to be rung is not heard by the server.
    Deaf(Holder),
    /// There is no line, or something else is in its place.
    NoLine(Holder),
    Done(Done),
}

/// What a waiting process wants of the line.
pub(super) struct Wish {
    /// The place that it has had.
    pub(super) place: Option<u64>,
    /// The bell to be rung; without one, no seat is taken.
    pub(super) bell: Option<String>,
    /// It comes only if nobody else waits.
    pub(super) coalesce: bool,
}

/// Takes a place of the key where there is no line.
pub(super) async fn take_place(
    operation: &mut Operation,
    entry: &Entry,
    ttl: Duration,
) -> Result<(Acquired, Found), StoreError> {
    let wish = Wish {
        place: None,
        bell: None,
        coalesce: false,
    };
    Ok(match look(operation, None, entry, ttl, &wish).await? {
        Looked::Granted(granted, found) => (granted, found),
        Looked::Done(done) => (Acquired::Done(done), Found::NotOurs),
        Looked::Busy(holder) | Looked::Deaf(holder) | Looked::NoLine(holder) => {
            (Acquired::Busy(Some(holder)), Found::NotOurs)
        }
    })
}

/// Takes the key, or a place of it, or else a seat in the line.
pub(super) async fn look(
    operation: &mut Operation,
    line: Option<&Line>,
    entry: &Entry,
    ttl: Duration,
    wish: &Wish,
) -> Result<Looked, StoreError> {
    let stamp = line.map_or(0, Line::stamp);
    let reserved = reservation(ttl);
    let script = match entry.kind {
        Kind::Exclusive => recorded::script(entry, &LOOK, &LOOK_AND_BEGIN),
        Kind::Permits(_) | Kind::Shared => &ACQUIRE_PLACE,
    };
    let keys = line.and_then(|_| line_keys(&entry.key));
    let counter = entry.counter.as_ref().filter(|_| keys.is_none());
    let record = entry.record.as_deref();
    let mut command = operation.script(script);
    let [line_keys, others] = [
        keys.map_or(0, |keys| keys.len()),
        usize::from(counter.is_some()) + usize::from(record.is_some()),
    ];
    command.arg(1 + line_keys + others);
    command.arg(&entry.key).arg(keys.as_ref()).arg(counter);
    command.arg(record.map(|record| &record.key));
    command.arg(&entry.value).arg(whole_millis(ttl));
    command.arg(whole_millis(COUNTER_LIFETIME));
    command.arg(u8::from(entry.counter.is_some()));
    let bell = wish.bell.as_deref().filter(|_| line.is_some());
    command.arg(bell.unwrap_or_default());
    command.arg(stamp).arg(whole_millis(reserved));
    command.arg(whole_millis(SEAT));
    match wish.place {
        Some(place) => command.arg(place),
        None => command.arg(""),
    };
    command.arg(u8::from(wish.coalesce));
    match entry.kind {
        Kind::Exclusive => {}
        Kind::Permits(number) => {
            command.arg(number);
        }
        Kind::Shared => {
            command.arg("");
        }
    }
    let said = match record {
        None => operation.ask(command, read_looked).await?,
        Some(record) => {
            command.arg(to_begin(record));
            let read = |answer: &_| recorded::read(answer, read_looked);
            match Box::pin(claim(operation, command, record, read)).await? {
                Ok(said) => said,
                Err(done) => return Ok(Looked::Done(done)),
            }
        }
    };
    match said {
        (since, Said::Ours((number, found))) => {
            let fence = number.filter(|_| entry.counter.is_some());
            Ok(Looked::Granted(Acquired::Granted { since, fence }, found))
        }
        (_, Said::NotOurs(None)) => Err(StoreError::foreign_counter(entry.counter.as_deref())),
        (_, Said::NotOurs(Some((mut holder, state)))) => match state {
            1 | 2 => {
                if let Some(seat) = &mut holder.seat {
                    seat.lasts = SEAT + reserved;
                    seat.is_new = state == 2;
                }
                holder.rings = true;
                Ok(Looked::Busy(holder))
            }
            state => {
                holder.seat = None;
                holder.is_owed = state == 5;
                Ok(match state {
                    3 => Looked::Deaf(holder),
                    4 => {
                        holder.waiting = None;
                        Looked::NoLine(holder)
                    }
                    _ => Looked::Busy(holder),
                })
            }
        },
    }
}

fn read_looked(answer: &Value) -> Option<Said<Drawn, Option<(Holder, i64)>>> {
    let Value::Array(parts) = answer else {
        return None;
    };
    match parts.as_slice() {
        [
            Value::Int(0),
            left,
            value,
            Value::Int(state),
            Value::Int(rank),
            Value::Int(waiting),
            Value::Int(place),
            Value::Int(open),
        ] => {
            let open = u64::try_from(*open).ok().filter(|open| *open > 0);
            let seat = Seat {
                rank: u64::try_from(*rank).unwrap_or(0),
                place: u64::try_from(*place).unwrap_or(0),
                open: open.map(Duration::from_millis),
                is_new: false,
                lasts: Duration::ZERO,
            };
            let holder = Holder {
                seat: Some(seat),
                waiting: u64::try_from(*waiting).ok(),
                ..read_holder(left, value)?
            };
            Some(Said::NotOurs(Some((holder, *state))))
        }
        _ => match read_acquired(answer)? {
            Said::Ours(drawn) => Some(Said::Ours(drawn)),
            Said::NotOurs(None) => Some(Said::NotOurs(None)),
            Said::NotOurs(Some(_)) => None,
        },
    }
}

fn read_holder(left: &Value, value: &Value) -> Option<Holder> {
    let Value::Int(left) = left else {
        return None;
    };
    let left = u64::try_from(*left).ok().map(Duration::from_millis);
    let owner = |value: &Value| match value {
        Value::BulkString(value) => Some(owner_of(&String::from_utf8_lossy(value))),
        _ => None,
    };
    match value {
        // Of several: how many, and the first of them.
        Value::Array(parts) => {
            let (Value::Int(count), first) = parts.split_first()? else {
                return None;
            };
            let first = first.iter().map(owner).collect::<Option<Vec<_>>>()?;
            let first = first.into_iter().flatten();
            Some(Holder::of_places(u32::try_from(*count).ok()?, first, left))
        }
        value => Some(Holder::new(owner(value)?, left)),
    }
}

/// Who else has the key; from now on the connection is told of changes, if it tracks.
pub(super) async fn watch(
    operation: &mut Operation,
    entry: &Entry,
) -> Result<Option<Holder>, StoreError> {
    let mut command = operation.script(&WATCH);
    command.arg(1).arg(&entry.key);
    let (_, said): (_, Said<(), _>) = operation.ask(command, read_watched).await?;
    let holder = match said {
        Said::Ours(()) | Said::NotOurs(None) => None,
        Said::NotOurs(Some((holder, value))) => Some(holder).filter(|_| {
            // Or else it was passed on to us, and the bell is late or lost.
            !is_shown_of(&entry.value, &value)
        }),
    };
    Ok(holder.map(|holder| Holder {
        rings: true,
        ..holder
    }))
}

/// All who hold the key, the first to end in front.
pub(super) async fn holders(
    operation: &mut Operation,
    key: &str,
) -> Result<Vec<Holder>, StoreError> {
    let mut command = operation.script(&LIST_HOLDERS);
    command.arg(1).arg(key);
    let (_, said): (_, Said<(), _>) = operation.ask(command, read_holders).await?;
    Ok(match said {
        Said::Ours(()) => Vec::new(),
        Said::NotOurs(holders) => holders,
    })
}

fn read_holders(answer: &Value) -> Option<Said<(), Vec<Holder>>> {
    let Value::Array(holders) = answer else {
        return None;
    };
    let read = |holder: &Value| match holder {
        Value::Array(parts) => match parts.as_slice() {
            [left, value] => read_holder(left, value),
            _ => None,
        },
        _ => None,
    };
    let holders = holders.iter().map(read).collect::<Option<_>>()?;
    Some(Said::NotOurs(holders))
}

/// A holder, and the first bytes of its value.
type Watched = (Holder, Vec<u8>);

fn read_watched(answer: &Value) -> Option<Said<(), Option<Watched>>> {
    Some(Said::NotOurs(match answer {
        Value::Int(0) => None,
        Value::Array(parts) => match parts.as_slice() {
            [left, value @ Value::BulkString(bytes)] => {
                Some((read_holder(left, value)?, bytes.clone()))
            }
            [left, value @ Value::BulkString(bytes), Value::Int(1)] => {
                let holder = Holder {
                    places: 1,
                    ..read_holder(left, value)?
                };
                Some((holder, bytes.clone()))
            }
            _ => return None,
        },
        _ => return None,
    }))
}

/// Whether this is as much of the value as the scripts show.
fn is_shown_of(value: &str, shown: &[u8]) -> bool {
    let value = value.as_bytes();
    value.starts_with(shown) && (shown.len() == value.len() || shown.len() >= SHOWN)
}

/// How a key is given back.
#[derive(Clone, Copy, Default)]
pub(super) struct GivenBack {
    /// For how long it stays.
    pub(super) keep: Option<Duration>,
    /// For how long a look of ours may still arrive.
    pub(super) unsettled: Option<Duration>,
}

pub(super) async fn release(
    operation: &mut Operation,
    entry: &Entry,
    how: GivenBack,
    in_line: bool,
) -> Result<Released, StoreError> {
    let command = to_release(operation, entry, how, in_line);
    let (_, said) = operation.ask(command, read_owned).await?;
    Ok(match said {
        Said::Ours(()) => Released::Done,
        // By an earlier sending, whose answer was lost; another may have the key since.
        Said::NotOurs(_) if !operation.is_settled() => Released::Done,
        Said::NotOurs(Missing::Gone) => Released::Gone,
        Said::NotOurs(Missing::TakenOver) => Released::TakenOver,
    })
}

fn to_release(operation: &Operation, entry: &Entry, how: GivenBack, in_line: bool) -> Cmd {
    let keys = Some(&entry.key).filter(|_| in_line);
    let keys = keys.and_then(|key| line_keys(key));
    let record = entry.record.as_deref();
    let script = match entry.kind {
        Kind::Exclusive => recorded::script(entry, &RELEASE, &END_AND_RELEASE),
        Kind::Permits(_) | Kind::Shared => &RELEASE_PLACE,
    };
    let mut command = operation.script(script);
    let line_keys = keys.map_or(0, |keys| keys.len());
    command.arg(1 + line_keys + usize::from(record.is_some()));
    command.arg(&entry.key).arg(keys.as_ref());
    command.arg(record.map(|record| &record.key));
    command.arg(&entry.value);
    command.arg(how.keep.map_or(0, whole_millis));
    if keys.is_some() {
        command.arg(whole_millis(COUNTER_LIFETIME));
        command.arg(how.unsettled.map_or(0, whole_millis));
    }
    command.arg(record.map(to_end));
    command
}

pub(super) async fn extend(
    operation: Operation,
    batch: Vec<(Arc<Entry>, Duration)>,
) -> Vec<Extension> {
    if operation.is_spread() && batch.len() > 1 {
        let alone = |one| extend_together(operation.clone(), vec![one]);
        let each = join_all(batch.into_iter().map(alone)).await;
        return each.into_iter().flatten().collect();
    }
    extend_together(operation, batch).await
}

async fn extend_together(
    mut operation: Operation,
    batch: Vec<(Arc<Entry>, Duration)>,
) -> Vec<Extension> {
    let mut pipeline = redis::pipe();
    for (entry, ttl) in &batch {
        let script = if entry.kind == Kind::Exclusive {
            &EXTEND
        } else {
            &EXTEND_PLACE
        };
        let mut command = operation.script(script);
        command.arg(1).arg(&entry.key).arg(&entry.value);
        command.arg(whole_millis(*ttl));
        pipeline.add_command(command);
    }
    match operation.ask_all(pipeline, read_owned).await {
        Ok((since, each)) => {
            let each = each.into_iter();
            each.map(|said| said.map(|said| extended(since, &said)))
                .collect()
        }
        Err(error) => batch.iter().map(|_| Err(error.clone())).collect(),
    }
}

fn extended(since: Instant, said: &Said<(), Missing>) -> Extended {
    match said {
        Said::Ours(()) => Extended::Since(since),
        Said::NotOurs(Missing::Gone) => Extended::Gone,
        Said::NotOurs(Missing::TakenOver) => Extended::TakenOver,
    }
}

enum Missing {
    Gone,
    TakenOver,
}

/// The answers of the scripts that release and extend.
fn read_owned(answer: &Value) -> Option<Said<(), Missing>> {
    match answer {
        Value::Int(1) => Some(Said::Ours(())),
        Value::Int(0) => Some(Said::NotOurs(Missing::Gone)),
        Value::Int(-1) => Some(Said::NotOurs(Missing::TakenOver)),
        _ => None,
    }
}
