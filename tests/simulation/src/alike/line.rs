//! Those who wait in the line of both stores, and what they are told.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::FutureExt as _;

use super::ground::Side;
use super::seen::{self, Seen};
use super::{Owned, Pair, Step, entry};
use crate::store::{Asking, Ear, Holder, Word};

/// Those who wait in one of the stores.
#[derive(Default)]
pub(super) struct Waiting {
    /// They hear to the end what is said to them, or else what is passed on to them is given back.
    ears: BTreeMap<Owned, Ear>,
    /// The places that they have had.
    places: BTreeMap<Owned, u64>,
}

/// A word as far as it is compared.
#[derive(Debug, PartialEq, Eq)]
enum Heard {
    Passed { millis: u128, is_numbered: bool },
    Open(u128),
    First,
    LookAgain,
}

impl From<Word> for Heard {
    fn from(word: Word) -> Self {
        match word {
            Word::Passed(passed) => Self::Passed {
                millis: passed.term.as_nanos().div_ceil(1_000_000),
                is_numbered: passed.fence.is_some(),
            },
            Word::Open(time) => Self::Open(time.as_millis()),
            Word::First => Self::First,
            Word::LookAgain => Self::LookAgain,
        }
    }
}

impl Waiting {
    /// What was said since it was asked last.
    fn heard(&self, side: &Side) -> BTreeMap<Owned, Heard> {
        if self.ears.is_empty() {
            return BTreeMap::new();
        }
        // What the server said before is there when it has answered on that connection.
        let other = Owned { key: 99, value: 99 };
        let watched = side.run(async { side.store.watch(entry(other, false)).await });
        watched.expect("the store answers");
        let heard = self.ears.iter().filter_map(|(owned, ear)| {
            let word = side.run(async { ear.word().now_or_never() })?;
            Some((*owned, word.into()))
        });
        heard.collect()
    }
}

impl Pair {
    pub(super) fn look(&mut self, step: &Step) -> Result<(), String> {
        let Step::Look {
            owned,
            numbered,
            time,
            coalesce,
            again,
        } = *step
        else {
            return Ok(());
        };
        let mut seen = Vec::new();
        for (number, side) in self.sides.iter().enumerate() {
            let (waiting, numbers) = (&mut self.waiting[number], &mut self.numbers[number]);
            let entry = entry(owned, numbered);
            waiting.ears.entry(owned).or_insert_with(|| {
                let ear = side.store.listen(&entry);
                ear.expect("there is a line")
            });
            let place = waiting.places.get(&owned).copied().filter(|_| again);
            let asking = Asking::InLine { place, coalesce };
            let ttl = time.of(self.ground.unit());
            let answer = side.run(seen::acquired(
                side,
                Arc::clone(&entry),
                ttl,
                asking,
                numbers,
            ))?;
            if let Seen::Busy(Some(Holder {
                seat: Some(seat), ..
            })) = &answer
            {
                waiting.places.insert(owned, seat.place);
            }
            seen.push(answer);
        }
        Seen::compare(&self.sides, &seen, self.ground.slack(), true)?;
        self.hear()?;
        if matches!(seen[0], Seen::Granted) {
            self.is_held_by(owned);
        }
        Ok(())
    }

    /// Both have said the same to those who wait.
    pub(super) fn hear(&mut self) -> Result<(), String> {
        let [one, other] = [0, 1].map(|number| self.waiting[number].heard(&self.sides[number]));
        if one != other {
            let [memory, redis] = [0, 1].map(|number| self.sides[number].name);
            return Err(format!("{memory} says {one:?}; {redis} says {other:?}"));
        }
        for (owned, heard) in one {
            if matches!(heard, Heard::Passed { .. }) {
                self.is_held_by(owned);
            }
        }
        Ok(())
    }
}

/// Whether two holders of a busy key are the same to one who waits.
pub(super) fn are_seated_alike(one: &Holder, other: &Holder) -> bool {
    let seat = |holder: &Holder| {
        let seat = holder.seat?;
        Some((seat.rank, seat.is_new, seat.open.is_some()))
    };
    seat(one) == seat(other)
        && one.is_owed == other.is_owed
        // Only who looks at the line is told.
        && (other.waiting.is_none() || one.waiting == other.waiting)
}
