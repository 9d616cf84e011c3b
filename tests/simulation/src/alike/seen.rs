//! What a store answered, as far as it is compared.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::ground::Side;
use super::line::are_seated_alike;
use crate::store::{Acquired, Asking, Entry, Extended, Holder, Released, StoreError};

/// The last number of each counter.
pub(super) type Numbers = BTreeMap<String, u64>;

#[derive(Debug)]
pub(super) enum Seen {
    Granted,
    Busy(Option<Holder>),
    Released(Result<Released, StoreError>),
    /// For each lock whether it was extended, or why not.
    Extended(Vec<Result<(), &'static str>>),
}

pub(super) async fn acquired(
    side: &Side,
    entry: Arc<Entry>,
    ttl: Duration,
    asking: Asking,
    numbers: &mut Numbers,
) -> Result<Seen, String> {
    let before = Instant::now();
    let attempted = side.store.acquire(Arc::clone(&entry), ttl, asking).await;
    if !attempted.settled {
        return Err(format!("{} leaves it in doubt", side.name));
    }
    match attempted.outcome {
        Ok(Acquired::Granted { since, fence }) => {
            check_since(side, before, since)?;
            if fence.is_some() != entry.counter.is_some() {
                return Err(format!("{} gives the number {fence:?}", side.name));
            }
            if let (Some(number), Some(counter)) = (fence, &entry.counter) {
                let last = numbers.insert(counter.clone(), number);
                if last.is_some_and(|last| number <= last) {
                    return Err(format!("{} gives {number} after {last:?}", side.name));
                }
            }
            Ok(Seen::Granted)
        }
        Ok(Acquired::Busy(holder)) => {
            let rings = holder.as_ref().is_some_and(|holder| holder.rings);
            if asking == Asking::Watching && !rings {
                return Err(format!("{} will not ring", side.name));
            }
            Ok(Seen::Busy(holder))
        }
        other => Err(format!("{} answers {other:?}", side.name)),
    }
}

pub(super) async fn extended(
    side: &Side,
    batch: Vec<(Arc<Entry>, Duration)>,
) -> Result<Seen, String> {
    let before = Instant::now();
    let mut seen = Vec::new();
    for answer in side.store.extend(batch).await {
        seen.push(match answer {
            Ok(Extended::Since(since)) => {
                check_since(side, before, since)?;
                Ok(())
            }
            Ok(Extended::Gone) => Err("it is gone"),
            Ok(Extended::TakenOver) => Err("it is taken over"),
            Err(error) => return Err(format!("{} fails: {error}", side.name)),
        });
    }
    Ok(Seen::Extended(seen))
}

/// A time that begins before the question was asked would be a promise that is too short; after the
/// answer came, one that is too long.
fn check_since(side: &Side, before: Instant, since: Instant) -> Result<(), String> {
    if before <= since && since <= Instant::now() {
        Ok(())
    } else {
        Err(format!("{} counts from another time", side.name))
    }
}

impl Seen {
    /// Whether both have seen the same; of a busy key, who has it, if that is told.
    pub(super) fn compare(
        sides: &[Side; 2],
        seen: &[Self],
        slack: Duration,
        tells: bool,
    ) -> Result<(), String> {
        let is_same = match seen {
            [Self::Granted, Self::Granted] => true,
            [Self::Busy(one), Self::Busy(other)] => {
                !tells && other.is_none() || are_same(one.as_ref(), other.as_ref(), slack)
            }
            [Self::Released(Ok(one)), Self::Released(Ok(other))] => one == other,
            [Self::Extended(one), Self::Extended(other)] => one == other,
            _ => false,
        };
        if is_same {
            return Ok(());
        }
        let each = sides.iter().zip(seen);
        let each = each.map(|(side, seen)| format!("{} answers {seen:?}", side.name));
        Err(each.collect::<Vec<_>>().join("; "))
    }
}

fn are_same(one: Option<&Holder>, other: Option<&Holder>, slack: Duration) -> bool {
    let (Some(one), Some(other)) = (one, other) else {
        return false;
    };
    let left = match (one.left, other.left) {
        (Some(one), Some(other)) => one.abs_diff(other) <= slack,
        (one, other) => one == other,
    };
    left && one.owner == other.owner && one.places == other.places && are_seated_alike(one, other)
}
