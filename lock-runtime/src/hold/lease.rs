//! The lease: until when a lock is surely held, and how it ends.

use std::sync::Arc;
use std::time::Duration;
use std::{fmt, iter};

use futures_util::FutureExt as _;
use futures_util::future::select_all;
use tokio::time::Instant;

use super::common::Common;
use super::part::Part;
use crate::error::{LockError, LostReason};
use crate::tenure::SharedTenure;
use crate::token::FencingToken;

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
    /// That of the first key, and mostly of the only one.
    pub(super) first: Part,
    pub(super) others: Option<Arc<[Part]>>,
    /// The lease whose body asked for this one.
    outer: Option<Arc<Self>>,
}

impl Lease {
    /// That of the tenure's present turn.
    pub(super) fn new(common: Arc<Common>, tenure: Arc<SharedTenure>, fenced: bool) -> Self {
        Self {
            common,
            first: Part::new(tenure, fenced),
            others: None,
            outer: Self::current().map(Arc::new),
        }
    }

    fn others(&self) -> &[Part] {
        self.others.as_deref().unwrap_or_default()
    }

    /// All keys, in order.
    fn parts(&self) -> impl Iterator<Item = &Part> {
        iter::once(&self.first).chain(self.others())
    }

    /// The key, without the locker's prefix; of several, the first.
    #[must_use]
    pub fn key(&self) -> &str {
        self.first.key()
    }

    /// All keys, without the locker's prefix: one, or those of [`lock_all`](crate::Locker::lock_all), in the
    /// order of their bytes.
    ///
    /// ```
    /// # use redis_locked_runtime as redis_locked;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), redis_locked::LockError> {
    /// let locker = redis_locked::Locker::in_memory();
    /// let both = locker.lock_all(["b", "a", "b"]).acquire().await?;
    /// assert_eq!(both.keys().collect::<Vec<_>>(), ["a", "b"]);
    /// # Ok(())
    /// # }
    /// ```
    pub fn keys(&self) -> impl Iterator<Item = &str> {
        self.parts().map(Part::key)
    }

    /// The token: 22 characters that name this tenure of the key. Each key has a token of its own; of several,
    /// this is the first's.
    #[must_use]
    pub fn token(&self) -> &str {
        self.first.token()
    }

    pub(crate) fn tokens(&self) -> impl Iterator<Item = &str> {
        self.parts().map(Part::token)
    }

    /// The fencing token, if the request was `fenced`.
    #[must_use]
    pub fn fencing_token(&self) -> Option<FencingToken> {
        self.first.fencing_token()
    }

