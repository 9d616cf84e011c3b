//! Locks in this process's memory, with the semantics of those in Redis, on tokio's clock.

mod line;
mod places;
mod record;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, ready};
use tokio::time::Instant;

use self::line::{Line, Us, Waiting};
use self::places::Places;
use self::record::Records;
use super::alerts::Alerts;
use super::ears::Ears;
use super::seats::{SEAT, reservation};
use super::{
    Acquired, Alert, Answer, Asking, Attempted, Ear, Entry, Extended, Extension, Holder, KEPT,
    LastRun, Passed, Released, Seat, Store, Word, owner_of,
};
use crate::kind::Kind;

/// What has expired is swept so often, where there are so many.
const SWEEP_EVERY: Duration = Duration::from_secs(1);
const MANY: usize = 1024;

pub(crate) struct MemoryStore {
    table: Mutex<Table>,
    alerts: Arc<Alerts>,
    ears: Arc<Ears>,
}

struct Table {
    keys: HashMap<String, Stored>,
    /// Of keys that several hold.
    places: HashMap<String, Places>,
    lines: HashMap<String, Line>,
    records: Records,
    /// From when places count.
    made: Instant,
    swept: Instant,
    /// One counter for all keys: it grows for each of them, and nothing has to be kept per key.
    last_fence: u64,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::at(SystemTime::now())
    }
}

impl Table {
    fn new(clock: SystemTime) -> Self {
        Self {
            keys: HashMap::new(),
            places: HashMap::new(),
            lines: HashMap::new(),
            records: Records::new(clock),
            made: Instant::now(),
            swept: Instant::now(),
            last_fence: 0,
        }
    }
}

struct Stored {
    value: String,
    expires: Instant,
}

/// What those who wait are to be told, once the table is free again: this runs the wakers of others.
type Told = Vec<(String, Word)>;

/// What a look wants of the line.
#[derive(Clone, Copy)]
struct Wish {
    seat: bool,
    place: Option<u64>,
    coalesce: bool,
}

impl Table {
    fn live(&mut self, key: &str) -> Option<&mut Stored> {
        let now = Instant::now();
        self.keys.get_mut(key).filter(|stored| now < stored.expires)
    }

    fn is_free(&mut self, key: &str) -> bool {
        self.live(key).is_none() && self.live_places(key).is_none()
    }

    fn acquire(&mut self, entry: &Entry, ttl: Duration) -> Acquired {
        let since = Instant::now();
        let mut expires = since + ttl;
        if let Some(stored) = self.live(&entry.key) {
            if stored.value != entry.value {
                let left = Some(stored.expires - since);
                return Acquired::Busy(Some(Holder {
                    rings: true,
                    ..Holder::new(owner_of(&stored.value), left)
                }));
            }
            expires = expires.max(stored.expires);
        } else if let Some(holders) = self.holders(&entry.key, entry.kind, false) {
            return Acquired::Busy(Some(holders));
        }
        self.sweep(since);
        self.set(&entry.key, &entry.value, expires);
        let fence = entry.counter.is_some().then(|| self.draw_fence());
        Acquired::Granted { since, fence }
    }

    /// As `record_begin.lua` does, where there is a record.
    fn claim(&mut self, entry: &Entry, ttl: Duration, wish: Option<Wish>) -> (Acquired, Told) {
        let (record, value) = (entry.record.as_deref(), &entry.value);
        if let Some(done) = record.and_then(|record| self.records.done(record, value)) {
            let (_, told) = self.release(entry, None);
            return (Acquired::Done(done), told);
        }
        let (acquired, told) = match wish {
            Some(wish) if entry.kind == Kind::Exclusive => self.look(entry, ttl, wish),
            Some(wish) => self.acquire_place(entry, ttl, wish),
            None => (self.acquire(entry, ttl), Told::new()),
        };
        if let (Acquired::Granted { fence, .. }, Some(record)) = (&acquired, record) {
            self.records.begin(record, value, *fence);
        }
        (acquired, told)
    }

    fn set(&mut self, key: &str, value: &str, expires: Instant) {
        let value = value.to_owned();
        self.keys.insert(key.to_owned(), Stored { value, expires });
    }

