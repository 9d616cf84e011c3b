//! A tenure, shared by its guard, its leases, its line and the keeper.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::asleep::{Look, slept};
use super::{Needs, Tenure, before};
use crate::error::{LockError, LostReason};
use crate::kind::Kind;
use crate::store::{Ear, Entry, Extended, Listening, StoreError};

pub(crate) struct SharedTenure {
    pub(crate) entry: Arc<Entry>,
    /// How much of the entry's key is the locker's prefix.
    prefix: usize,
    state: Mutex<State>,
    /// Notified when the lock is lost before its deadline, and when the tenure ends.
    pub(crate) over: Notify,
}

struct State {
    tenure: Tenure,
    /// How long the machine has slept, as far as the tenure knows; `None` where the store's keys stay
    /// for longer by that.
    slept: Option<Duration>,
    /// How long it had slept before this was made.
    slept_before: Duration,
    /// The extensions that failed since the last that went well, if any: how many, and why the last.
    failed: Option<(u32, StoreError)>,
    /// Wakes the body of the holder whose turn it is, when the lock is lost before its deadline.
    body: Option<Waker>,
    /// Hears from the store that the lock was passed on; as long as the tenure lasts, or else a
    /// word that comes late would be for nobody, and the lock given back.
    ear: Option<Arc<Ear>>,
    /// It has asked for a seat in a line on the store.
    has_listened: bool,
    /// Tells the keeper when others change the key. What it is made of would add to the depth of types, of which
    /// rustc has a limit (`tests/depth.rs`).
    listening: Option<Box<dyn Send>>,
}

impl State {
    /// Tells the tenure how long the machine has slept since it was told last, and answers that.
    fn wake(&mut self, now: Instant, look: Look) -> Duration {
        let Some(known) = self.slept else {
            return Duration::ZERO;
        };
        let all = slept(now, look).max(known);
        let asleep = all.saturating_sub(known);
        if !asleep.is_zero() {
            self.slept = Some(all);
            self.tenure.slept(asleep);
        }
        asleep
    }
}

impl SharedTenure {
    /// With `on_servers`, its key goes on to its end while this machine sleeps.
    pub(crate) fn new(
        entry: Entry,
        prefix: usize,
        tenure: Tenure,
        now: Instant,
        on_servers: bool,
    ) -> Self {
        let slept = on_servers.then(|| slept(now, Look::Lately));
        Self {
            entry: Arc::new(entry),
            prefix,
            state: Mutex::new(State {
                tenure,
                slept,
                slept_before: slept.unwrap_or_default(),
                failed: None,
                body: None,
                ear: None,
                has_listened: false,
                listening: None,
            }),
            over: Notify::new(),
        }
    }

    /// The key without the prefix.
    pub(crate) fn key(&self) -> &str {
        &self.entry.key[self.prefix..]
    }

    /// What spans and metrics call the lock.
    pub(crate) fn name(&self) -> &'static str {
        self.look(|tenure| tenure.terms.name)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn look<T>(&self, at: impl FnOnce(&Tenure) -> T) -> T {
        at(&self.state().tenure)
    }

    /// Has the tenure know how long the machine has slept: that much since it knew last, and that much
    /// in all.
    pub(crate) fn wake(&self, now: Instant, look: Look) -> (Duration, Duration) {
        let mut state = self.state();
        (state.wake(now, look), state.slept.unwrap_or_default())
    }

    /// How long the machine has slept since this was made, at most.
    pub(crate) fn slept_since_made(&self, now: Instant) -> Duration {
        let (_, all) = self.wake(now, Look::Now);
        all.saturating_sub(self.state().slept_before)
    }

    /// Tells the tenure what happened, and those who watch it if it is over.
    pub(crate) fn tell<T>(&self, event: impl FnOnce(&mut Tenure) -> T) -> T {
        let (answer, was_granted, is_lost, body, _ears) = {
            let mut state = self.state();
            let was_granted = state.tenure.is_granted();
            let answer = event(&mut state.tenure);
            if state.tenure.is_granted() {
                return answer;
            }
            (
                answer,
                was_granted,
                state.tenure.is_lost(),
                state.body.take(),
                state
                    .tenure
                    .is_over()
                    .then(|| (state.ear.take(), state.listening.take())),
            )
        };
        // Only now, for waking runs foreign code, and so does dropping what is woken.
        if was_granted {
            self.over.notify_waiters();
        }
        if let Some(body) = body
            && is_lost
        {
            body.wake();
        }
        answer
    }

    /// Hears from now on what the store says, unless it does already.
    pub(crate) fn listen(&self, listen: impl FnOnce(&Entry) -> Option<Ear>) {
        let mut state = self.state();
        if state.ear.is_none() {
            state.ear = listen(&self.entry).map(Arc::new);
            state.has_listened |= state.ear.is_some();
        }
    }

