//! Whether a request makes sense, before anything is sent.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::keys::Keys;
use super::record::{recording, recording_at};
use crate::backoff::Backoff;
use crate::body::OnLost;
use crate::error::LockError;
use crate::hold::{Common, Hold, LONGEST_TIME, Lease, check_ttl};
use crate::key::{counter_key, is_side_key};
use crate::kind::Kind;
use crate::store::{Done, Holder, Record, Recording, Store, StoreError};
use crate::telemetry::{self, Waiting};
use crate::tenure::{Needs, SharedTenure, Terms};

/// No more may hold a key at a time: each that comes looks at all whose time is over.
const MOST_PERMITS: u32 = 1000;

/// What was asked for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) locker: Result<Arc<Common>, NoLocker>,
    pub(super) keys: Keys,
    /// Found while the keys were put together.
    pub(super) flaw: Option<Box<LockError>>,
    /// That of the terms, once it is known.
    pub(super) ttl: Option<Duration>,
    pub(super) retries: Option<u32>,
    pub(super) backoff: Option<Backoff>,
    pub(super) wait: Option<Wait>,
    pub(super) terms: Terms,
    pub(super) on_lost: OnLost,
    pub(super) fenced: bool,
    pub(super) coalesce: bool,
    pub(super) permits: Option<u32>,
    pub(super) shared: bool,
    pub(super) once_per: Option<Duration>,
    /// How long its run is to be recorded.
    pub(super) record: Option<Duration>,
}

/// How long to queue.
#[derive(Debug, Clone, Copy)]
pub(super) enum Wait {
    AtMost(Duration),
    Forever,
}

/// What to do while the lock is busy.
#[derive(Clone, Copy)]
pub(super) enum Patience {
    Retry { retries: u32, backoff: Backoff },
    Wait { limit: Option<Duration> },
}

/// Why no locker applies.
#[derive(Debug)]
pub(crate) struct NoLocker {
    pub(crate) problem: &'static str,
    pub(crate) source: Option<Box<dyn Error + Send + Sync>>,
}

/// A request that makes sense.
pub(super) struct Request {
    pub(super) common: Arc<Common>,
    /// With the locker's prefix.
    pub(super) key: String,
    pub(super) kind: Kind,
    /// The fencing counter, if a number is wanted.
    counter: Option<String>,
    /// Where its run is recorded, and how, if it is.
    record: Option<Box<(String, Recording)>>,
    pub(super) terms: Terms,
    /// It waits only if nobody else does.
    pub(super) coalesce: bool,
    pub(super) started: Instant,
    runtime: Handle,
    /// None for one of several keys: their request counts once.
    waiting: Option<Waiting>,
}

/// What was asked for, and makes sense.
pub(super) struct Checked {
    /// For the only key, or the first.
    pub(super) request: Request,
    /// The other keys of an array, with the prefix.
    pub(super) others: Option<Vec<String>>,
    pub(super) patience: Patience,
}

