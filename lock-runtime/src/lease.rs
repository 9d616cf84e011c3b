//! The lease: until when a lock is surely held, and how it ends.

use std::fmt;
use std::future::pending;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::error::{LockError, LostReason};
use crate::keeper::Timer;
use crate::locker::Locker;
use crate::store::{Entry, Extended, Extension};
use crate::token::{FencingToken, TOKEN_LEN};

/// How long after its beginning a tenure may still be passed on within this process.
///
/// Other processes get their turn after that. Passing on costs no round trip, so the longer this
/// is, the more is done; and the longer the others wait. TODO-MEASURED
const PASSING_ON: Duration = Duration::from_millis(50);

tokio::task_local! {
    /// The innermost lease whose body the task is polling.
    static INNERMOST: Lease;
}

/// The state of a held lock, for whoever wants to look: a cheap clone that keeps nothing alive in
/// Redis.
///
/// A lease has the deadline that Redis has confirmed. It counts from just before the command was
/// sent, less 1 % of the ttl and 2 ms for the drift between the two clocks, so that the key
/// outlives the deadline.
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
    pub(crate) tenure: Arc<Tenure>,
    /// Which of the tenure's holders this lease is for.
    turn: u32,
}

/// One tenure of a key, from `SET` to `DEL`, with the state of the one who holds it now.
pub(crate) struct Tenure {
    pub(crate) locker: Locker,
    pub(crate) entry: Arc<Entry>,
    state: Mutex<State>,
    lost: Notify,
}

#[derive(Debug)]
pub(crate) struct State {
    phase: Phase,
    /// How often the lock was passed on.
    turn: u32,
    /// When the store granted the lock.
    began: Instant,
    /// The ttl that extensions ask for.
    ttl: Duration,
    /// Until when Redis surely keeps the key.
    confirmed: Instant,
    /// Until when the lease is to be extended; `None` while nothing limits it.
    wanted: Option<Instant>,
    /// The end of `max_hold`.
    limit: Option<Instant>,
    /// The end of `min_hold`.
    keep_until: Option<Instant>,
    /// The number that the store drew.
    fence: Option<u64>,
    /// Whether the holder asked for it.
    fenced: bool,
    /// Wakes the body when the lock is lost before its deadline.
    body: Option<Waker>,
    /// The lease whose body asked for this one.
    outer: Option<Lease>,
    /// Whether the keeper was told to watch it.
    watched: bool,
    /// Where the keeper finds it.
    pub(crate) timer: Option<Timer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// No command can have set the key.
    Unasked,
    /// A command that can set the key was sent, and its answer is not known.
    Asked,
    Held,
    Lost(LostReason),
    Ended,
}

/// How long a lease was asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) ttl: Duration,
    pub(crate) renew: bool,
    pub(crate) max_hold: Option<Duration>,
    pub(crate) min_hold: Option<Duration>,
}

/// What is to be done about the key of a guard that was dropped.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Leftover {
    /// Whether a command that sets the key may still be on its way.
    pub(crate) in_doubt: bool,
    /// When the key is gone by itself.
    pub(crate) expires: Instant,
    /// Until when `min_hold` keeps it.
    pub(crate) keep_until: Option<Instant>,
}

/// The local instant until which a key is surely there that was set, for `ttl`, by a command sent
/// at `since`: clocks may drift apart by 1 % and 2 ms, as the Redlock algorithm assumes
/// (<https://redis.io/docs/latest/develop/clients/patterns/distributed-locks/>).
pub(crate) fn deadline(since: Instant, ttl: Duration) -> Instant {
    since + ttl - drift(ttl)
}

fn drift(ttl: Duration) -> Duration {
    ttl / 100 + Duration::from_millis(2)
}

impl State {
    fn loss(&self, now: Instant) -> Option<LostReason> {
        match self.phase {
            Phase::Lost(reason) => Some(reason),
            Phase::Held if now >= self.cutoff() => Some(match self.limit {
                Some(limit) if limit <= self.cutoff() => LostReason::MaxHold,
                _ => LostReason::Expired,
            }),
            _ => None,
        }
    }

    /// When a body has to end: at the confirmed deadline, or when it has run as long as wanted.
    fn cutoff(&self) -> Instant {
        self.wanted
            .map_or(self.confirmed, |wanted| wanted.min(self.confirmed))
    }

    fn is_held(&self, now: Instant) -> bool {
        self.phase == Phase::Held && now < self.cutoff()
    }

