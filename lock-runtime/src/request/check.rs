//! Whether a request makes sense, before anything is sent.

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::backoff::Backoff;
use crate::body::OnLost;
use crate::error::LockError;
use crate::hold::{Common, LONGEST_TIME, Lease, LockGuard, check_ttl};
use crate::key::{counter_key, is_side_key};
use crate::kind::Kind;
use crate::store::{Holder, Store, StoreError};
use crate::telemetry::{self, Waiting};
use crate::tenure::{Needs, SharedTenure, Terms};

/// No more may hold a key at a time: each that comes looks at all whose time is over.
const MOST_PERMITS: u32 = 1000;

/// What was asked for.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) locker: Result<Arc<Common>, NoLocker>,
    pub(super) key: String,
    /// Found while the key was put together.
    pub(super) flaw: Option<String>,
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
    pub(super) terms: Terms,
    /// It waits only if nobody else does.
    pub(super) coalesce: bool,
    pub(super) started: Instant,
    runtime: Handle,
    _waiting: Waiting,
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

    /// Refuses what makes no sense.
    pub(super) fn check(self) -> Result<(Request, Patience), LockError> {
        let patience = self.patience();
        let common = match self.locker {
            Ok(common) => common,
            Err(NoLocker { problem, source }) => {
                let key = self.key;
                return Err(LockError::NotConfigured {
                    key,
                    problem,
                    source,
                });
            }
        };
        let key = self.key;
        let invalid = |problem: &str| Err(LockError::invalid(&key, problem));
        let terms = Terms {
            ttl: self.ttl.unwrap_or(common.settings.default_ttl),
            ..self.terms
        };
        let patience = patience.map_err(|problem| LockError::invalid(&key, problem))?;
        let kind = kind(&key, self.permits, self.shared, &*common.store)?;
        check_ttl(&key, terms.ttl)?;
        if let Some(flaw) = self.flaw.as_deref().or(common.settings.flaw) {
            return invalid(flaw);
        }
        for (name, duration) in [("max_hold", terms.max_hold), ("min_hold", terms.min_hold)] {
            if duration.is_some_and(|duration| duration.is_zero() || duration > LONGEST_TIME) {
                return invalid(&format!(
                    "its {name} is zero or over ten years; give another"
                ));
            }
        }
        if terms.max_hold.is_some() && !terms.renew {
            return invalid("`max_hold` needs `renew`; without it, `ttl` limits the body");
        }
        if self.coalesce {
            if !matches!(patience, Patience::Wait { .. }) {
                return invalid(
                    "`coalesce` needs `wait`: it leaves the work to one who waits already",
                );
            }
            if let Some(reason) = common.store.refuses_coalescing() {
                return invalid(reason);
            }
        }
        if !terms.renew && terms.min_hold.is_some_and(|min_hold| min_hold > terms.ttl) {
            return invalid(&format!(
                "its min_hold is over its ttl of {:?}; raise `ttl`, or use `renew`",
                terms.ttl
            ));
        }
        let whole = whole_key(&common, &key)?;
        let mut counter = None;
        if self.fenced {
            if let Some(reason) = common.store.refuses_fencing() {
                return invalid(reason);
            }
            counter = counter_key(&whole);
            if counter.is_none() {
                return invalid(
                    "its braces allow no fencing counter in the same cluster slot; leave out the \
                     `}`, or put a part of the key between braces",
                );
            }
        }
        if Lease::would_deadlock(&common, &whole) {
            return Err(LockError::WouldDeadlock { key });
        }
        let Ok(runtime) = Handle::try_current() else {
            return invalid(
                "no tokio runtime runs here, and locks need one; call this from a future that \
                 tokio runs, as below `#[tokio::main]`",
            );
        };
        let request = Request {
            common,
            key: whole,
            kind,
            counter,
            terms,
            coalesce: self.coalesce,
            started: Instant::now(),
            runtime,
            _waiting: Waiting::new(terms.name),
        };
        Ok((request, patience))
    }
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

impl Request {
    /// The key without the prefix.
    pub(super) fn key(&self) -> &str {
        &self.key[self.common.settings.prefix.len()..]
    }

    /// What has to be passed on to it.
    pub(super) fn needs(&self) -> Needs {
        Needs {
            fenced: self.counter.is_some(),
            ttl: self.terms.ttl,
        }
    }

    /// The owner of the key from before it is asked for.
    pub(super) fn guard(&self, now: Instant) -> LockGuard {
        let counter = self.counter.as_deref();
        let entry = (self.common).entry(&self.key, self.kind, counter, now, &self.runtime);
        LockGuard::new(&self.common, entry, self.terms, &self.runtime, now)
    }

    /// The owner of a place in the store's line that another caller has left to us, if we can use it.
    pub(super) fn inherited(&self, tenure: Arc<SharedTenure>) -> Option<LockGuard> {
        let fenced = tenure.entry.counter.is_some();
        tenure.tell(|tenure| tenure.inherit(self.terms));
        let guard = LockGuard::of(&self.common, tenure, fenced, &self.runtime);
        if fenced == self.needs().fenced {
            return Some(guard);
        }
        guard.give_up_seat();
        None
    }

    /// The owner for the next attempt, after one that was not granted.
    pub(super) fn again(&self, last: LockGuard) -> LockGuard {
        if self.common.store.spends_tokens() {
            self.guard(Instant::now())
        } else {
            last
        }
    }

    /// The owner of a tenure that was passed on, who has not begun its turn.
    pub(super) fn passed_on(&self, tenure: Arc<SharedTenure>) -> LockGuard {
        LockGuard::of(&self.common, tenure, self.counter.is_some(), &self.runtime)
    }

    /// The lock is had.
    pub(super) fn begun(&self, guard: LockGuard, attempts: u32) -> LockGuard {
        guard.begun(self.terms.name, attempts, self.started)
    }

    pub(super) fn busy(&self, attempts: u32, holder: Option<&Holder>) -> LockError {
        let error = LockError::Busy {
            key: self.key().to_owned(),
            attempts,
            waited: self.started.elapsed(),
            owner: holder.and_then(|holder| holder.owner.clone()),
            holders: holder.map_or(1, |holder| holder.places.max(1)),
            retry_after: holder.and_then(|holder| holder.left),
            foreign: holder.is_some_and(|holder| holder.owner.is_none() && !holder.are_several()),
            endless: holder.is_some_and(|holder| holder.left.is_none()),
            waiting: holder.and_then(|holder| holder.waiting),
        };
        telemetry::busy(self.terms.name, &error);
        error
    }

    pub(super) fn failed(&self, attempts: u32, error: StoreError) -> LockError {
        telemetry::backend_error(self.terms.name);
        let (key, waited) = (Some(self.key()), self.started.elapsed());
        error.into_error(key, "acquired", attempts, waited)
    }
}