impl Asked {
    /// What the caller does while the lock is busy, unless it asks for both ways.
    fn patience(&self) -> Result<Patience, &'static str> {
        match (self.wait, self.retries, self.backoff) {
            (Some(_), Some(_), _) => Err(
                "`retries` and `wait` exclude each other: keep `retries` to try a few times, or \
                 `wait` to queue until the lock is free",
            ),
            (Some(_), None, Some(_)) => Err(
                "`wait` is woken when the lock is released and pauses nowhere: remove `backoff`",
            ),
            (Some(Wait::AtMost(limit)), None, None) => Ok(Patience::Wait { limit: Some(limit) }),
            (Some(Wait::Forever), None, None) => Ok(Patience::Wait { limit: None }),
            (None, retries, backoff) => Ok(Patience::Retry {
                retries: retries.unwrap_or(0),
                backoff: backoff.unwrap_or_default(),
            }),
        }
    }

    /// What only a request for one key may ask for.
    fn is_for_one_key(&self) -> Option<&'static str> {
        if self.fenced {
            Some("a fencing token is of one key: leave out `fenced`, or lock one key")
        } else if self.coalesce {
            Some("`coalesce` asks who waits for one key: leave it out, or lock one key")
        } else if self.once_per.or(self.record).is_some() {
            Some(
                "a record tells of one key's run: leave out `once_per` and `record`, or lock one key",
            )
        } else {
            None
        }
    }

    /// Refuses what makes no sense.
    pub(super) fn check(self) -> Result<Checked, LockError> {
        let patience = self.patience();
        let for_one_key = self.is_for_one_key();
        let common = match self.locker {
            Ok(common) => common,
            Err(NoLocker { problem, source }) => {
                let key = self.keys.first().to_owned();
                return Err(LockError::NotConfigured {
                    key,
                    problem,
                    source,
                });
            }
        };
        let key = self.keys.first();
        let invalid = |problem: &str| Err(LockError::invalid(key, problem));
        let terms = Terms {
            ttl: self.ttl.unwrap_or(common.settings.default_ttl),
            recorded: self.once_per.or(self.record).is_some(),
            ..self.terms
        };
        if self.keys.is_array() {
            self.keys.check()?;
        }
        let patience = patience.map_err(|problem| LockError::invalid(key, problem))?;
        let kind = kind(key, self.permits, self.shared, &*common.store)?;
        check_ttl(key, terms.ttl)?;
        if let Some(flaw) = self.flaw {
            return Err(*flaw);
        }
        if let Some(flaw) = common.settings.flaw {
            return invalid(flaw);
        }
        if let Some(problem) = odd_times(&terms) {
            return invalid(&problem);
        }
        if let Some(problem) = for_one_key
            && self.keys.is_array()
        {
            return invalid(problem);
        }
        if self.coalesce
            && let Some(problem) = odd_coalescing(&patience, &*common.store)
        {
            return invalid(problem);
        }
        let whole = whole_key(&common, key)?;
        let counter = if self.fenced {
            let counter = counter_at(&whole, &*common.store);
            Some(counter.map_err(|problem| LockError::invalid(key, problem))?)
        } else {
            None
        };
        let recording = recording(self.once_per, self.record);
        let record = recording
            .and_then(|recording| recording_at(&whole, recording, &*common.store))
            .map_err(|problem| LockError::invalid(key, problem))?;
        if record.is_some() && kind != Kind::Exclusive {
            return invalid(
                "a record tells of one run at a time: leave out `once_per` and `record`, or `permits` and \
                 `shared`, which let in several",
            );
        }
        would_deadlock(&common, &whole)?;
        let others = if self.keys.is_array() {
            Some(others(&common, &self.keys)?)
        } else {
            None
        };
        let Ok(runtime) = Handle::try_current() else {
            return invalid(
                "no tokio runtime runs here, and locks need one; call this from a future that \
                 tokio runs, as below `#[tokio::main]`",
            );
        };
        if record.is_some() {
            telemetry::show_runs(terms.name);
        }
        let request = Request {
            common,
            key: whole,
            kind,
            counter,
            record: record.map(Box::new),
            terms,
            coalesce: self.coalesce,
            started: Instant::now(),
            runtime,
            waiting: Some(Waiting::new(terms.name)),
        };
        Ok(Checked {
            request,
            others,
            patience,
        })
    }
}

/// The keys with the prefix, but the first.
fn others(common: &Arc<Common>, keys: &Keys) -> Result<Vec<String>, LockError> {
    let others = keys.others().iter();
    let others = others.map(|key| whole_key(common, key));
    let others = others.collect::<Result<Vec<_>, _>>()?;
    others
        .iter()
        .try_for_each(|key| would_deadlock(common, key))?;
    Ok(others)
}

/// Refuses a key, with the prefix, that would wait for itself.
fn would_deadlock(common: &Arc<Common>, key: &str) -> Result<(), LockError> {
    if Lease::would_deadlock(common, key) {
        let key = without_prefix(common, key).to_owned();
        return Err(LockError::WouldDeadlock { key });
    }
    Ok(())
}

