//! Keys that several hold, as `places.lua` keeps them.

use std::time::Duration;

use tokio::time::Instant;

use super::Table;
use crate::kind::Kind;
use crate::store::{Acquired, Entry, Extended, Holder, KEPT, Released, owner_of};

use super::line::{Line, Waiting};
use super::{Told, Wish, tell_first};

/// Of so many is said who they are.
const NAMED: usize = 3;

/// So many are listed, as of a server.
const LISTED: usize = 1000;

/// So many are let in at once, as on a server.
const AT_ONCE: usize = 64;

/// Those who have places of one key, the first to end in front.
pub(super) struct Places {
    kind: Kind,
    all: Vec<Place>,
}

struct Place {
    value: String,
    ends: Instant,
}

impl Places {
    fn position(&self, value: &str) -> Option<usize> {
        self.all.iter().position(|place| place.value == value)
    }

    /// Gives this value a place until then, or moves its end.
    fn put(&mut self, value: &str, ends: Instant) {
        self.all.retain(|place| place.value != value);
        // Of those that end together, the order is a sorted set's.
        let is_before = |place: &Place| (place.ends, place.value.as_str()) < (ends, value);
        let at = self.all.partition_point(is_before);
        let value = value.to_owned();
        self.all.insert(at, Place { value, ends });
    }

    fn has_room(&self, kind: Kind) -> bool {
        self.kind.stands_beside(kind)
            && match kind {
                Kind::Permits(number) => self.all.len() < number as usize,
                Kind::Exclusive | Kind::Shared => true,
            }
    }

    pub(super) fn are_over(&self, now: Instant) -> bool {
        self.all.iter().all(|place| place.ends <= now)
    }

    /// When there is room for one who wants this, as all end now: for one of another kind, or behind
    /// another, when all have ended.
    fn room_from(&self, wants: Kind, in_front: bool) -> Instant {
        let count = self.all.len();
        let last = match wants {
            Kind::Permits(number) if self.kind.stands_beside(wants) && !in_front => {
                count.saturating_sub(number as usize)
            }
            _ => count - 1,
        };
        self.all[last].ends
    }

    /// Who they are, to one who wants this; in line, those in front of it come first.
    fn holder(&self, wants: Kind, in_front: bool, now: Instant) -> Holder {
        let count = self.all.len();
        let some = self.all.iter().take(NAMED);
        let some = some.filter_map(|place| owner_of(&place.value));
        let left = self
            .room_from(wants, in_front)
            .saturating_duration_since(now);
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        Holder {
            rings: true,
            ..Holder::of_places(count, some, Some(left))
        }
    }
}

impl Table {
    pub(super) fn live_places(&mut self, key: &str) -> Option<&mut Places> {
        if self.places.is_empty() {
            return None;
        }
        let now = Instant::now();
        let places = self.places.get_mut(key)?;
        places.all.retain(|place| now < place.ends);
        if places.all.is_empty() {
            self.places.remove(key);
        }
        self.places.get_mut(key)
    }

    /// Those who have places of this key, to one who wants it as this.
    pub(super) fn holders(&mut self, key: &str, wants: Kind, in_front: bool) -> Option<Holder> {
        let now = Instant::now();
        let places = self.live_places(key)?;
        Some(places.holder(wants, in_front, now))
    }

    /// Each who has a place of this key.
    pub(super) fn each_holder(&mut self, key: &str) -> Vec<Holder> {
        let now = Instant::now();
        let Some(places) = self.live_places(key) else {
            return Vec::new();
        };
        let each = places.all.iter().take(LISTED);
        each.map(|place| Holder::new(owner_of(&place.value), Some(place.ends - now)))
            .collect()
    }

    fn put(&mut self, key: &str, kind: Kind, value: &str, ends: Instant) {
        if !self.places.contains_key(key) {
            let places = Places {
                kind,
                all: Vec::new(),
            };
            self.places.insert(key.to_owned(), places);
        }
        let places = self.places.get_mut(key).expect("just put there");
        places.put(value, ends);
    }

    fn has_room(&mut self, key: &str, kind: Kind) -> bool {
        self.live(key).is_none()
            && self
                .live_places(key)
                .is_none_or(|places| places.has_room(kind))
    }

    /// When the place of this value ends, if it has one.
    fn ends(&mut self, entry: &Entry) -> Option<Instant> {
        let places = self.live_places(&entry.key)?;
        let at = places.position(&entry.value)?;
        Some(places.all[at].ends)
    }

    /// The place is had, for the ttl at least.
    fn take_place(&mut self, entry: &Entry, ttl: Duration) -> Acquired {
        let since = Instant::now();
        self.sweep(since);
        let ends = self
            .ends(entry)
            .map_or(since + ttl, |ends| ends.max(since + ttl));
        self.put(&entry.key, entry.kind, &entry.value, ends);
        let fence = entry.counter.is_some().then(|| self.draw_fence());
        Acquired::Granted { since, fence }
    }

