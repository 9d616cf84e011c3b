//! The lease: until when a lock is surely held, and how it ends.

use std::fmt;
use std::future::pending;
use std::pin::pin;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::error::LockError;
use crate::error::LostReason;
use crate::locker::Locker;
use crate::store::Extension;
use crate::telemetry;
use crate::tenure::{State, Tenure, Terms};
use crate::token::{FencingToken, TOKEN_LEN};

tokio::task_local! {
    /// The innermost lease whose body the task is polling.
    static INNERMOST: Lease;
}

/// The state of a held lock, for whoever wants to look: a cheap clone that keeps nothing alive in
/// Redis.
///
/// A lease has the deadline that Redis has confirmed. It counts from just before the command was
/// sent, less 1 % of the ttl and 2 ms for the drift between the two clocks, so that the key
/// outlives the deadline.
///
/// ```
/// # use redis_locked_runtime as redis_locked;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), redis_locked::LockError> {
/// use std::time::Duration;
/// let locker = redis_locked::Locker::in_memory();
/// let guard = locker.lock("report:42").ttl(Duration::from_secs(5)).acquire().await?;
/// let lease = guard.lease();
/// assert!(lease.is_held() && lease.remaining() > Duration::from_secs(4));
/// guard.release().await?;
/// assert!(!lease.is_held());
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Lease {
    pub(crate) tenure: Arc<Tenure>,
    /// Which of the tenure's holders this lease is for.
    turn: u32,
    /// Whether that holder asked for a fencing number.
    fenced: bool,
}

impl Lease {
    pub(crate) fn first(tenure: Tenure) -> Self {
        Self {
            fenced: tenure.entry.counter.is_some(),
            tenure: Arc::new(tenure),
            turn: 0,
        }
    }