    /// As `look.lua` does.
    fn look(&mut self, entry: &Entry, ttl: Duration, wish: Wish) -> (Acquired, Told) {
        let (key, value) = (&entry.key, &entry.value);
        let now = Instant::now();
        let mut told = Told::new();
        let holder = self.live(key).map(|stored| stored.value.clone());
        if holder.as_ref() == Some(value) {
            return (self.acquire(entry, ttl), told);
        }
        let mut line = self.take_line(key, now);
        let first = line.first_there(now);
        // Somebody waits who has not begun, so that what we came for will be done.
        let is_owed = wish.coalesce && first.is_some() && line.place(value).is_none();
        let mut open = None;
        if holder.is_none() && self.live_places(key).is_none() {
            open = first.as_ref().and_then(|_| line.open_for(now));
            match first {
                Some(first) if open.is_none() && first.value != *value => {
                    self.let_in(key, &mut line, now, &mut told);
                    tell_first(&mut line, now, &mut told);
                }
                Some(_) if open.is_some() => {}
                is_us => {
                    if is_us.is_some() {
                        line.leave(value);
                        tell_first(&mut line, now, &mut told);
                    }
                    self.put_line(key, line, now);
                    return (self.acquire(entry, ttl), told);
                }
            }
        }
        let seat = (wish.seat && !is_owed)
            .then(|| self.sit(entry, ttl, wish, &mut line, open))
            .flatten();
        let busy = Holder {
            seat,
            waiting: Some(count(line.others(value))),
            is_owed,
            ..self.holder_of(key, entry.kind, false, open)
        };
        self.put_line(key, line, now);
        (Acquired::Busy(Some(busy)), told)
    }

    /// Takes a seat, or shows that who has it is still there.
    fn sit(
        &self,
        entry: &Entry,
        ttl: Duration,
        wish: Wish,
        line: &mut Line,
        open: Option<Duration>,
    ) -> Option<Seat> {
        let (now, term) = (Instant::now(), reservation(ttl));
        let next = now.saturating_duration_since(self.made).as_micros();
        let next = u64::try_from(next).unwrap_or(u64::MAX);
        let us = Us {
            value: &entry.value,
            kind: entry.kind,
            term,
            fenced: entry.counter.is_some(),
        };
        let (place, is_new) = line.sit(now, &us, wish.place, next);
        line.rank(&entry.value).map(|rank| Seat {
            rank: count(rank),
            place,
            is_new,
            open,
            lasts: SEAT + term,
        })
    }

    /// Who has the key, to one who wants it as this.
    fn holder_of(
        &mut self,
        key: &str,
        wants: Kind,
        in_front: bool,
        open: Option<Duration>,
    ) -> Holder {
        let now = Instant::now();
        let alone = self.live(key);
        let alone =
            alone.map(|stored| Holder::new(owner_of(&stored.value), Some(stored.expires - now)));
        let holder = alone.or_else(|| self.holders(key, wants, in_front));
        Holder {
            rings: true,
            ..holder.unwrap_or_else(|| Holder::new(None, open))
        }
    }

    fn take_line(&mut self, key: &str, now: Instant) -> Line {
        let mut line = self.lines.remove(key).unwrap_or_default();
        line.tidy(now);
        line
    }

    fn put_line(&mut self, key: &str, line: Line, now: Instant) {
        if !line.is_over(now) {
            self.lines.insert(key.to_owned(), line);
        }
    }

    fn pass_on(&mut self, key: &str, line: &mut Line, to: &Waiting, told: &mut Told) {
        let since = Instant::now();
        if to.kind == Kind::Exclusive {
            self.set(key, &to.value, since + to.term);
        } else {
            self.pass_place_on(key, to, since);
        }
        line.leave(&to.value);
        let passed = Passed {
            since: Some(since),
            term: to.term,
            fence: to.fenced.then(|| self.draw_fence()),
        };
        told.push((to.value.clone(), Word::Passed(passed)));
    }

    fn draw_fence(&mut self) -> u64 {
        let clock = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .map_or(0, |since| u64::try_from(since.as_micros()).unwrap_or(0));
        self.last_fence = clock.max(self.last_fence + 1);
        self.last_fence
    }

