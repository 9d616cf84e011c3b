//! The lease: until when a lock is surely held, and how it ends.

use std::fmt;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::common::Common;
use crate::error::{LockError, LostReason};
use crate::keeper::vacate;
use crate::store::Extension;
use crate::telemetry;
use crate::tenure::{Look, SharedTenure, Tenure};
use crate::token::{FencingToken, TOKEN_LEN};

/// A shorter ttl would be eaten by the drift and the way to Redis.
const SHORTEST_TTL: Duration = Duration::from_millis(10);

/// Far beyond any use, and far below what Redis and the clocks can count.
pub(crate) const LONGEST_TIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

tokio::task_local! {
    /// The innermost lease whose body the task is polling.
    static INNERMOST: Lease;
}

/// The state of a held lock, for code that wants to look at it. It is cheap to clone, and keeps nothing
/// alive in Redis.
///
/// A lease has the deadline that Redis has confirmed: the ttl, counted from just before the command was
/// sent, less 1 % of the ttl and 2 ms for the drift between the two clocks. So the key outlives the
/// deadline. On Linux, the time for which the machine sleeps counts. On other systems it does not: after
/// a sleep, a lease may seem held although its key has expired.
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
    pub(super) common: Arc<Common>,
    pub(super) tenure: Arc<SharedTenure>,
    /// Which of the tenure's holders this lease is for.
    turn: u32,
    /// Whether that holder asked for a fencing number.
    fenced: bool,
    /// The lease whose body asked for this one.
    outer: Option<Arc<Self>>,
}

impl Lease {
    /// That of the tenure's present turn.
    pub(super) fn new(common: Arc<Common>, tenure: Arc<SharedTenure>, fenced: bool) -> Self {
        Self {
            turn: tenure.look(Tenure::turn),
            common,
            tenure,
            fenced,
            outer: Self::current().map(Arc::new),
        }
    }

    /// What is asked of the tenure, if it is still this lease's turn.
    fn look<T>(&self, at: impl FnOnce(&Tenure) -> T) -> Option<T> {
        self.tenure
            .look(|tenure| (tenure.turn() == self.turn).then(|| at(tenure)))
    }

    /// Whether its holder has to give the key back.
    pub(super) fn owes_release(&self) -> bool {
        self.look(|tenure| !tenure.is_over()).unwrap_or(false)
    }

    /// How often the lock had been passed on when this lease began.
    pub(crate) fn turn(&self) -> u32 {
        self.turn
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
        let number = self.tenure.look(Tenure::fence)?;
        Some(FencingToken::new(number, self.turn))
    }

