//! The owner of a held lock.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::common::Common;
use super::lease::Lease;
use crate::error::LockError;
use crate::keeper::{Release, UnheardAttempt, vacate};
use crate::store::{Answer, Entry, Outcome, Released, StoreError};
use crate::telemetry::{self, Holding};
use crate::tenure::{Begun, End, Needs, SharedTenure, Tenure, Terms, rest};

/// A held lock. Releasing it, or dropping it, frees the key.
///
/// Dropped, it is released in the background at once, without blocking: by the runtime it is
/// dropped in, or else the one it was acquired in. Only when neither runs any more does the key
/// stay until its ttl is over.
///
/// Bind it to a name: `let _guard = locker.lock("k").acquire().await?` holds the lock to the end of the
/// block. `let _ = locker.lock("k").acquire().await?` drops the guard, and so releases the lock, in
/// the same statement.
///
/// A guard cannot stop your code when the lock expires: check [`Lease::is_held`], or await
/// [`Lease::lost`]. [`LockRequest::run`](crate::LockRequest::run) does that for you. A guard derefs to
/// its [`Lease`].
#[must_use = "dropping the guard releases the lock at once: bind it, as in `let _guard = …`, not `let _ = …`"]
pub struct LockGuard {
    lease: Lease,
    /// Where its release runs, should it be dropped outside of any runtime.
    runtime: Handle,
    /// From when the lock was had.
    had: Option<Had>,
    /// Its place in the store's line is another's.
    is_bequeathed: bool,
}

/// How the lock was got, while it is had.
struct Had {
    attempts: u32,
    waited: Duration,
    _holding: Holding,
}

/// Who may have a place in the store's line that one gives up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Heirs {
    /// The next in this process's line.
    Any,
    None,
}

impl LockGuard {
    /// Owns the key before it is asked for, so that nothing is left behind by a caller who leaves.
    pub(crate) fn new(
        common: &Arc<Common>,
        entry: Entry,
        terms: Terms,
        runtime: &Handle,
        now: Instant,
    ) -> Self {
        let fenced = entry.counter.is_some();
        let prefix = common.settings.prefix.len();
        let on_servers = common.store.is_on_servers();
        let tenure = Tenure::new(terms, now);
        let tenure = SharedTenure::new(entry, prefix, tenure, now, on_servers);
        Self::of(common, Arc::new(tenure), fenced, runtime)
    }

    /// Owns a tenure that was passed on. It lasts until the confirmed deadline; [`accept`] says what
    /// its new holder wants.
    ///
    /// [`accept`]: Self::accept
    pub(crate) fn of(
        common: &Arc<Common>,
        tenure: Arc<SharedTenure>,
        fenced: bool,
        runtime: &Handle,
    ) -> Self {
        Self {
            lease: Lease::new(Arc::clone(common), tenure, fenced),
            runtime: runtime.clone(),
            had: None,
            is_bequeathed: false,
        }
    }

    /// Begins the turn of the one that the lock was passed on to, unless it is lost already.
    pub(crate) fn accept(self, terms: Terms) -> Option<Self> {
        let now = Instant::now();
        let begun = self.tenure.tell(|tenure| tenure.accept(now, terms));
        self.watch_if(&begun);
        (!matches!(begun, Begun::Late(_))).then_some(self)
    }

    pub(super) fn watch_if(&self, begun: &Begun) {
        if *begun == Begun::ToWatch {
            self.common.keeper.watch(&self.tenure, &self.runtime);
        }
    }

    /// The lock is had, after so many attempts since the request.
    pub(crate) fn begun(mut self, name: &'static str, attempts: u32, requested: Instant) -> Self {
        self.had = Some(Had {
            attempts,
            waited: requested.elapsed(),
            _holding: Holding::new(name),
        });
        self
    }