    fn sweep(&mut self, now: Instant) {
        if self.len() < MANY || now.saturating_duration_since(self.swept) < SWEEP_EVERY {
            return;
        }
        self.swept = now;
        self.keys.retain(|_, stored| now < stored.expires);
        self.keys.shrink_to(MANY);
        self.places.retain(|_, places| !places.are_over(now));
        self.places.shrink_to(MANY);
        self.lines.retain(|_, line| !line.is_over(now));
        self.lines.shrink_to(MANY);
        self.records.sweep(now, MANY);
    }

    fn len(&self) -> usize {
        self.keys.len() + self.places.len() + self.lines.len() + self.records.len()
    }

    /// As `release.lua` does, and `record_end.lua` where there is a record.
    fn release(&mut self, entry: &Entry, keep: Option<Duration>) -> (Released, Told) {
        let (key, now) = (&entry.key, Instant::now());
        if let Some(record) = &entry.record {
            let holds = self
                .live(key)
                .is_some_and(|stored| stored.value == entry.value);
            self.records.end(record, &entry.value, holds);
        }
        let mut told = Told::new();
        let released = match (self.live(key), keep) {
            (Some(stored), _) if stored.value.strip_prefix(KEPT) == Some(&entry.value) => {
                return (Released::Done, told);
            }
            (Some(stored), Some(keep)) if stored.value == entry.value => {
                stored.value.insert(0, KEPT);
                stored.expires = now + keep;
                return (Released::Done, told);
            }
            (Some(stored), _) if stored.value != entry.value => Released::TakenOver,
            (Some(_), _) => Released::Done,
            (None, _) => Released::Gone,
        };
        let is_by_several = released == Released::Gone && self.live_places(key).is_some();
        let released = if is_by_several {
            Released::TakenOver
        } else {
            released
        };
        if released == Released::Done {
            self.keys.remove(key);
        }
        let mut line = self.take_line(key, now);
        let stood = !line.is_empty();
        if stood && released != Released::Done {
            let was_first = line.rank(&entry.value) == Some(0);
            line.leave(&entry.value);
            if was_first && released == Released::TakenOver {
                self.go_on(key, &mut line, now, &mut told, true);
            }
        }
        // Also when the key is gone: its time was over, and whoever waits may not know that yet.
        if stood && released != Released::TakenOver {
            self.hand_over(key, &mut line, now, &mut told);
        }
        self.put_line(key, line, now);
        (released, told)
    }

    /// Passes the key on, unless it is time to leave it to those who are in no line.
    fn hand_over(&mut self, key: &str, line: &mut Line, now: Instant, told: &mut Told) {
        let Some(first) = line.first_there(now) else {
            return;
        };
        if let Some(open) = line.door(now) {
            told.push((first.value, Word::Open(open)));
            return;
        }
        self.let_in(key, line, now, told);
        tell_first(line, now, told);
    }

    fn extend(&mut self, entry: &Entry, ttl: Duration) -> Extended {
        let since = Instant::now();
        match self.live(&entry.key) {
            Some(stored) if stored.value == entry.value => {
                stored.expires = stored.expires.max(since + ttl);
                return Extended::Since(since);
            }
            Some(_) => return Extended::TakenOver,
            None => {}
        }
        match self.live_places(&entry.key) {
            Some(_) => Extended::TakenOver,
            None => Extended::Gone,
        }
    }
}

/// The first who is there is told that it is.
fn tell_first(line: &mut Line, now: Instant, told: &mut Told) {
    if let Some(first) = line.first_there(now) {
        told.push((first.value, Word::First));
    }
}

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

impl MemoryStore {
    /// One whose clock says this now, and counts on tokio's.
    pub(crate) fn at(clock: SystemTime) -> Self {
        Self {
            table: Mutex::new(Table::new(clock)),
            alerts: Arc::default(),
            ears: Arc::default(),
        }
    }