fn without_prefix<'a>(common: &Common, key: &'a str) -> &'a str {
    &key[common.settings.prefix.len()..]
}

/// The key with the locker's prefix, if there may be a lock of this name.
pub(crate) fn whole_key(common: &Common, key: &str) -> Result<String, LockError> {
    if key.is_empty() {
        let problem = "its key is empty; name what is locked";
        return Err(LockError::invalid(key, problem));
    }
    let whole = match common.settings.prefix.as_str() {
        "" => key.to_owned(),
        prefix => format!("{prefix}{key}"),
    };
    if is_side_key(&whole) {
        return Err(LockError::invalid(
            key,
            "its name is that of a key that the library keeps beside a lock's key, such as \
             \"{z}:fence\" beside \"z\"; let it end in another word",
        ));
    }
    Ok(whole)
}

/// How the key is to be held, in this store.
fn kind(
    key: &str,
    permits: Option<u32>,
    shared: bool,
    store: &dyn Store,
) -> Result<Kind, LockError> {
    let invalid = |problem: &str| Err(LockError::invalid(key, problem));
    let kind = match (permits, shared) {
        (Some(_), true) => {
            return invalid(
                "`permits` and `shared` exclude each other: keep `permits` to let in so many at a \
                 time, or `shared` to let in all that are `shared`",
            );
        }
        (None, true) => Kind::Shared,
        (None | Some(1), false) => Kind::Exclusive,
        (Some(number @ 2..=MOST_PERMITS), false) => Kind::Permits(number),
        (Some(number), false) => {
            return invalid(&format!(
                "its permits are {number}; let in 1 at a time, which is a plain lock, up to \
                 {MOST_PERMITS}"
            ));
        }
    };
    match store.refuses_places() {
        Some(reason) if kind != Kind::Exclusive => invalid(reason),
        _ => Ok(kind),
    }
}

/// What is wrong with leaving the work to one who waits already, if anything.
fn odd_coalescing(patience: &Patience, store: &dyn Store) -> Option<&'static str> {
    if !matches!(patience, Patience::Wait { .. }) {
        return Some("`coalesce` needs `wait`: it leaves the work to one who waits already");
    }
    store.refuses_coalescing()
}

/// What is wrong with its times, if anything.
fn odd_times(terms: &Terms) -> Option<String> {
    let times = [
        ("max_hold", terms.max_hold),
        ("min_hold", terms.min_hold),
        ("max_idle", terms.max_idle),
    ];
    for (name, duration) in times {
        if duration.is_some_and(|duration| duration.is_zero() || duration > LONGEST_TIME) {
            return Some(format!(
                "its {name} is zero or over ten years; give another"
            ));
        }
    }
    if terms.renew {
        return None;
    }
    for (name, duration) in [("max_hold", terms.max_hold), ("max_idle", terms.max_idle)] {
        if duration.is_some() {
            return Some(format!(
                "`{name}` needs `renew`; without it, `ttl` limits the body"
            ));
        }
    }
    let is_kept_longer = terms.min_hold.is_some_and(|min_hold| min_hold > terms.ttl);
    is_kept_longer.then(|| {
        format!(
            "its min_hold is over its ttl of {:?}; raise `ttl`, or use `renew`",
            terms.ttl
        )
    })
}

/// Where fencing numbers are counted, for the key with the prefix. An error says why they can't be.
fn counter_at(key: &str, store: &dyn Store) -> Result<String, &'static str> {
    if let Some(reason) = store.refuses_fencing() {
        return Err(reason);
    }
    counter_key(key).ok_or(
        "its braces allow no fencing counter in the same cluster slot; leave out the `}`, or put a part \
         of the key between braces",
    )
}

impl Request {
    /// The key without the prefix.
    pub(super) fn key(&self) -> &str {
        without_prefix(&self.common, &self.key)
    }

