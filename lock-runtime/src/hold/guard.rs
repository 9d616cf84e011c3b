//! The owner of a held lock.

use std::fmt;
use std::ops::Deref;
use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use super::lease::Lease;
use super::releasing::Releasing;
use super::single::Hold;
use crate::error::{LockError, LostReason};
use crate::store::Outcome;
use crate::tenure::{Tenure, Terms};

/// A held lock. Releasing it, or dropping it, frees the key.
///
/// Dropped, it is released in the background at once, without blocking: by the runtime it is
/// dropped in, or else the one it was acquired in. Only when neither runs any more does the key
/// stay until its ttl is over.
///
/// Bind it to a name: `let _guard = locker.lock("k").acquire().await?` holds the lock to the end of the
/// block. `let _ = locker.lock("k").acquire().await?` drops the guard, and so releases the lock, in
/// the same statement. rustc does not say so by itself; `#![warn(let_underscore_drop)]` has it do so.
///
/// A guard cannot stop your code when the lock expires: check [`Lease::is_held`], or await
/// [`Lease::lost`]. [`LockRequest::run`](crate::LockRequest::run) does that for you. A guard derefs to
/// its [`Lease`].
#[must_use = "dropping the guard releases the lock at once: bind it, as in `let _guard = …`, not `let _ = …`"]
pub struct LockGuard {
    /// That of the first key, and mostly of the only one. Its lease is the guard's.
    first: Hold,
    others: Vec<Hold>,
    attempts: u32,
    waited: Duration,
}

/// Which of a guard's keys was lost, and how.
#[derive(Clone, Copy)]
pub(crate) struct Loss {
    key: usize,
    reason: LostReason,
}

impl LockGuard {
    /// The lock is had, after so many attempts since the request.
    pub(crate) fn new(
        mut hold: Hold,
        name: &'static str,
        attempts: u32,
        requested: Instant,
    ) -> Self {
        hold.begin(name);
        Self {
            first: hold,
            others: Vec::new(),
            attempts,
            waited: requested.elapsed(),
        }
    }

    /// All keys of a request are had, at least one. Their turn begins now.
    pub(crate) fn of_all(
        mut holds: Vec<Hold>,
        terms: Terms,
        attempts: u32,
        requested: Instant,
    ) -> Self {
        let mut guard = Self::new(holds.remove(0), terms.name, attempts, requested);
        guard.others = holds;
        for hold in &mut guard.others {
            hold.begin(terms.name);
        }
        let parts = guard.others.iter().map(|hold| hold.lease.first.clone());
        guard.first.lease.others = Some(parts.collect());
        let now = Instant::now();
        guard.holds().for_each(|hold| hold.complete(now, terms));
        guard
    }

    fn holds(&self) -> impl Iterator<Item = &Hold> {
        std::iter::once(&self.first).chain(&self.others)
    }

