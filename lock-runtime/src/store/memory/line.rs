//! Those who wait for one key in memory, as `pass_on.lua` keeps them.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::kind::Kind;
use crate::store::seats::SEAT;

/// After the key was passed on without a break for so long, it is left for so long to those who are in
/// no line.
const DOOR_EVERY: Duration = Duration::from_secs(1);
const DOOR_OPEN: Duration = Duration::from_millis(30);

#[derive(Default)]
pub(super) struct Line {
    /// In the order of their places.
    waiting: VecDeque<Waiting>,
    /// When the last seat ends.
    expires: Option<Instant>,
    /// From when and until when the key was passed on without a break.
    row: Option<(Instant, Instant)>,
    /// Until when the key is left to those who are in no line.
    open: Option<Instant>,
}

#[derive(Clone)]
pub(super) struct Waiting {
    pub(super) place: u64,
    pub(super) value: String,
    pub(super) kind: Kind,
    /// For how long the key is passed on to it.
    pub(super) term: Duration,
    pub(super) fenced: bool,
    /// Until when it counts as there.
    till: Instant,
}

/// One who takes a seat.
pub(super) struct Us<'a> {
    pub(super) value: &'a str,
    pub(super) kind: Kind,
    pub(super) term: Duration,
    pub(super) fenced: bool,
}

impl Line {
    /// What is over goes.
    pub(super) fn tidy(&mut self, now: Instant) {
        if self.expires.is_some_and(|expires| expires <= now) {
            self.waiting.clear();
        }
    }

    /// Whether nothing of it is worth keeping.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        let is_in_row = self.row.is_some_and(|(_, last)| now - last <= DOOR_EVERY);
        let is_expired = self.expires.is_none_or(|expires| expires <= now);
        (self.waiting.is_empty() || is_expired) && !is_in_row
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The first who is there. Those before it are gone, and leave.
    pub(super) fn first_there(&mut self, now: Instant) -> Option<Waiting> {
        loop {
            let first = self.waiting.front()?;
            if now < first.till {
                return Some(first.clone());
            }
            self.waiting.pop_front();
        }
    }

    pub(super) fn rank(&self, value: &str) -> Option<usize> {
        self.waiting.iter().position(|one| one.value == value)
    }

    pub(super) fn place(&self, value: &str) -> Option<u64> {
        Some(self.waiting[self.rank(value)?].place)
    }

    /// How many others wait.
    pub(super) fn others(&self, value: &str) -> usize {
        self.waiting.len() - usize::from(self.rank(value).is_some())
    }

    pub(super) fn leave(&mut self, value: &str) {
        self.waiting.retain(|one| one.value != value);
    }

    /// Takes a seat, or shows that who has it is still there. `place` is one that it has had, `next`
    /// the first that nobody had before. Answers its place, and whether it had none.
    pub(super) fn sit(
        &mut self,
        now: Instant,
        us: &Us<'_>,
        place: Option<u64>,
        next: u64,
    ) -> (u64, bool) {
        let value = us.value;
        let known = self.place(value);
        if known.is_none() {
            self.drop_dead_at_the_end(now);
        }
        let end = self.waiting.back().map_or(0, |last| last.place + 1);
        let place = match (known, place) {
            (Some(known), Some(place)) => known.min(place),
            (Some(known), None) => known,
            (None, place) => place.unwrap_or(end.max(next)),
        };
        self.leave(value);
        let seat = Waiting {
            place,
            value: value.to_owned(),
            kind: us.kind,
            term: us.term,
            fenced: us.fenced,
            till: now + SEAT,
        };
        let is_before = |one: &Waiting| (one.place, one.value.as_str()) < (place, value);
        let at = self.waiting.partition_point(is_before);
        self.waiting.insert(at, seat);
        self.expires = Some(now + SEAT);
        (place, known.is_none())
    }

    /// Who died in the middle of the line would stay there for as long as the line stands.
    fn drop_dead_at_the_end(&mut self, now: Instant) {
        let from = self.waiting.len().saturating_sub(2);
        let mut rank = 0..;
        self.waiting
            .retain(|one| rank.next() < Some(from) || now < one.till);
    }

    /// How long the key is left to those who are in no line.
    pub(super) fn open_for(&self, now: Instant) -> Option<Duration> {
        let open = self.open?.saturating_duration_since(now);
        (!open.is_zero()).then_some(open)
    }

    /// The key is about to be passed on by its holder, unless it is time to open the door for others:
    /// then for how long.
    pub(super) fn door(&mut self, now: Instant) -> Option<Duration> {
        let since = match self.row {
            Some((since, last)) if now - last <= DOOR_EVERY => since,
            _ => now,
        };
        if now - since >= DOOR_EVERY {
            let open = now + DOOR_OPEN;
            self.row = Some((open, open));
            self.open = Some(open);
            return Some(DOOR_OPEN);
        }
        self.row = Some((since, now));
        None
    }
}