    /// The time left until the confirmed deadline; zero once the lock is released or lost.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        let now = Instant::now();
        self.tenure.wake(now, Look::Lately);
        let held = |tenure: &Tenure| tenure.is_held(now).then(|| tenure.cutoff() - now);
        self.look(held).flatten().unwrap_or_default()
    }

    /// Whether the lock is surely held at this moment. Sends nothing.
    #[must_use]
    pub fn is_held(&self) -> bool {
        let now = Instant::now();
        self.tenure.wake(now, Look::Lately);
        self.look(|tenure| tenure.is_held(now)).unwrap_or(false)
    }

    /// Waits until the lock is lost, and tells how.
    ///
    /// With `renew`, the holder is told at once that its key was deleted or overwritten. That is from the
    /// first extension on, which comes after a quarter of the ttl. Before that, on several
    /// independent servers, and if Redis does not tell (`CLIENT TRACKING` on a second connection), the
    /// next extension finds out, so within two thirds of the ttl. Without `renew`, it is noticed at the
    /// deadline. Once the lock was released, this never returns.
    ///
    /// Dropping the future does nothing.
    pub async fn lost(&self) -> LostReason {
        loop {
            let mut over = pin!(self.tenure.over.notified());
            over.as_mut().enable();
            let now = Instant::now();
            self.tenure.wake(now, Look::Lately);
            let until = self.look(|tenure| match tenure.loss(now) {
                Some(reason) => Err(reason),
                None => Ok(tenure.is_granted().then(|| tenure.cutoff())),
            });
            let until = match until {
                Some(Err(reason)) => return reason,
                Some(Ok(until)) => until,
                None => None,
            };
            match until {
                // The deadline may have moved meanwhile: look again in either case.
                Some(until) => drop(timeout_at(until, over).await),
                None => pending().await,
            }
        }
    }

    /// Makes the lock last at least `ttl` from now, and moves the body's deadline along. The deadline
    /// never moves beyond `max_hold`, and the time that is left never becomes shorter.
    ///
    /// # Errors
    ///
    /// `InvalidRequest` for a ttl that no request may have, `NotHeld` after the release, `Lost`
    /// when the lock is lost, `Backend` when Redis could not be asked. The deadline then stays as
    /// it was.
    ///
    /// # Cancellation
    ///
    /// When the future is dropped, Redis may or may not have extended the key; the deadline stays.
    pub async fn extend(&self, ttl: Duration) -> Result<(), LockError> {
        check_ttl(self.key(), ttl)?;
        let key = || self.key().to_owned();
        let lost = |reason| self.tenure.loss(reason);
        let asked = Instant::now();
        let (_, slept) = self.tenure.wake(asked, Look::Now);
        let state = self.look(|tenure| (tenure.loss(asked), tenure.is_granted()));
        match state {
            Some((Some(reason), _)) => return Err(lost(reason)),
            Some((None, true)) => {}
            Some((None, false)) | None => {
                return Err(LockError::NotHeld {
                    key: key(),
                    taken_over: false,
                });
            }
        }
        let tenure = &self.tenure;
        let batch = vec![(Arc::clone(&tenure.entry), ttl)];
        let answer: Option<Extension> = self.common.store.extend(batch).await.pop();
        let answer = match answer {
            Some(Ok(answer)) => answer,
            Some(Err(error)) => {
                telemetry::backend_error(tenure.name());
                let (key, waited) = (Some(self.key()), asked.elapsed());
                return Err(error.into_error(key, "extended", 1, waited));
            }
            None => unreachable!("a store answers each extension"),
        };
        if let Err(reason) = tenure.hear_extension(ttl, slept, answer) {
            vacate(&self.common.lines, tenure);
            return Err(lost(reason));
        }
        tenure.tell(|tenure| {
            if tenure.turn() == self.turn {
                tenure.want_confirmed();
            }
        });
        Ok(())
    }

    /// The innermost lease whose body the running task is in.
    ///
    /// The body sees it, and all code that the body awaits in place. A task that the body spawned does not
    /// see it: give the task a clone.
    #[must_use]
    pub fn current() -> Option<Self> {
        INNERMOST.try_with(Clone::clone).ok()
    }

    /// Makes sure that the running task is in a body that holds this key, without the prefix.
    ///
    /// It is for code that must be called only under a lock: a caller that forgot the lock fails in its
    /// first test.
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
        let outer = |lease: &Self| lease.outer.as_deref().cloned();
        std::iter::successors(Self::current(), outer)
    }

    /// Whether a body that the running task is in holds this key, with the prefix, of this locker.
    pub(crate) fn would_deadlock(common: &Arc<Common>, key: &str) -> bool {
        Self::around().any(|lease| {
            Arc::ptr_eq(&lease.common, common) && lease.tenure.entry.key == key && lease.is_held()
        })
    }

    /// Runs this as part of the body.
    pub(crate) fn enter<T>(&self, body: impl FnOnce() -> T) -> T {
        INNERMOST.sync_scope(self.clone(), body)
    }
}

/// Refuses a ttl that no request may have.
pub(crate) fn check_ttl(key: &str, ttl: Duration) -> Result<(), LockError> {
    if (SHORTEST_TTL..=LONGEST_TIME).contains(&ttl) {
        return Ok(());
    }
    let problem = format!("its ttl is {ttl:?}; give one from 10ms to ten years");
    Err(LockError::invalid(key, problem))
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