    /// The time left until the confirmed deadline; zero once the lock is released or lost. Of several keys, it
    /// is the least.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        let now = Instant::now();
        let first = self.first.remaining(now);
        let others = self.others().iter().map(|part| part.remaining(now));
        others.fold(first, Duration::min)
    }

    /// Whether the lock is surely held at this moment: all of its keys. Sends nothing.
    #[must_use]
    pub fn is_held(&self) -> bool {
        let now = Instant::now();
        self.parts().all(|part| part.is_held(now))
    }

    /// Waits until the lock is lost, and tells how. Of several keys, the first that is lost counts;
    /// [`loss`](Self::loss) tells which.
    ///
    /// With `renew`, the holder is told at once that its key was deleted or overwritten. That is from the
    /// first extension on, which comes after a quarter of the ttl. Before that, on several
    /// independent servers, and if Redis does not tell (`CLIENT TRACKING` on a second connection), the
    /// next extension finds out, so within two thirds of the ttl. Without `renew`, it is noticed at the
    /// deadline. Once the lock was released, this never returns.
    ///
    /// Dropping the future does nothing.
    pub async fn lost(&self) -> LostReason {
        if self.others.is_none() {
            return self.first.lost().await;
        }
        let all = self.parts().map(|part| part.lost().boxed());
        select_all(all).await.0
    }

    /// How the lock is lost, and which key: [`LockError::Lost`], as the caller of a body is told it. `None` while
    /// the lock is held, and once it was released. Of several keys that are lost, it is the first in their order.
    /// Sends nothing.
    ///
    /// ```
    /// # use redis_locked_runtime as redis_locked;
    /// # use std::time::Duration;
    /// # #[tokio::main(flavor = "current_thread", start_paused = true)]
    /// # async fn main() -> Result<(), redis_locked::LockError> {
    /// let locker = redis_locked::Locker::in_memory();
    /// let both = locker.lock_all(["a", "b"]).ttl(Duration::from_secs(5)).acquire().await?;
    /// assert!(both.loss().is_none());
    /// // … something that takes too long …
    /// # tokio::time::sleep(Duration::from_secs(6)).await;
    /// if let Some(loss) = both.loss() {
    ///     println!("{loss}"); // lock "a" was lost: its ttl was over …
    /// #   assert_eq!((loss.is_lost(), loss.key()), (true, Some("a")));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn loss(&self) -> Option<LockError> {
        let now = Instant::now();
        self.parts().find_map(|part| part.loss(now))
    }

    /// Makes the lock last at least `ttl` from now, and moves the body's deadline along. The deadline
    /// never moves beyond `max_hold`, and the time that is left never becomes shorter. Several keys are
    /// extended by commands that leave together.
    ///
    /// # Errors
    ///
    /// `InvalidRequest` for a ttl that no request may have, `NotHeld` after the release, `Lost`
    /// when the lock is lost, `Backend` when Redis could not be asked. The deadline then stays as
    /// it was. Each names its key. Of several, other keys may have been extended.
    ///
    /// # Cancellation
    ///
    /// When the future is dropped, Redis may or may not have extended the key; the deadline stays.
    pub async fn extend(&self, ttl: Duration) -> Result<(), LockError> {
        check_ttl(self.key(), ttl)?;
        let asked = Instant::now();
        let slept = self.parts().map(|part| part.extending(asked));
        let slept = slept.collect::<Result<Vec<_>, _>>()?;
        let batch = self.parts().map(|part| (part.tenure.entry.clone(), ttl));
        let answers = self.common.store.extend(batch.collect()).await;
        debug_assert_eq!(answers.len(), slept.len(), "a store answers each extension");
        let answers = self.parts().zip(slept).zip(answers);
        let heard = answers
            .map(|((part, slept), answer)| part.extended(&self.common, ttl, asked, slept, answer));
        // Each is heard, whatever came of the others.
        heard.fold(Ok(()), Result::and)
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
        let now = Instant::now();
        let is_held = |part: &Part| part.key() == key && part.is_held(now);
        let held = Self::is_any_around(|lease| lease.parts().any(is_held));
        assert!(
            held,
            "lock {key:?} is not held here: call this from a function that is annotated with it, \
             or from the body of `LockRequest::run`"
        );
    }

    /// Whether any lease of the bodies that the running task is in is such; the innermost is asked first.
    fn is_any_around(is_such: impl Fn(&Self) -> bool) -> bool {
        let any = |innermost: &Self| {
            let mut around = iter::successors(Some(innermost), |lease| lease.outer.as_deref());
            around.any(is_such)
        };
        INNERMOST.try_with(any).unwrap_or(false)
    }

    /// Whether a body that the running task is in holds this key, with the prefix, of this locker.
    pub(crate) fn would_deadlock(common: &Arc<Common>, key: &str) -> bool {
        let is_held = |part: &Part| part.tenure.entry.key == key && part.is_held(Instant::now());
        Self::is_any_around(|lease| {
            Arc::ptr_eq(&lease.common, common) && lease.parts().any(is_held)
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
        let mut shown = f.debug_struct("Lease");
        if self.others.is_none() {
            shown.field("key", &self.key());
        } else {
            shown.field("keys", &self.keys().collect::<Vec<_>>());
        }
        shown
            .field("token", &self.token())
            .field("fencing_token", &self.fencing_token())
            .field("remaining", &self.remaining())
            .finish_non_exhaustive()
    }
}
