//! The attempts of one request.

use tokio::time::{Instant, sleep};

use crate::backoff::Backoff;
use crate::error::{LockError, LostReason};
use crate::guard::LockGuard;
use crate::lease::Lease;
use crate::locker::Locker;
use crate::store::{Acquired, Asking, Attempted, Entry, Holder, StoreError};
use crate::telemetry::{self, Waiting};
use crate::tenure::{Tenure, Terms};
use crate::token::random_token;

/// A request that has been checked.
pub(crate) struct Order {
    pub(crate) locker: Locker,
    /// With the locker's prefix.
    pub(crate) key: String,
    /// The fencing counter, if a number is wanted.
    pub(crate) counter: Option<String>,
    pub(crate) terms: Terms,
}

impl Order {
    /// The key without the prefix.
    pub(crate) fn key(&self) -> &str {
        &self.key[self.locker.prefix().len()..]
    }

    /// The owner of the key from before it is asked for.
    pub(crate) fn guard(&self) -> LockGuard {
        let entry = Entry {
            key: self.key.clone(),
            value: self.locker.value(random_token()),
            counter: self.counter.clone(),
        };
        let locker = self.locker.clone();
        LockGuard::new(Tenure::new(locker, entry, self.terms, Lease::current()))
    }

    /// The owner for the next attempt, after one that was not granted.
    pub(crate) fn again(&self, last: LockGuard) -> LockGuard {
        if self.locker.store().spends_tokens() {
            self.guard()
        } else {
            last
        }
    }

    pub(crate) fn busy(
        &self,
        attempts: u32,
        started: Instant,
        holder: Option<Holder>,
    ) -> LockError {
        let (owner, retry_after) =
            holder.map_or((None, None), |holder| (holder.owner, holder.left));
        let error = LockError::Busy {
            key: self.key().to_owned(),
            attempts,
            waited: started.elapsed(),
            owner,
            retry_after,
        };
        telemetry::busy(self.terms.name, &error);
        error
    }

    pub(crate) fn failed(&self, attempts: u32, started: Instant, error: StoreError) -> LockError {
        telemetry::backend_error(self.terms.name);
        let (key, waited) = (Some(self.key()), started.elapsed());
        LockError::backend(key, "acquired", attempts, waited, error)
    }
}

/// Asks, and asks again after a pause while that may help.
pub(crate) async fn acquire(
    order: Order,
    retries: u32,
    backoff: Backoff,
) -> Result<LockGuard, LockError> {
    let started = Instant::now();
    let _waiting = Waiting::new(order.terms.name);
    let mut guard = order.guard();
    let mut pauses = backoff.pauses();
    let mut attempts = 0;
    let mut in_doubt = false;
    loop {
        attempts += 1;
        let last = attempts > retries;
        let asking = match (in_doubt, last) {
            (true, _) => Asking::Again,
            (false, true) => Asking::WhoHolds,
            (false, false) => Asking::Plain,
        };
        match attempt(&guard, order.terms, asking).await? {
            Attempt::Granted => return Ok(guard.begun(&order, attempts, started)),
            Attempt::Busy(holder) | Attempt::Split(holder) if last => {
                return Err(order.busy(attempts, started, holder));
            }
            Attempt::Busy(_) | Attempt::Split(_) => in_doubt = false,
            Attempt::Failed { error, .. } if last || !error.may_pass => {
                return Err(order.failed(attempts, started, error));
            }
            Attempt::Failed { settled, .. } => in_doubt |= !settled,
        }
        guard = order.again(guard);
        sleep(pauses.next().unwrap_or_default()).await;
    }
}

pub(crate) enum Attempt {
    Granted,
    Busy(Option<Holder>),
    /// Busy, after some of several servers were taken.
    Split(Option<Holder>),
    Failed {
        error: StoreError,
        settled: bool,
    },
}

/// One attempt, from the command to a lease that runs.
pub(crate) async fn attempt(
    guard: &LockGuard,
    terms: Terms,
    asking: Asking,
) -> Result<Attempt, LockError> {
    let tenure = &guard.tenure;
    let answer = {
        let store = tenure.locker.store();
        tenure.asked();
        store.acquire(tenure.entry.clone(), terms.ttl, asking)
    };
    let Attempted { outcome, settled } = answer.await;
    match outcome {
        Ok(Acquired::Granted { since, fence }) => {
            if !settled || asking == Asking::Again {
                tenure.leave_in_doubt();
            }
            if !tenure.granted(since, fence, terms) {
                let (key, reason) = (guard.key().to_owned(), LostReason::Expired);
                telemetry::lost(terms.name, &key, reason);
                return Err(LockError::Lost { key, reason });
            }
            Ok(Attempt::Granted)
        }
        Ok(Acquired::Busy(holder)) => {
            tenure.not_granted();
            Ok(Attempt::Busy(holder))
        }
        Ok(Acquired::Split(holder)) => {
            if settled {
                tenure.not_granted();
            }
            Ok(Attempt::Split(holder))
        }
        Err(error) => {
            if settled && asking != Asking::Again {
                tenure.not_granted();
            }
            Ok(Attempt::Failed { error, settled })
        }
    }
}