    /// As `acquire_place.lua` does.
    pub(super) fn acquire_place(
        &mut self,
        entry: &Entry,
        ttl: Duration,
        wish: Wish,
    ) -> (Acquired, Told) {
        let (key, value, kind) = (&entry.key, &entry.value, entry.kind);
        let now = Instant::now();
        let mut told = Told::new();
        if self.ends(entry).is_some() {
            return (self.take_place(entry, ttl), told);
        }
        let mut line = self.take_line(key, now);
        let mut first = line.first_there(now).map(|first| first.value);
        let is_owed = wish.coalesce && first.is_some() && line.place(value).is_none();
        let is_free = self.is_free(key);
        let open = first
            .as_ref()
            .filter(|_| is_free)
            .and_then(|_| line.open_for(now));
        if open.is_none()
            && first.as_ref().is_some_and(|first| first != value)
            && self.let_in(key, &mut line, now, &mut told)
        {
            tell_first(&mut line, now, &mut told);
            first = line.first_there(now).map(|first| first.value);
        }
        let in_front = first.as_ref().is_some_and(|first| first != value);
        let granted = if self.ends(entry).is_some() {
            Some(self.take_place(entry, ttl))
        } else if open.is_none() && !in_front && self.has_room(key, kind) {
            let granted = self.take_place(entry, ttl);
            if first.is_some() {
                line.leave(value);
                self.let_in(key, &mut line, now, &mut told);
                tell_first(&mut line, now, &mut told);
            }
            Some(granted)
        } else {
            None
        };
        let answer = granted.unwrap_or_else(|| {
            let seat = (wish.seat && !is_owed)
                .then(|| self.sit(entry, ttl, wish, &mut line, open))
                .flatten();
            let holder = self.holder_of(key, kind, in_front, open);
            Acquired::Busy(Some(Holder {
                seat,
                waiting: Some(super::count(line.others(value))),
                is_owed,
                ..holder
            }))
        });
        self.put_line(key, line, now);
        (answer, told)
    }

    /// Lets in the first of the line, and those behind it for whom there is room. True if there was
    /// one.
    pub(super) fn let_in(
        &mut self,
        key: &str,
        line: &mut Line,
        now: Instant,
        told: &mut Told,
    ) -> bool {
        for count in 0..AT_ONCE {
            match line.first_there(now) {
                Some(first) if self.has_room(key, first.kind) => {
                    self.pass_on(key, line, &first, told);
                }
                _ => return count > 0,
            }
        }
        true
    }

    pub(super) fn pass_place_on(&mut self, key: &str, to: &Waiting, since: Instant) {
        self.put(key, to.kind, &to.value, since + to.term);
    }

    /// As `release_place.lua` does.
    pub(super) fn release_place(
        &mut self,
        entry: &Entry,
        keep: Option<Duration>,
    ) -> (Released, Told) {
        let (key, now) = (&entry.key, Instant::now());
        let mut told = Told::new();
        let kept = format!("{KEPT}{}", entry.value);
        let mut released = Released::Gone;
        let mut ended = None;
        if let Some(places) = self.live_places(key) {
            if let Some(at) = places.position(&entry.value) {
                ended = Some(places.all.remove(at).ends);
                released = Released::Done;
                if let Some(keep) = keep {
                    places.put(&kept, now + keep);
                }
            } else if places.position(&kept).is_some() {
                return (Released::Done, told);
            }
        } else if self.live(key).is_some() {
            released = Released::TakenOver;
        }
        let mut line = self.take_line(key, now);
        if line.is_empty() {
            return (released, told);
        }
        let tells = if released == Released::Done {
            self.is_sooner(key, ended, line.first_there(now).as_ref())
        } else {
            let was_first = line.rank(&entry.value) == Some(0);
            line.leave(&entry.value);
            was_first
        };
        self.go_on(key, &mut line, now, &mut told, tells);
        self.put_line(key, line, now);
        (released, told)
    }

    /// Whether a place that would have ended then, and is given back, would have kept the first of the
    /// line out for longer than what is left.
    fn is_sooner(&mut self, key: &str, ended: Option<Instant>, first: Option<&Waiting>) -> bool {
        let places = self.live_places(key).zip(ended.zip(first));
        places.is_some_and(|(places, (ended, first))| ended > places.room_from(first.kind, false))
    }

    /// Somebody has left the key or its line: those for whom there is room now come in. Where nobody
    /// does, `tells` says whether the first is to look.
    pub(super) fn go_on(
        &mut self,
        key: &str,
        line: &mut Line,
        now: Instant,
        told: &mut Told,
        tells: bool,
    ) {
        let is_free = self.is_free(key);
        let has_moved = if is_free {
            self.hand_over(key, line, now, told);
            false
        } else {
            self.let_in(key, line, now, told)
        };
        if has_moved || tells && !is_free {
            tell_first(line, now, told);
        }
    }

    pub(super) fn extend_place(&mut self, entry: &Entry, ttl: Duration) -> Extended {
        let since = Instant::now();
        if self.live(&entry.key).is_some() {
            return Extended::TakenOver;
        }
        let Some(ends) = self.ends(entry) else {
            return Extended::Gone;
        };
        let ends = ends.max(since + ttl);
        self.put(&entry.key, entry.kind, &entry.value, ends);
        Extended::Since(since)
    }
}
