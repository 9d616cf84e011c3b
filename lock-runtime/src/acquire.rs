//! The attempts of one request.

use tokio::time::{Instant, sleep};

use crate::backoff::Backoff;
use crate::error::{LockError, LostReason};
use crate::guard::LockGuard;
use crate::lease::Lease;
use crate::locker::Locker;
use crate::store::{Acquired, Asking, Entry, Holder, StoreError};
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
        LockGuard::new(Tenure::new(locker, entry, self.terms.ttl, Lease::current()))
    }

    pub(crate) fn busy(
        &self,
        attempts: u32,
        started: Instant,
        holder: Option<Holder>,
    ) -> LockError {
        let (owner, retry_after) =
            holder.map_or((None, None), |holder| (holder.owner, holder.left));
        LockError::Busy {
            key: self.key().to_owned(),
            attempts,
            waited: started.elapsed(),
            owner,
            retry_after,
        }
    }

    pub(crate) fn failed(&self, attempts: u32, started: Instant, error: StoreError) -> LockError {
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
    let guard = order.guard();
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
            Attempt::Granted => return Ok(guard),
            Attempt::Busy(holder) if last => return Err(order.busy(attempts, started, holder)),
            Attempt::Busy(_) => in_doubt = false,
            Attempt::Failed(error) if last || !error.may_pass => {
                return Err(order.failed(attempts, started, error));
            }
            Attempt::Failed(error) => in_doubt |= error.unresolved,
        }
        sleep(pauses.next().unwrap_or_default()).await;
    }
}

pub(crate) enum Attempt {
    Granted,
    Busy(Option<Holder>),
    Failed(StoreError),
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
    match answer.await {
        Ok(Acquired::Granted {
            since,
            fence,
            in_doubt,
        }) => {
            if in_doubt || asking == Asking::Again {
                tenure.leave_in_doubt();
            }
            if !tenure.granted(since, fence, terms) {
                return Err(LockError::Lost {
                    key: guard.key().to_owned(),
                    reason: LostReason::Expired,
                });
            }
            Ok(Attempt::Granted)
        }
        Ok(Acquired::Busy(holder)) => {
            tenure.not_granted();
            Ok(Attempt::Busy(holder))
        }
        Err(error) => {
            if !error.unresolved && asking != Asking::Again {
                tenure.not_granted();
            }
            Ok(Attempt::Failed(error))
        }
    }
}