    /// Whether this is the lease of the one whose turn it is.
    fn state(&self) -> Option<MutexGuard<'_, State>> {
        let state = self.tenure.state();
        (state.turn == self.turn).then_some(state)
    }

    /// Whether there may be a key in the store that this lease has to answer for.
    pub(crate) fn may_have_key(&self) -> bool {
        self.state().is_some_and(|state| state.may_have_key())
    }

    /// Passes the lock on, if it may be.
    ///
    /// The lease that is returned lasts until the confirmed deadline; who takes it says by
    /// [`accept`](Self::accept) what it wants.
    pub(crate) fn pass_on(&self, fenced: bool) -> Option<Self> {
        let turn = self.state()?.pass_on(fenced)?;
        Some(Self {
            tenure: Arc::clone(&self.tenure),
            turn,
            fenced,
        })
    }

    /// Starts the turn of the one that the lock was passed on to. False when it was lost meanwhile.
    pub(crate) fn accept(&self, terms: Terms) -> bool {
        self.tenure.accept(terms, Self::current())
    }

    /// The key, without the locker's prefix.
    #[must_use]
    pub fn key(&self) -> &str {
        self.tenure.key()
    }

    /// The token: 22 characters that name this tenure of the key.
    #[must_use]
    pub fn token(&self) -> &str {
        &self.tenure.entry.value[..TOKEN_LEN]
    }

    /// The fencing token, if the request was `fenced`.
    #[must_use]
    pub fn fencing_token(&self) -> Option<FencingToken> {
        if !self.fenced {
            return None;
        }
        let number = self.tenure.state().fence()?;
        Some(FencingToken::new(number, self.turn))
    }

    /// The time left until the confirmed deadline; zero once the lock is released or lost.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        let now = Instant::now();
        match self.state() {
            Some(state) if state.is_held(now) => state.cutoff() - now,
            _ => Duration::ZERO,
        }
    }

    /// Whether the lock is surely held at this moment. Sends nothing.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.state()
            .is_some_and(|state| state.is_held(Instant::now()))
    }

    /// Waits until the lock is lost, and tells how.
    ///
    /// With `renew`, a deleted or overwritten key is noticed at the next extension, so within two
    /// thirds of the ttl; without, at the deadline. Never returns once the lock was released.
    ///
    /// Dropping the future does nothing.
    pub async fn lost(&self) -> LostReason {
        loop {
            let mut changed = pin!(self.tenure.lost.notified());
            changed.as_mut().enable();
            let until = {
                match self.state() {
                    None => None,
                    Some(state) => match state.loss(Instant::now()) {
                        Some(reason) => return reason,
                        None => state.is_granted().then(|| state.cutoff()),
                    },
                }
            };
            match until {
                // The deadline may have moved meanwhile: look again in either case.
                Some(until) => drop(timeout_at(until, changed).await),
                None => pending().await,
            }
        }
    }

    /// Makes the lock last at least `ttl` from now, and moves the body's deadline along; never
    /// beyond `max_hold`, and never shortens what is left.
    ///
    /// # Errors
    ///
    /// `InvalidRequest` for a ttl that no request may have, `NotHeld` after the release, `Lost`
    /// when the lock is lost, `Backend` when Redis could not be asked; the deadline then stays as
    /// it was.
    ///
    /// # Cancellation
    ///
    /// When the future is dropped, Redis may or may not have extended the key; the deadline stays.
    pub async fn extend(&self, ttl: Duration) -> Result<(), LockError> {
        let tenure = &self.tenure;
        crate::request::check_ttl(self.key(), ttl)?;
        let lost = |reason| LockError::Lost {
            key: self.key().to_owned(),
            reason,
        };
        {
            let state = self.state();
            if let Some(reason) = state.as_ref().and_then(|state| state.loss(Instant::now())) {
                return Err(lost(reason));
            }
            if !state.is_some_and(|state| state.is_granted()) {
                return Err(LockError::NotHeld {
                    key: self.key().to_owned(),
                    taken_over: false,
                });
            }
        }
        let asked = Instant::now();
        let batch = vec![(Arc::clone(&tenure.entry), ttl)];
        let answer: Option<Extension> = tenure.locker.store().extend(batch).await.pop();
        match answer {
            Some(Ok(answer)) => tenure.extended(ttl, answer).map_err(lost)?,
            Some(Err(error)) => {
                telemetry::backend_error(tenure.name());
                let waited = asked.elapsed();
                return Err(LockError::backend(
                    Some(self.key()),
                    "extended",
                    1,
                    waited,
                    error,
                ));
            }
            None => unreachable!("a store answers each extension"),
        }
        if let Some(mut state) = self.state() {
            state.want_confirmed();
        }
        Ok(())
    }

    /// The innermost lease whose body the running task is in.
    ///
    /// Seen from the body and all that it awaits in place; not from tasks it spawned, which take a
    /// clone along instead.
    #[must_use]
    pub fn current() -> Option<Self> {
        INNERMOST.try_with(Clone::clone).ok()
    }

    /// Makes sure that the running task is in a body that holds this key, without the prefix.
    ///
    /// For code that must only be called under a lock: it fails in the first test of a caller who
    /// forgot it.
    ///
    /// # Panics
    ///
    /// When no body around the caller holds the key, or its lock is lost.
    ///
    /// ```
    /// # use redis_locked_runtime as redis_locked;
    /// # use redis_locked::{Lease, Locker, LockError};
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), LockError> {
    /// async fn append_to_ledger(account: u32) {
    ///     Lease::assert_held(&format!("account:{account}"));
    ///     // …
    /// }
    /// let locker = Locker::in_memory();
    /// locker.lock("account:7").run(append_to_ledger(7)).await?;
    /// # Ok(())
    /// # }
    /// ```
    #[track_caller]
    pub fn assert_held(key: &str) {
        let held = Self::around().any(|lease| lease.key() == key && lease.is_held());
        assert!(
            held,
            "lock {key:?} is not held here: call this from a function that is annotated with it, \
             or from the body of `LockRequest::run`"
        );
    }

    /// The leases of the bodies that the running task is in, the innermost first.
    fn around() -> impl Iterator<Item = Self> {
        std::iter::successors(Self::current(), |lease| lease.state()?.outer())
    }

    /// Whether a body that the running task is in holds this key, with the prefix, of this locker.
    pub(crate) fn would_deadlock(locker: &Locker, key: &str) -> bool {
        let now = Instant::now();
        Self::around().any(|lease| {
            lease.tenure.locker.is(locker)
                && lease.tenure.entry.key == key
                && lease.state().is_some_and(|state| state.is_held(now))
        })
    }

    /// Runs this as part of the body.
    pub(crate) fn enter<T>(&self, body: impl FnOnce() -> T) -> T {
        INNERMOST.sync_scope(self.clone(), body)
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lease")
            .field("key", &self.key())
            .field("token", &self.token())
            .field("fencing_token", &self.fencing_token())
            .field("remaining", &self.remaining())
            .finish_non_exhaustive()
    }
}
