//! What holds one key: for as long as it lives, the key is not forgotten.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::time::Instant;

use super::common::Common;
use super::lease::Lease;
use crate::error::{LockError, LostReason};
use crate::keeper::{Release, UnheardAttempt, vacate};
use crate::store::{Answer, Entry, Outcome, Released, StoreError};
use crate::telemetry::{self, Holding};
use crate::tenure::{Begun, End, Needs, SharedTenure, Tenure, Terms, rest};

/// The owner of one key, from before it is asked for until it is given back. Dropped, it gives it back in the
/// background.
pub(crate) struct Hold {
    pub(super) lease: Lease,
    /// Where its release runs, should it be dropped outside of any runtime.
    runtime: Handle,
    /// From when the lock was had.
    holding: Option<Holding>,
    /// Its place in the store's line is another's.
    is_bequeathed: bool,
}

/// Who may have a place in the store's line that one gives up.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Heirs {
    /// The next in this process's line.
    Any,
    None,
}

impl Hold {
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
            holding: None,
            is_bequeathed: false,
        }
    }

    /// Begins the turn of the one that the lock was passed on to, unless it is lost already.
    pub(crate) fn accept(self, terms: Terms) -> Option<Self> {
        let now = Instant::now();
        let begun = self.tenure().tell(|tenure| tenure.accept(now, terms));
        self.watch_if(&begun);
        (!matches!(begun, Begun::Late(_))).then_some(self)
    }

    pub(super) fn watch_if(&self, begun: &Begun) {
        if *begun == Begun::ToWatch {
            self.common().keeper.watch(self.tenure(), &self.runtime);
        }
    }

    /// The lock is had.
    pub(super) fn begin(&mut self, name: &'static str) {
        self.holding = Some(Holding::new(name));
    }

    /// Its caller waits for other keys, and wants this one until they are there.
    pub(crate) fn hold_on(&self) {
        let now = Instant::now();
        let begun = self.tenure().tell(|tenure| tenure.hold_on(now));
        self.watch_if(&begun);
    }

    /// All keys are there that its caller waited for.
    pub(super) fn complete(&self, now: Instant, terms: Terms) {
        let begun = self.tenure().tell(|tenure| tenure.complete(now, terms));
        self.watch_if(&begun);
    }

    /// Whether an attempt that was not granted may have set the key all the same.
    pub(crate) fn may_be_ours(&self) -> bool {
        self.tenure().look(Tenure::may_have_set)
    }

    pub(crate) fn tenure(&self) -> &Arc<SharedTenure> {
        &self.lease.first.tenure
    }

    /// How often the lock had been passed on when this began.
    pub(crate) fn turn(&self) -> u32 {
        self.lease.first.turn
    }

    pub(super) fn common(&self) -> &Arc<Common> {
        &self.lease.common
    }

    /// How it was lost, if it was, as the caller is told; the log is told as well.
    pub(crate) fn loss(&self, now: Instant) -> Option<LockError> {
        let reason = self.tenure().look(|tenure| tenure.loss(now))?;
        Some(self.lost(reason))
    }

    /// The same of a loss that is known.
    pub(crate) fn lost(&self, reason: LostReason) -> LockError {
        self.tenure().tell_loss(reason);
        self.tenure().loss(reason)
    }

    /// How the run ended, for its record, if there is one. Only the first word counts.
    pub(crate) fn ended(&self, outcome: Outcome) {
        self.ended_as(|| outcome);
    }

    /// The same, where that is still to be found out.
    pub(crate) fn ended_as(&self, outcome: impl FnOnce() -> Outcome) {
        if let Some(record) = &self.tenure().entry.record {
            let outcome = outcome();
            if record.ended(outcome) {
                telemetry::run_ended(self.tenure().name(), outcome);
            }
        }
    }

    /// Gives the lock to the next in this process's line, if there is one and it may.
    pub(crate) fn pass_on(&self) -> bool {
        let (tenure, turn) = (self.tenure(), self.turn());
        let mut body = None;
        let may = |needs: &Needs| {
            let (is_passed_on, waker) = tenure.pass_on(turn, needs);
            body = waker;
            is_passed_on
        };
        let (key, kind) = (&tenure.entry.key, tenure.entry.kind);
        self.common().lines.pass_on(key, (tenure, kind), may)
    }

    pub(super) fn ask_release(&self, now: Instant) -> Answer<Released> {
        let keep_until = self.tenure().tell(Tenure::release);
        let entry = Arc::clone(&self.tenure().entry);
        let unsettled = self.tenure().look(|tenure| tenure.unsettled(now));
        let looks_until = self.tenure().looks_until(unsettled);
        let (keep, unsettled) = (rest(keep_until, now), rest(looks_until, now));
        self.common().store.release_in_doubt(entry, keep, unsettled)
    }

    pub(super) fn conclude(
        &self,
        asked: Instant,
        answer: Result<Released, StoreError>,
    ) -> Result<(), LockError> {
        let tenure = self.tenure();
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
                vacate(&self.common().lines, tenure);
                self.clean_up(end, None);
                match answer {
                    Released::Done => return Ok(()),
                    Released::Gone => false,
                    Released::TakenOver => true,
                }
            }
            Err(error) => {
                let (key, waited) = (Some(tenure.key()), asked.elapsed());
                return Err(error.into_error(key, "released", 1, waited));
            }
        };
        Err(LockError::NotHeld {
            key: tenure.key().to_owned(),
            taken_over,
        })
    }

    /// Leaves its place in the store's line to the next of this process's line, if there is one to
    /// whom it is of use.
    fn bequeath(&mut self) -> bool {
        let entry = &self.tenure().entry;
        let fenced = entry.counter.is_some();
        let record = entry.record.as_ref().map(|record| record.wants);
        let is_seated = self.tenure().look(Tenure::is_seated);
        self.is_bequeathed = is_seated
            && self.common().lines.bequeath(
                &self.tenure().entry.key,
                (self.tenure(), self.tenure().entry.kind),
                |needs| needs.fenced == fenced && needs.record == record,
            );
        self.is_bequeathed
    }

    /// Begins, since the lock was passed on within the process, instead of one that has a place in the
    /// store's line, which is given back first: whoever only comes if nobody waits would take it for that of a
    /// run that is still to begin. What fails goes on in the background. None if the lock is lost by then.
    pub(crate) async fn instead_of(self, seated: Self) -> Option<Self> {
        let (tenure, asked) = (Arc::clone(seated.tenure()), Instant::now());
        let may_be_there = tenure.look(|tenure| tenure.is_seated() || tenure.may_have_set())
            && self.common().store.lines_up();
        if may_be_there && seated.ask_release(asked).await.is_ok() {
            let end = tenure.tell(|tenure| tenure.released(asked));
            seated.clean_up(end, None);
        }
        seated.give_up_seat();
        let is_lost = self.tenure().look(|tenure| tenure.loss(Instant::now()));
        is_lost.is_none().then_some(self)
    }

    /// Gives its place in the store's line back, in the background: who has it has had its turn.
    pub(crate) fn give_up_seat(mut self) {
        self.leave(None, Heirs::None);
    }

    /// Gives back what there may be to give back; nothing where the tenure is over, or was passed
    /// on.
    pub(super) fn leave(&mut self, unheard: Option<UnheardAttempt>, heirs: Heirs) {
        if self.is_bequeathed || !self.lease.first.owes_release() {
            return;
        }
        if heirs == Heirs::Any && self.bequeath() || self.pass_on() {
            return;
        }
        let tenure = Arc::clone(self.tenure());
        let end = tenure.tell(|tenure| tenure.abandon(Instant::now()));
        if let Some(cleanup) = &end.cleanup {
            let keep = rest(cleanup.keep_until, Instant::now());
            if let Some(answer) = self.common().store.release_now(&tenure.entry, keep) {
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
                vacate(&self.common().lines, &tenure);
                return;
            }
        } else {
            vacate(&self.common().lines, &tenure);
        }
        self.clean_up(end, unheard);
    }

    /// Has the keeper do what is left.
    fn clean_up(&self, End { cleanup, watched }: End, unheard: Option<UnheardAttempt>) {
        let keeper = &self.common().keeper;
        if watched {
            keeper.forget();
        }
        if let Some(cleanup) = cleanup {
            keeper.release(Release {
                tenure: Arc::clone(self.tenure()),
                cleanup,
                unheard,
                attempted: None,
                runtime: Handle::try_current().unwrap_or_else(|_| self.runtime.clone()),
            });
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.holding.is_some() {
            self.ended(if std::thread::panicking() {
                Outcome::Panicked
            } else {
                Outcome::Dropped
            });
        }
        self.leave(None, Heirs::Any);
    }
}