    /// How much is kept: of keys, lines and records, those that have expired among them.
    #[cfg(test)]
    pub(super) fn kept(&self) -> usize {
        self.table().len()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn release_at_once(&self, entry: &Entry, keep: Option<Duration>) -> Released {
        let (answer, told) = if entry.kind == Kind::Exclusive {
            self.table().release(entry, keep)
        } else {
            self.table().release_place(entry, keep)
        };
        self.alerts.ring(&entry.key);
        self.tell(&entry.key, told);
        answer
    }

    fn claim(&self, entry: &Entry, ttl: Duration, wish: Option<Wish>) -> Acquired {
        let (answer, told) = self.table().claim(entry, ttl, wish);
        if let Acquired::Done(_) = answer {
            self.alerts.ring(&entry.key);
        }
        self.tell(&entry.key, told);
        answer
    }

    fn tell(&self, key: &str, told: Told) {
        for (value, word) in told {
            let is_heard = self.ears.tell(&value, word);
            if !is_heard && matches!(word, Word::Passed(_)) {
                // One who has left: it goes on to the next.
                let stray = Entry::left(key.to_owned(), value);
                self.release_at_once(&stray, None);
            }
        }
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory")
    }
}

impl Store for MemoryStore {
    fn acquire(
        &self,
        entry: Arc<Entry>,
        ttl: Duration,
        asking: Asking,
    ) -> BoxFuture<'static, Attempted> {
        let wish = match asking {
            Asking::Looking { coalesce } => Some((true, None, coalesce)),
            Asking::InLine { place, coalesce } => Some((true, place, coalesce)),
            _ if entry.kind != Kind::Exclusive => Some((false, None, false)),
            // It takes what is free, whoever waits.
            Asking::WhoHolds if entry.counter.is_some() || !self.table().is_free(&entry.key) => {
                Some((false, None, false))
            }
            _ => None,
        };
        let wish = wish.map(|(seat, place, coalesce)| Wish {
            seat,
            place,
            coalesce,
        });
        let outcome = Ok(self.claim(&entry, ttl, wish));
        ready(Attempted {
            outcome,
            settled: true,
        })
        .boxed()
    }

    fn release(&self, entry: Arc<Entry>, keep: Option<Duration>) -> Answer<Released> {
        ready(Ok(self.release_at_once(&entry, keep))).boxed()
    }

    fn release_now(&self, entry: &Entry, keep: Option<Duration>) -> Option<Released> {
        Some(self.release_at_once(entry, keep))
    }

    fn extend(&self, batch: Vec<(Arc<Entry>, Duration)>) -> BoxFuture<'static, Vec<Extension>> {
        let mut table = self.table();
        let answers = batch
            .iter()
            .map(|(entry, ttl)| {
                Ok(if entry.kind == Kind::Exclusive {
                    table.extend(entry, *ttl)
                } else {
                    table.extend_place(entry, *ttl)
                })
            })
            .collect();
        ready(answers).boxed()
    }

    fn alert(&self, key: &str) -> Alert {
        self.alerts.alert(key)
    }

    fn lines_up(&self) -> bool {
        true
    }

    fn listen(&self, entry: &Entry) -> Option<Ear> {
        Some(self.ears.listen(&entry.key, &entry.value))
    }

    fn watch(&self, entry: Arc<Entry>) -> Answer<Option<Holder>> {
        let (key, mut table) = (&entry.key, self.table());
        let is_free = match table.live(key) {
            // Or else it was passed on to us.
            Some(stored) => stored.value == entry.value,
            None => table.live_places(key).is_none(),
        };
        let holder = (!is_free).then(|| table.holder_of(key, entry.kind, false, None));
        ready(Ok(holder)).boxed()
    }

    fn last_run(&self, key: String, record: String) -> Answer<Option<LastRun>> {
        let mut table = self.table();
        let holder = table.live(&key).map(|stored| stored.value.clone());
        ready(Ok(table.records.last_run(&record, holder.as_deref()))).boxed()
    }

    fn holders(&self, key: String) -> Result<Answer<Vec<Holder>>, &'static str> {
        let mut table = self.table();
        let alone = table.live(&key);
        let alone = alone.map(|stored| {
            let left = stored.expires - Instant::now();
            Holder::new(owner_of(&stored.value), Some(left))
        });
        let holders = match alone {
            Some(holder) => vec![holder],
            None => table.each_holder(&key),
        };
        Ok(ready(Ok(holders)).boxed())
    }

    fn settles_within(&self) -> Duration {
        Duration::ZERO
    }

    fn is_on_servers(&self) -> bool {
        false
    }

    fn close(&self) {}
}