    /// How many attempts the request made; none when another holder in this process passed the
    /// lock on before it made one. Of several keys, those of all, or with
    /// [`retries`](crate::LockRequest::retries) how often it asked for them from the first on.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// How long the request took to get the lock.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.waited
    }

    /// The lease of this lock, to pass on.
    #[must_use]
    pub fn lease(&self) -> Lease {
        self.first.lease.clone()
    }

    /// Until when all keys are held; or which is lost. This is woken when one is lost before.
    pub(crate) fn watch(&self, body: &Waker) -> Result<Instant, Loss> {
        let now = Instant::now();
        let lost = |key| move |reason| Loss { key, reason };
        let mut until = self.first.tenure().watch(now, body).map_err(lost(0))?;
        for (other, hold) in self.others.iter().enumerate() {
            let known = hold.tenure().watch(now, body).map_err(lost(other + 1))?;
            until = until.min(known);
        }
        Ok(until)
    }

    /// What the caller is told of a loss; the log is told as well.
    pub(crate) fn tell_loss(&self, Loss { key, reason }: Loss) -> LockError {
        let hold = key
            .checked_sub(1)
            .map_or(&self.first, |other| &self.others[other]);
        hold.lost(reason)
    }

    /// Tells the log what is lost by now.
    pub(crate) fn tell_losses(&self) {
        let now = Instant::now();
        for hold in self.holds() {
            if let Some(reason) = hold.tenure().look(|tenure| tenure.loss(now)) {
                hold.tenure().tell_loss(reason);
            }
        }
    }

    /// Whether it is to be told when something has woken the body.
    pub(crate) fn watches_idleness(&self) -> bool {
        self.first.tenure().look(Tenure::watches_idleness)
    }

    /// The body is polled since something has woken it.
    pub(crate) fn moved(&self) {
        let now = Instant::now();
        let holds = self.holds();
        holds.for_each(|hold| hold.tenure().tell(|tenure| tenure.moved(now)));
    }

    /// How the run ended, for its record, if there is one. Only the first word counts. The run of several keys
    /// has none.
    pub(crate) fn ended(&self, outcome: Outcome) {
        self.first.ended(outcome);
    }

    /// The same, where that is still to be found out.
    pub(crate) fn ended_as(&self, outcome: impl FnOnce() -> Outcome) {
        self.first.ended_as(outcome);
    }

    /// Passes on what others of this process wait for, and gives back the rest.
    pub(crate) fn give_back(self) -> Releasing {
        Releasing::new(self.first, self.others)
    }

    /// Releases the lock, and waits until Redis has done so. For its [record](crate::LockRequest::record), if
    /// it has one, that is a success; [`fail`](Self::fail) is none. Within `min_hold`, the key stays for
    /// the rest of it.
    ///
    /// Several keys are released together.
    ///
    /// # Errors
    ///
    /// `NotHeld` when the key is gone already or is someone else's, which is then left alone.
    /// `Backend` when Redis could not be asked; the release is then tried again in the background
    /// until the key's ttl is over. Of several keys that were not released, the first to be known is the error, and
    /// the others are logged at `warn`.
    ///
    /// # Cancellation
    ///
    /// When the future is dropped, the release goes on in the background.
    pub async fn release(self) -> Result<(), LockError> {
        self.end(Outcome::Ok).await
    }

    /// Releases the lock, like [`release`](Self::release), and says in its
    /// [record](crate::LockRequest::record) that the run failed. With
    /// [`once_per`](crate::LockRequest::once_per), the next caller runs it again in the same period.
    /// Where nothing is recorded, it is `release`.
    ///
    /// A guard that is dropped did not succeed either: its run counts as dropped, or as panicked where it
    /// is dropped by a panic.
    ///
    /// # Errors
    ///
    /// Those of `release`.
    ///
    /// # Cancellation
    ///
    /// When the future is dropped, the release goes on in the background, and says the same.
    ///
    /// ```
    /// # use redis_locked_runtime as redis_locked;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), redis_locked::LockError> {
    /// # const DAY: std::time::Duration = std::time::Duration::from_secs(86_400);
    /// let locker = redis_locked::Locker::in_memory();
    /// let nightly = || locker.lock("nightly").once_per(DAY).acquire();
    /// nightly().await?.fail().await?;
    /// nightly().await?.release().await?; // it was not done yet, and is now
    /// assert!(nightly().await.unwrap_err().is_already_done());
    /// # Ok(())
    /// # }
    /// ```
    pub async fn fail(self) -> Result<(), LockError> {
        self.end(Outcome::Error).await
    }

    async fn end(self, outcome: Outcome) -> Result<(), LockError> {
        self.ended(outcome);
        self.give_back().await.map_err(|failed| failed.error)
    }
}

impl Deref for LockGuard {
    type Target = Lease;

    fn deref(&self) -> &Lease {
        &self.first.lease
    }
}

impl fmt::Debug for LockGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LockGuard").field(&self.first.lease).finish()
    }
}