    /// Starts the turn of a holder who has had the lock since then.
    fn begin_turn(&mut self, since: Instant, terms: Terms) {
        self.ttl = terms.ttl;
        self.limit = terms.max_hold.map(|max_hold| since + max_hold);
        self.wanted = if terms.renew {
            self.limit
        } else {
            Some(deadline(since, terms.ttl))
        };
        self.keep_until = terms.min_hold.map(|min_hold| since + min_hold);
    }

    fn needs_extension(&self) -> bool {
        self.wanted.is_none_or(|wanted| wanted > self.confirmed)
    }
}

impl Tenure {
    pub(crate) fn new(locker: Locker, entry: Entry, ttl: Duration, outer: Option<Lease>) -> Self {
        let now = Instant::now();
        let entry_is_fenced = entry.counter.is_some();
        Self {
            locker,
            entry: Arc::new(entry),
            lost: Notify::new(),
            state: Mutex::new(State {
                phase: Phase::Unasked,
                turn: 0,
                began: now,
                ttl,
                confirmed: now,
                wanted: None,
                limit: None,
                keep_until: None,
                fence: None,
                fenced: entry_is_fenced,
                body: None,
                outer,
                watched: false,
                timer: None,
            }),
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
        state.began = since;
        state.confirmed = deadline(since, terms.ttl);
        state.fence = fence;
        state.begin_turn(since, terms);
        if Instant::now() >= state.confirmed {
            return false;
        }
        state.phase = Phase::Held;
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
        if state.phase == Phase::Ended {
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
        self.locker.queue().vacate(self, false);
        Err(reason)
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
        let since = state.confirmed + drift(state.ttl) - state.ttl;
        Some(since + state.ttl / 4)
    }

    /// The ttl that an extension by the keeper asks for.
    pub(crate) fn ttl(&self) -> Duration {
        self.state().ttl
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
                in_doubt: state.phase == Phase::Asked,
                expires: state.confirmed + drift(state.ttl),
                keep_until: state.keep_until,
            };
            (state.phase, leftover)
        };
        self.end();
        match phase {
            Phase::Unasked
            | Phase::Ended
            | Phase::Lost(LostReason::Deleted | LostReason::TakenOver) => None,
            Phase::Asked | Phase::Held | Phase::Lost(_) => Some(leftover),
        }
    }

    /// Until when the lock is surely held, if it is.
    pub(crate) fn held_until(&self) -> Option<Instant> {
        let state = self.state();
        state.is_held(Instant::now()).then(|| state.cutoff())
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

impl Lease {
    pub(crate) fn first(tenure: Tenure) -> Self {
        Self {
            tenure: Arc::new(tenure),
            turn: 0,
        }
    }

    /// Whether this is the lease of the one whose turn it is.
    fn state(&self) -> Option<MutexGuard<'_, State>> {
        let state = self.tenure.state();
        (state.turn == self.turn).then_some(state)
    }

    /// Whether there may be a key in the store that this lease has to answer for.
    pub(crate) fn may_have_key(&self) -> bool {
        self.state()
            .is_some_and(|state| !matches!(state.phase, Phase::Unasked | Phase::Ended))
    }

    /// Passes the lock on, if the tenure is young enough, its lease lasts, nothing keeps the key
    /// for this holder, and there is a fencing number where the next one wants it.
    ///
    /// The lease that is returned lasts until the confirmed deadline; who takes it says by
    /// [`accept`](Self::accept) what it wants.
    pub(crate) fn pass_on(&self, fenced: bool) -> Option<Self> {
        let mut state = self.state()?;
        let now = Instant::now();
        let turn = state.turn + 1;
        let numbered = match state.fence {
            Some(_) => turn < FencingToken::TURNS,
            None => !fenced,
        };
        let allowed = state.is_held(now)
            && numbered
            && now < state.began + PASSING_ON
            && state.keep_until.is_none_or(|keep_until| keep_until <= now)
            && state.confirmed - now >= state.ttl / 4;
        if !allowed {
            return None;
        }
        state.turn = turn;
        state.wanted = Some(state.confirmed);
        state.limit = None;
        state.keep_until = None;
        state.body = None;
        state.outer = None;
        Some(Self {
            tenure: Arc::clone(&self.tenure),
            turn,
        })
    }

    /// Starts the turn of the one that the lock was passed on to. False when it was lost meanwhile.
    pub(crate) fn accept(&self, terms: Terms, fenced: bool) -> bool {
        let outer = Self::current();
        let now = Instant::now();
        let mut state = self.tenure.state();
        if !state.is_held(now) {
            return false;
        }
        state.begin_turn(now, terms);
        state.fenced = fenced;
        state.outer = outer;
        self.tenure.watch_if_needed(state);
        true
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
        let state = self.tenure.state();
        let number = state.fence.filter(|_| state.fenced)?;
        Some(FencingToken::new(number, self.turn))
    }

    /// The time left until the confirmed deadline; zero once the lock is released or lost.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        let now = Instant::now();
        match self.state() {
            Some(state) if state.is_held(now) => state.cutoff() - now,
            _ => Duration::ZERO,
        }
    }

