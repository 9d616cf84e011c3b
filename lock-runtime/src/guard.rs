//! The owner of a held lock.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::acquire::Order;
use crate::error::LockError;
use crate::lease::Lease;
use crate::store::{Answer, Released, StoreError};
use crate::telemetry::{self, Holding};
use crate::tenure::{Tenure, rest};

/// A held lock. Releasing it, or dropping it, frees the key.
///
/// Dropped, it is released in the background at once, without blocking: by the runtime it is
/// dropped in, or else the one it was acquired in. Only when neither runs any more does the key
/// stay until its ttl is over.
///
/// It derefs to [`Lease`]. A guard by itself stops nothing when its time is over: watch
/// [`Lease::lost`], or let [`LockRequest::run`](crate::LockRequest::run) do it.
#[must_use = "dropping the guard releases the lock at once"]
pub struct LockGuard {
    lease: Lease,
    runtime: Option<Handle>,
    /// From when the lock was had.
    turn: Option<Turn>,
}

/// How the lock was got, while it is had.
struct Turn {
    attempts: u32,
    waited: Duration,
    _holding: Holding,
}

impl LockGuard {
    /// Owns the key before it is asked for, so that nothing is left behind by a caller who leaves.
    pub(crate) fn new(tenure: Tenure) -> Self {
        Self {
            lease: Lease::first(tenure),
            runtime: Handle::try_current().ok(),
            turn: None,
        }
    }

    /// The lock is had, after so many attempts since the request.
    pub(crate) fn begun(mut self, order: &Order, attempts: u32, requested: Instant) -> Self {
        self.turn = Some(Turn {
            attempts,
            waited: requested.elapsed(),
            _holding: Holding::new(order.terms.name),
        });
        self
    }

    /// The lock in the hands of the next in line; this guard has it no more.
    pub(crate) fn pass_on(&self, fenced: bool) -> Option<Self> {
        Some(Self {
            lease: self.lease.pass_on(fenced)?,
            runtime: self.runtime.clone(),
            turn: None,
        })
    }

    /// Begins the turn of the one that the lock was passed on to, unless it is lost already.
    pub(crate) fn accept(mut self, order: &Order) -> Option<Self> {
        self.runtime = Handle::try_current().ok();
        self.lease.accept(order.terms).then_some(self)
    }

    /// How many attempts the request made; none when another holder in this process passed the
    /// lock on before it made one.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.turn.as_ref().map_or(0, |turn| turn.attempts)
    }

    /// How long the request took to get the lock.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.turn
            .as_ref()
            .map_or(Duration::ZERO, |turn| turn.waited)
    }

    /// The lease of this lock, to pass on.
    #[must_use]
    pub fn lease(&self) -> Lease {
        self.lease.clone()
    }

    /// Releases the lock, and waits until Redis has done so. Within `min_hold`, the key stays for
    /// the rest of it.
    ///
    /// # Errors
    ///
    /// `NotHeld` when the key is gone already or is someone else's, which is then left alone.
    /// `Backend` when Redis could not be asked; the release is then tried again in the background
    /// until the key's ttl is over.
    ///
    /// # Cancellation
    ///
    /// When the future is dropped, the release goes on in the background.
    pub async fn release(self) -> Result<(), LockError> {
        if self.passed_on() {
            return Ok(());
        }
        let asked = Instant::now();
        let answer = self.ask_release().await;
        self.conclude(asked, answer)
    }

    /// Gives the lock to the next in this process's line, if there is one and it may.
    pub(crate) fn passed_on(&self) -> bool {
        self.lease.tenure.locker.queue().pass_on(self)
    }

    pub(crate) fn ask_release(&self) -> Answer<Released> {
        let tenure = &self.lease.tenure;
        tenure.begin_release();
        let entry = Arc::clone(&tenure.entry);
        tenure.locker.store().release(entry, tenure.keep())
    }

    pub(crate) fn conclude(
        self,
        asked: Instant,
        answer: Result<Released, StoreError>,
    ) -> Result<(), LockError> {
        let tenure = &self.lease.tenure;
        match &answer {
            Ok(Released::Done) => {}
            Ok(Released::Gone | Released::TakenOver) => {
                tenure.count_failed_release();
                tenure.count_loss();
            }
            Err(_) => {
                tenure.count_failed_release();
                telemetry::backend_error(tenure.name());
            }
        }
        let taken_over = match answer {
            Ok(answer) => {
                tenure.end();
                let locker = &tenure.locker;
                locker.queue().vacate(tenure, tenure.was_passed_on());
                if let Some(leftover) = tenure.doubt() {
                    let (tenure, runtime) = (Arc::clone(tenure), self.runtime.clone());
                    locker.keeper().release(tenure, leftover, runtime);
                }
                match answer {
                    Released::Done => return Ok(()),
                    Released::Gone => false,
                    Released::TakenOver => true,
                }
            }
            Err(error) => {
                let waited = asked.elapsed();
                return Err(LockError::backend(
                    Some(self.key()),
                    "released",
                    1,
                    waited,
                    error,
                ));
            }
        };
        Err(LockError::NotHeld {
            key: self.key().to_owned(),
            taken_over,
        })
    }
}

impl Deref for LockGuard {
    type Target = Lease;

    fn deref(&self) -> &Lease {
        &self.lease
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LockGuard").field(&self.lease).finish()
    }
}

impl Drop for LockGuard {
    fn drop(&mut self) {
        if !self.lease.may_have_key() || self.passed_on() {
            return;
        }
        let tenure = &self.lease.tenure;
        let Some(mut leftover) = tenure.abandon() else {
            return;
        };
        // One that was passed on to a caller who has left was never had.
        leftover.had &= self.turn.is_some();
        leftover.held &= leftover.had;
        let locker = &tenure.locker;
        let keep = rest(leftover.keep_until);
        if let Some(answer) = locker.store().release_now(&tenure.entry, keep) {
            if leftover.held && answer != Released::Done {
                tenure.was_not_there(answer);
            }
            locker.queue().vacate(tenure, tenure.was_passed_on());
        } else {
            let runtime = Handle::try_current().ok().or_else(|| self.runtime.take());
            let keeper = locker.keeper();
            keeper.release(Arc::clone(tenure), leftover, runtime);
        }
    }
}