    /// How many attempts the request made; none when another holder in this process passed the
    /// lock on before it made one.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.had.as_ref().map_or(0, |had| had.attempts)
    }

    /// How long the request took to get the lock.
    #[must_use]
    pub fn waited(&self) -> Duration {
        self.had.as_ref().map_or(Duration::ZERO, |had| had.waited)
    }

    /// The lease of this lock, to pass on.
    #[must_use]
    pub fn lease(&self) -> Lease {
        self.lease.clone()
    }

    /// Whether an attempt that was not granted may have set the key all the same.
    pub(crate) fn may_be_ours(&self) -> bool {
        self.tenure.look(Tenure::may_have_set)
    }

    pub(crate) fn tenure(&self) -> &Arc<SharedTenure> {
        &self.tenure
    }

    /// How the run ended, for its record, if there is one. Only the first word counts.
    pub(crate) fn ended(&self, outcome: Outcome) {
        self.ended_as(|| outcome);
    }

    /// The same, where that is still to be found out.
    pub(crate) fn ended_as(&self, outcome: impl FnOnce() -> Outcome) {
        if let Some(record) = &self.tenure.entry.record {
            let outcome = outcome();
            if record.ended(outcome) {
                telemetry::run_ended(self.tenure.name(), outcome);
            }
        }
    }

    /// Releases the lock, and waits until Redis has done so. For its [record](crate::LockRequest::record), if
    /// it has one, that is a success; [`fail`](Self::fail) is none. Within `min_hold`, the key stays for
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
        if self.pass_on() {
            return Ok(());
        }
        let asked = Instant::now();
        let answer = self.ask_release(asked).await;
        self.conclude(asked, answer)
    }

    /// Gives the lock to the next in this process's line, if there is one and it may.
    pub(crate) fn pass_on(&self) -> bool {
        let (tenure, turn) = (&self.tenure, self.turn());
        let mut body = None;
        let may = |needs: &Needs| {
            let (is_passed_on, waker) = tenure.pass_on(turn, needs);
            body = waker;
            is_passed_on
        };
        let (key, kind) = (&tenure.entry.key, tenure.entry.kind);
        self.common.lines.pass_on(key, (tenure, kind), may)
    }

    pub(crate) fn ask_release(&self, now: Instant) -> Answer<Released> {
        let keep_until = self.tenure.tell(Tenure::release);
        let entry = Arc::clone(&self.tenure.entry);
        let unsettled = self.tenure.look(|tenure| tenure.unsettled(now));
        let looks_until = self.tenure.looks_until(unsettled);
        let (keep, unsettled) = (rest(keep_until, now), rest(looks_until, now));
        self.common.store.release_in_doubt(entry, keep, unsettled)
    }

    pub(crate) fn conclude(
        self,
        asked: Instant,
        answer: Result<Released, StoreError>,
    ) -> Result<(), LockError> {
        let tenure = Arc::clone(&self.tenure);
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
                let end = tenure.tell(|tenure| tenure.released(asked));
                vacate(&self.common.lines, &tenure);
                self.clean_up(end, None);
                match answer {
                    Released::Done => return Ok(()),
                    Released::Gone => false,
                    Released::TakenOver => true,
                }
            }
            Err(error) => {
                let (key, waited) = (Some(self.key()), asked.elapsed());
                return Err(error.into_error(key, "released", 1, waited));
            }
        };
        Err(LockError::NotHeld {
            key: self.key().to_owned(),
            taken_over,
        })
    }

    /// Leaves its place in the store's line to the next of this process's line, if there is one to
    /// whom it is of use.
    fn bequeath(&mut self) -> bool {
        let entry = &self.tenure.entry;
        let fenced = entry.counter.is_some();
        let record = entry.record.as_ref().map(|record| record.wants);
        let is_seated = self.tenure.look(Tenure::is_seated);
        self.is_bequeathed = is_seated
            && self.common.lines.bequeath(
                &self.tenure.entry.key,
                (&self.tenure, self.tenure.entry.kind),
                |needs| needs.fenced == fenced && needs.record == record,
            );
        self.is_bequeathed
    }

    /// Gives its place in the store's line back: who has it has had its turn.
    pub(crate) fn give_up_seat(mut self) {
        self.leave(None, Heirs::None);
    }

    /// Gives back what there may be to give back; nothing where the tenure is over, or was passed
    /// on.
    pub(super) fn leave(&mut self, unheard: Option<UnheardAttempt>, heirs: Heirs) {
        if self.is_bequeathed || !self.owes_release() {
            return;
        }
        if heirs == Heirs::Any && self.bequeath() || self.pass_on() {
            return;
        }
        let tenure = Arc::clone(&self.tenure);
        let end = tenure.tell(|tenure| tenure.abandon(Instant::now()));
        if let Some(cleanup) = &end.cleanup {
            let keep = rest(cleanup.keep_until, Instant::now());
            if let Some(answer) = self.common.store.release_now(&tenure.entry, keep) {
                if cleanup.held && answer != Released::Done {
                    tenure.was_not_there(answer);
                }
                self.clean_up(
                    End {
                        cleanup: None,
                        ..end
                    },
                    None,
                );
                vacate(&self.common.lines, &tenure);
                return;
            }
        } else {
            vacate(&self.common.lines, &tenure);
        }
        self.clean_up(end, unheard);
    }

    /// Has the keeper do what is left.
    fn clean_up(&self, End { cleanup, watched }: End, unheard: Option<UnheardAttempt>) {
        let keeper = &self.common.keeper;
        if watched {
            keeper.forget();
        }
        if let Some(cleanup) = cleanup {
            keeper.release(Release {
                tenure: Arc::clone(&self.tenure),
                cleanup,
                unheard,
                runtime: Handle::try_current().unwrap_or_else(|_| self.runtime.clone()),
            });
        }
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
        if self.had.is_some() {
            self.ended(if std::thread::panicking() {
                Outcome::Panicked
            } else {
                Outcome::Dropped
            });
        }
        self.leave(None, Heirs::Any);
    }
}
