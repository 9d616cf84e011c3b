//! One tenure of a key: what is known of it, and who holds it now.

mod state;
mod told;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::error::LostReason;
use crate::lease::Lease;
use crate::locker::Locker;
use crate::store::{Entry, Extended};
use state::{Phase, deadline, drift};
pub(crate) use state::{State, Terms};

/// One tenure of a key, from `SET` to `DEL`, with the state of the one who holds it now.
pub(crate) struct Tenure {
    pub(crate) locker: Locker,
    pub(crate) entry: Arc<Entry>,
    state: Mutex<State>,
    pub(crate) lost: Notify,
}

/// What is to be done about the key of a guard that was dropped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leftover {
    /// Until when a command that sets the key may be on its way.
    pub(crate) in_doubt_until: Option<Instant>,
    /// When the key is gone by itself.
    pub(crate) expires: Instant,
    /// Until when `min_hold` keeps it.
    pub(crate) keep_until: Option<Instant>,
    /// Whether the lock was had. If not, its caller was told of the failure, or has left.
    pub(crate) had: bool,
    /// Whether the key has to be there, as far as anyone was told.
    pub(crate) held: bool,
}

impl Tenure {
    pub(crate) fn new(locker: Locker, entry: Entry, terms: Terms, outer: Option<Lease>) -> Self {
        Self {
            state: Mutex::new(State::new(terms, outer)),
            locker,
            entry: Arc::new(entry),
            lost: Notify::new(),
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The key without the prefix.
    pub(crate) fn key(&self) -> &str {
        &self.entry.key[self.locker.prefix().len()..]
    }

    /// A command that can set the key is about to be sent.
    pub(crate) fn asked(&self) {
        let mut state = self.state();
        state.phase = Phase::Asked;
        state.confirmed = Instant::now() + state.ttl;
    }

    /// An earlier command that sets the key may be under way still, although the lock was granted.
    pub(crate) fn leave_in_doubt(&self) {
        let settled = Instant::now() + self.locker.store().settles_within();
        self.state().in_doubt_until = Some(settled);
    }

    /// What may come of that command after the release.
    pub(crate) fn doubt(&self) -> Option<Leftover> {
        let state = self.state();
        let in_doubt_until = state
            .in_doubt_until
            .filter(|until| Instant::now() < *until)?;
        Some(Leftover {
            in_doubt_until: Some(in_doubt_until),
            expires: in_doubt_until + state.ttl,
            keep_until: state.keep_until,
            had: false,
            held: false,
        })
    }

    /// The answer says that the key is not ours, and no command is under way.
    pub(crate) fn not_granted(&self) {
        self.state().phase = Phase::Unasked;
    }

    /// The store granted the lock. False when the answer came too late to be of use.
    pub(crate) fn granted(
        self: &Arc<Self>,
        since: Instant,
        fence: Option<u64>,
        terms: Terms,
    ) -> bool {
        let mut state = self.state();
        state.confirmed = deadline(since, terms.ttl);
        if Instant::now() >= state.confirmed {
            return false;
        }
        state.began = since;
        state.fence = fence;
        state.begin_turn(since, terms);
        state.phase = Phase::Held;
        self.watch_if_needed(state);
        true
    }

    /// Starts the turn of the one that the lock was passed on to. False when it was lost meanwhile.
    pub(crate) fn accept(self: &Arc<Self>, terms: Terms, outer: Option<Lease>) -> bool {
        let now = Instant::now();
        let mut state = self.state();
        if !state.is_held(now) {
            return false;
        }
        state.begin_turn(now, terms);
        state.outer = outer;
        self.watch_if_needed(state);
        true
    }

    /// Has the keeper extend the lease when the confirmed deadline comes near, if that is wanted.
    fn watch_if_needed(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        if state.needs_extension() && !state.watched {
            state.watched = true;
            drop(state);
            self.locker.keeper().watch(Arc::clone(self));
        }
    }

    /// Takes note of what the store said to an extension by `ttl`.
    pub(crate) fn extended(
        self: &Arc<Self>,
        ttl: Duration,
        answer: Extended,
    ) -> Result<(), LostReason> {
        let now = Instant::now();
        let mut state = self.state();
        if matches!(state.phase, Phase::Releasing | Phase::Ended) {
            return Ok(());
        }
        // An answer after the deadline brings nothing back: others have been told of the loss.
        let reason = match (state.loss(now), answer) {
            (Some(reason), _) => reason,
            (None, Extended::Gone) => LostReason::Deleted,
            (None, Extended::TakenOver) => LostReason::TakenOver,
            (None, Extended::Since(since)) => {
                state.confirmed = state.confirmed.max(deadline(since, ttl));
                return Ok(());
            }
        };
        state.phase = Phase::Lost(reason);
        let body = state.body.take();
        drop(state);
        self.lost.notify_waiters();
        if let Some(body) = body {
            body.wake();
        }
        self.tell_loss(reason);
        self.locker.queue().vacate(self, false);
        Err(reason)
    }

    /// What spans and metrics call the lock.
    pub(crate) fn name(&self) -> &'static str {
        self.state().name
    }

    /// When the keeper has to extend it next, were it extended at `since`; `None` when it need not.
    ///
    /// A quarter of the ttl after the last extension: then a break of two thirds of the ttl, even
    /// one that starts just before the attempt, leaves a twelfth for the next.
    pub(crate) fn next_extension(&self) -> Option<Instant> {
        let mut state = self.state();
        state.watched = state.is_held(Instant::now()) && state.needs_extension();
        if !state.watched {
            return None;
        }
        // Of a ttl that is longer than the machine has run, some clocks have no beginning.
        let at = (state.confirmed + drift(state.ttl)).checked_sub(state.ttl / 4 * 3);
        Some(at.unwrap_or_else(Instant::now))
    }

    /// The ttl that an extension by the keeper asks for.
    pub(crate) fn ttl(&self) -> Duration {
        self.state().ttl
    }

    /// The release is about to be asked for: the lock is neither extended nor passed on any more,
    /// whether or not the answer comes.
    pub(crate) fn begin_release(&self) {
        let mut state = self.state();
        if state.phase == Phase::Held {
            state.phase = Phase::Releasing;
        }
    }

    /// Ends the tenure: the key was released, or is not ours.
    pub(crate) fn end(self: &Arc<Self>) {
        let mut state = self.state();
        state.phase = Phase::Ended;
        state.outer = None;
        let watched = state.watched;
        drop(state);
        if watched {
            self.locker.keeper().forget(Arc::clone(self));
        }
    }

    /// Ends the tenure of a dropped guard, and tells what is left to do about its key.
    pub(crate) fn abandon(self: &Arc<Self>) -> Option<Leftover> {
        let (phase, leftover) = {
            let state = self.state();
            let leftover = Leftover {
                in_doubt_until: if state.phase == Phase::Asked {
                    Some(Instant::now() + self.locker.store().settles_within())
                } else {
                    state.in_doubt_until
                },
                expires: state.confirmed + drift(state.ttl),
                keep_until: state.keep_until,
                had: state.phase != Phase::Asked,
                held: state.phase == Phase::Held,
            };
            (state.phase, leftover)
        };
        self.end();
        match phase {
            Phase::Unasked
            | Phase::Ended
            | Phase::Lost(LostReason::Deleted | LostReason::TakenOver) => None,
            Phase::Asked | Phase::Held | Phase::Releasing | Phase::Lost(_) => Some(leftover),
        }
    }

    /// Until when the key is surely there, if it is; also while it is being released.
    pub(crate) fn held_until(&self) -> Option<Instant> {
        let state = self.state();
        let is_there = matches!(state.phase, Phase::Held | Phase::Releasing);
        Some(state.cutoff()).filter(|until| is_there && Instant::now() < *until)
    }

    /// Whether it was passed on at least once.
    pub(crate) fn was_passed_on(&self) -> bool {
        self.state().turn > 0
    }

    /// How long `min_hold` still wants the key to stay.
    pub(crate) fn keep(&self) -> Option<Duration> {
        rest(self.state().keep_until)
    }

    /// How the lock was lost, if it was.
    pub(crate) fn loss(&self) -> Option<LostReason> {
        self.state().loss(Instant::now())
    }

    /// Whether the lock is lost; if not, wakes this when it is, or when its cut-off is near.
    pub(crate) fn watch(&self, body: &Waker) -> Result<Instant, LostReason> {
        let mut state = self.state();
        if let Some(reason) = state.loss(Instant::now()) {
            return Err(reason);
        }
        if !state
            .body
            .as_ref()
            .is_some_and(|known| known.will_wake(body))
        {
            state.body = Some(body.clone());
        }
        Ok(state.cutoff())
    }
}

/// The time from now until then, unless it has passed.
pub(crate) fn rest(until: Option<Instant>) -> Option<Duration> {
    let rest = until?.saturating_duration_since(Instant::now());
    (!rest.is_zero()).then_some(rest)
}
