//! The records of runs in memory, as `record_begin.lua` and `record_end.lua` keep them.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use tokio::time::Instant;

use crate::store::value::token_and_owner;
use crate::store::{Began, Done, Ending, Kept, Last, LastRun, Outcome, Record, Recording};

pub(super) struct Records {
    all: HashMap<String, Stored>,
    /// The clock: what the time since 1970 was, and when. From then on, tokio's clock counts.
    epoch: Duration,
    made: Instant,
}

#[derive(Default)]
struct Stored {
    run: Option<(Began, String)>,
    last: Option<Last>,
    success: Option<Success>,
    /// The beginning of the latest period that has had a success.
    done: Option<u64>,
    expires: Option<Instant>,
}

#[derive(Clone)]
struct Success {
    at: u64,
    by: String,
}

impl Records {
    pub(super) fn new(clock: SystemTime) -> Self {
        let epoch = clock.duration_since(SystemTime::UNIX_EPOCH);
        Self {
            all: HashMap::new(),
            epoch: epoch.unwrap_or_default(),
            made: Instant::now(),
        }
    }

    fn now(&self) -> u64 {
        let now = self.epoch + self.made.elapsed();
        millis(now)
    }

    fn live(&mut self, key: &str) -> Option<&mut Stored> {
        let now = Instant::now();
        let stored = self.all.get_mut(key);
        stored.filter(|stored| stored.expires.is_some_and(|expires| now < expires))
    }

    /// The record, which lives for so long at least from now.
    fn kept(&mut self, key: &str, lifetime: Duration) -> &mut Stored {
        if self.live(key).is_none() {
            self.all.remove(key);
        }
        let stored = self.all.entry(key.to_owned()).or_default();
        stored.expires = stored.expires.max(Some(Instant::now() + lifetime));
        stored
    }

    /// The beginning of the present period, for a run that begins now.
    fn period(&self, wants: Recording) -> Option<(u64, u64)> {
        let length = millis(wants.period?);
        let at = self.now() + millis(wants.tolerance());
        Some((at - at % length, length))
    }

    /// The success that the present period has had, unless the run of this value has begun.
    pub(super) fn done(&mut self, record: &Record, value: &str) -> Option<Done> {
        let (period, length) = self.period(record.wants)?;
        let now = self.now();
        let stored = self.live(&record.key)?;
        if stored.run.as_ref().is_some_and(|(_, by)| by == value) {
            return None;
        }
        let done = stored.done.map(|done| done - done % length)?;
        let success = stored.success.as_ref();
        (done >= period).then(|| {
            let ago = success.map_or(0, |success| now.saturating_sub(success.at));
            let by = success.map_or("", |success| &success.by);
            let next = (done + length).saturating_sub(now);
            Done::new(by, Duration::from_millis(ago), Duration::from_millis(next))
        })
    }

    /// The lock is granted: begins its run, unless it has begun.
    pub(super) fn begin(&mut self, record: &Record, value: &str, fence: Option<u64>) {
        let began = Began {
            started: self.now(),
            period: self.period(record.wants).map_or(0, |(period, _)| period),
            fence,
        };
        let stored = self.kept(&record.key, record.wants.lifetime);
        let run = stored.run.take().filter(|(_, by)| by == value);
        let (began, _) = stored.run.insert(run.unwrap_or((began, value.to_owned())));
        record.begun(*began);
    }

    /// The lock is given back, which this value holds or not.
    pub(super) fn end(&mut self, record: &Record, value: &str, holds: bool) {
        let now = self.now();
        let run = self
            .live(&record.key)
            .and_then(|stored| stored.run.as_ref());
        let is_ours = run.is_some_and(|(_, by)| by == value);
        if run.is_some() && !is_ours || run.is_none() && !holds {
            return;
        }
        if let Some(Ending { began, outcome }) = record.ending() {
            let stored = self.kept(&record.key, record.wants.lifetime);
            let owner = token_and_owner(value).map_or("", |(_, owner)| owner);
            stored.last = Some(Last {
                began,
                owner: owner.to_owned(),
                ended: now,
                outcome,
            });
            if outcome == Outcome::Ok {
                stored.success = Some(Success {
                    at: now,
                    by: owner.to_owned(),
                });
                if record.wants.period.is_some() {
                    stored.done = stored.done.max(Some(began.period));
                }
            }
        }
        if let Some(stored) = self.live(&record.key) {
            stored.run = None;
        }
    }

    pub(super) fn last_run(&mut self, record: &str, holder: Option<&str>) -> Option<LastRun> {
        let stored = self.live(record)?;
        let kept = Kept {
            run: stored.run.clone(),
            last: stored.last.clone(),
            success: stored.success.as_ref().map(|success| success.at),
        };
        kept.told(holder)
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    /// What has expired goes, and room for more than so many.
    pub(super) fn sweep(&mut self, now: Instant, room: usize) {
        let lives = |stored: &Stored| stored.expires.is_some_and(|expires| now < expires);
        self.all.retain(|_, stored| lives(stored));
        self.all.shrink_to(room);
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