    /// Whether the lock is surely held at this moment. Sends nothing.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.state()
            .is_some_and(|state| state.is_held(Instant::now()))
    }

    /// Waits until the lock is lost, and tells how.
    ///
    /// With `renew`, a deleted or overwritten key is noticed at the next extension, so within two
    /// thirds of the ttl; without, at the deadline. Never returns once the lock was released.
    ///
    /// Dropping the future does nothing.
    pub async fn lost(&self) -> LostReason {
        loop {
            let mut changed = pin!(self.tenure.lost.notified());
            changed.as_mut().enable();
            let until = {
                match self.state() {
                    None => None,
                    Some(state) => match (state.loss(Instant::now()), state.phase) {
                        (Some(reason), _) => return reason,
                        (None, Phase::Held) => Some(state.cutoff()),
                        (None, _) => None,
                    },
                }
            };
            match until {
                // The deadline may have moved meanwhile: look again in either case.
                Some(until) => drop(timeout_at(until, changed).await),
                None => pending().await,
            }
        }
    }

    /// Makes the lock last at least `ttl` from now, and moves the body's deadline along; never
    /// beyond `max_hold`, and never shortens what is left.
    ///
    /// # Errors
    ///
    /// `InvalidRequest` for a ttl that no request may have, `NotHeld` after the release, `Lost`
    /// when the lock is lost, `Backend` when Redis could not be asked; the deadline then stays as
    /// it was.
    ///
    /// # Cancellation
    ///
    /// When the future is dropped, Redis may or may not have extended the key; the deadline stays.
    pub async fn extend(&self, ttl: Duration) -> Result<(), LockError> {
        let tenure = &self.tenure;
        crate::request::check_ttl(self.key(), ttl)?;
        let lost = |reason| LockError::Lost {
            key: self.key().to_owned(),
            reason,
        };
        {
            let state = self.state();
            if let Some(reason) = state.as_ref().and_then(|state| state.loss(Instant::now())) {
                return Err(lost(reason));
            }
            if !state.is_some_and(|state| state.phase == Phase::Held) {
                return Err(LockError::NotHeld {
                    key: self.key().to_owned(),
                    taken_over: false,
                });
            }
        }
        let asked = Instant::now();
        let batch = vec![(Arc::clone(&tenure.entry), ttl)];
        let answer: Option<Extension> = tenure.locker.store().extend(batch).await.pop();
        match answer {
            Some(Ok(answer)) => tenure.extended(ttl, answer).map_err(lost)?,
            Some(Err(error)) => {
                let waited = asked.elapsed();
                return Err(LockError::backend(
                    Some(self.key()),
                    "extended",
                    1,
                    waited,
                    error,
                ));
            }
            None => unreachable!("a store answers each extension"),
        }
        if let Some(mut state) = self.state()
            && let Some(wanted) = state.wanted
        {
            let longer = wanted.max(state.confirmed);
            state.wanted = Some(state.limit.map_or(longer, |limit| limit.min(longer)));
        }
        Ok(())
    }

    /// The innermost lease whose body the running task is in.
    ///
    /// Seen from the body and all that it awaits in place; not from tasks it spawned, which take a
    /// clone along instead.
    #[must_use]
    pub fn current() -> Option<Self> {
        INNERMOST.try_with(Clone::clone).ok()
    }

    /// Makes sure that the running task is in a body that holds this key, without the prefix.
    ///
    /// For code that must only be called under a lock: it fails in the first test of a caller who
    /// forgot it.
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
        std::iter::successors(Self::current(), |lease| lease.state()?.outer.clone())
    }

    /// Whether a body that the running task is in holds this key, with the prefix, of this locker.
    pub(crate) fn would_deadlock(locker: &Locker, key: &str) -> bool {
        Self::around().any(|lease| {
            lease.tenure.locker.is(locker)
                && lease.tenure.entry.key == key
                && lease
                    .state()
                    .is_some_and(|state| state.phase != Phase::Ended)
        })
    }

    /// Runs this as part of the body.
    pub(crate) fn enter<T>(&self, body: impl FnOnce() -> T) -> T {
        INNERMOST.sync_scope(self.clone(), body)
    }
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