    /// Until when the store has to remember that the lock was given back: a look that is under way
    /// still would take a seat for nobody.
    pub(crate) fn looks_until(&self, unsettled: Option<Instant>) -> Option<Instant> {
        unsettled.filter(|_| self.state().has_listened)
    }

    /// Has changes of the key heard while it is renewed, unless they are already.
    pub(crate) fn listen_to_key(&self, listen: impl FnOnce(&Entry) -> Option<Listening>) {
        let mut state = self.state();
        // Several change the key all the time: each would hear of each.
        let is_alone = self.entry.kind == Kind::Exclusive;
        let is_wanted = is_alone && state.tenure.terms.renew && state.tenure.is_granted();
        if is_wanted && state.listening.is_none() {
            if let Some(listening) = listen(&self.entry) {
                state.listening = Some(Box::new(listening));
            }
            if state.listening.is_some() {
                state.tenure.listens();
            }
        }
    }

    /// What the store says is heard there, if it says anything.
    pub(crate) fn ear(&self) -> Option<Arc<Ear>> {
        self.state().ear.clone()
    }

    /// Passes the lock on from the holder of this turn, if it may be. The waker of that holder's body
    /// comes along, to be dropped where no mutex is held: that runs foreign code.
    pub(crate) fn pass_on(&self, turn: u32, next: &Needs) -> (bool, Option<Waker>) {
        let now = Instant::now();
        let mut state = self.state();
        state.wake(now, Look::Lately);
        let is_passed_on = state.tenure.pass_on(now, turn, next);
        if is_passed_on {
            state.failed = None;
        }
        let body = is_passed_on.then(|| state.body.take()).flatten();
        (is_passed_on, body)
    }

    /// Takes in what the store said to an extension by `ttl`, and tells the log of a loss. Before the
    /// store was asked, the machine had slept for `slept` in all.
    pub(crate) fn hear_extension(
        &self,
        ttl: Duration,
        slept: Duration,
        answer: Extended,
    ) -> Result<(), LostReason> {
        let now = Instant::now();
        let (_, all) = self.wake(now, Look::Now);
        if matches!(answer, Extended::Since(_)) {
            self.state().failed = None;
        }
        let heard = self.tell(|tenure| match answer {
            Extended::Since(since) => {
                tenure.extended(now, ttl, before(since, all.saturating_sub(slept)))
            }
            Extended::Gone => tenure.missing(now, LostReason::Deleted),
            Extended::TakenOver => tenure.missing(now, LostReason::TakenOver),
        });
        if let Err(reason) = heard {
            self.tell_loss(reason);
        }
        heard
    }

    /// Whether the lock is lost; if not, wakes this when it is, or tells when its cut-off is.
    pub(crate) fn watch(&self, now: Instant, body: &Waker) -> Result<Instant, LostReason> {
        let mut state = self.state();
        state.wake(now, Look::Lately);
        if let Some(reason) = state.tenure.loss(now) {
            return Err(reason);
        }
        let cutoff = state.tenure.cutoff();
        let is_known = |known: &Waker| known.will_wake(body);
        let old = if state.body.as_ref().is_some_and(is_known) {
            None
        } else {
            state.body.replace(body.clone())
        };
        drop(state);
        drop(old);
        Ok(cutoff)
    }

    /// Takes in that an extension failed.
    pub(super) fn count_failure(&self, error: &StoreError) {
        let failed = &mut self.state().failed;
        let before = failed.as_ref().map_or(0, |(count, _)| *count);
        *failed = Some((before + 1, error.clone()));
    }

    /// What the holder is told of a loss.
    pub(crate) fn loss(&self, reason: LostReason) -> LockError {
        let mut loss = LockError::lost(self.key(), reason);
        if let LockError::Lost {
            failed_extensions,
            last_failure,
            source,
            ..
        } = &mut loss
            && let Some((count, error)) = &self.state().failed
        {
            *failed_extensions = *count;
            *last_failure = Some(error.to_string());
            *source = Some(Arc::clone(&error.source));
        }
        loss
    }

    /// The name of the lock if `was_told` says that this was not told so far.
    pub(super) fn first_word(
        &self,
        was_told: impl FnOnce(&mut Tenure) -> &mut bool,
    ) -> Option<&'static str> {
        let mut state = self.state();
        let told = std::mem::replace(was_told(&mut state.tenure), true);
        (!told).then_some(state.tenure.terms.name)
    }
}

impl fmt::Debug for SharedTenure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedTenure")
            .field("key", &self.entry.key)
            .finish_non_exhaustive()
    }
}