    /// The same for another of several keys, which has the prefix.
    pub(super) fn of_key(&self, key: String) -> Self {
        Self {
            common: Arc::clone(&self.common),
            key,
            kind: self.kind,
            counter: None,
            record: None,
            terms: self.terms,
            coalesce: false,
            started: self.started,
            runtime: self.runtime.clone(),
            waiting: None,
        }
    }

    /// What counts it among those that wait, to be kept elsewhere.
    pub(super) fn take_waiting(&mut self) -> Option<Waiting> {
        self.waiting.take()
    }

    /// What has to be passed on to it.
    pub(super) fn needs(&self) -> Needs {
        Needs {
            fenced: self.counter.is_some(),
            record: self.record.as_ref().map(|record| record.1),
            ttl: self.terms.ttl,
        }
    }

    /// The owner of the key from before it is asked for.
    pub(super) fn hold(&self, now: Instant) -> Hold {
        let counter = self.counter.as_deref();
        let record = self.record.as_deref();
        let record = record.map(|(key, wants)| Record::new(key.clone(), *wants));
        let entry = (self.common).entry(&self.key, self.kind, counter, record, now, &self.runtime);
        Hold::new(&self.common, entry, self.terms, &self.runtime, now)
    }

    /// The owner of a place in the store's line that another caller has left to us, if we can use it.
    pub(super) fn inherited(&self, tenure: Arc<SharedTenure>) -> Option<Hold> {
        let fenced = tenure.entry.counter.is_some();
        let record = tenure.entry.record.as_ref().map(|record| record.wants);
        tenure.tell(|tenure| tenure.inherit(self.terms));
        let hold = Hold::of(&self.common, tenure, fenced, &self.runtime);
        if (fenced, record) == (self.needs().fenced, self.needs().record) {
            return Some(hold);
        }
        hold.give_up_seat();
        None
    }

    /// The owner for the next attempt, after one that was not granted.
    pub(super) fn again(&self, last: Hold) -> Hold {
        if self.common.store.spends_tokens() {
            self.hold(Instant::now())
        } else {
            last
        }
    }

    /// The owner of a tenure that was passed on, who has not begun its turn.
    pub(super) fn passed_on(&self, tenure: Arc<SharedTenure>) -> Hold {
        Hold::of(&self.common, tenure, self.counter.is_some(), &self.runtime)
    }

    pub(super) fn busy(&self, attempts: u32, holder: Option<&Holder>) -> LockError {
        let waiting = holder.and_then(|holder| holder.waiting);
        self.busy_behind(waiting, attempts, holder)
    }

    /// The same where so many wait. Nothing need be known of the holder.
    pub(super) fn busy_behind(
        &self,
        waiting: Option<u64>,
        attempts: u32,
        holder: Option<&Holder>,
    ) -> LockError {
        let error = LockError::Busy {
            key: self.key().to_owned(),
            attempts,
            waited: self.started.elapsed(),
            owner: holder.and_then(|holder| holder.owner.clone()),
            holders: holder.map_or(1, |holder| holder.places.max(1)),
            retry_after: holder.and_then(|holder| holder.left),
            foreign: holder.is_some_and(|holder| holder.owner.is_none() && !holder.are_several()),
            endless: holder.is_some_and(|holder| holder.left.is_none()),
            waiting,
        };
        telemetry::busy(self.terms.name, &error);
        error
    }

    /// Nothing is to be done before the next period.
    pub(super) fn already_done(&self, done: Done) -> LockError {
        let Done { owner, ago, next } = done;
        let period = self.record.as_ref().and_then(|record| record.1.period);
        let error = LockError::AlreadyDone {
            key: self.key().to_owned(),
            owner,
            ago,
            next,
            clock_stepped_back: period.is_some_and(|period| next > 2 * period),
        };
        telemetry::already_done(self.terms.name, &error);
        error
    }

    pub(super) fn failed(&self, attempts: u32, error: StoreError) -> LockError {
        telemetry::backend_error(self.terms.name);
        let (key, waited) = (Some(self.key()), self.started.elapsed());
        error.into_error(key, "acquired", attempts, waited)
    }
}
