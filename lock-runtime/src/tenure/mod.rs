//! One possession of a key, from the first command that can set it to the last that gives it back.
//!
//! A state machine without hands: it is told what happened and answers what follows. The guard, the
//! keeper and the line act on that. It reads no clock: time is an argument, so that each transition
//! can be tested by itself.
//!
//! ```text
//!           granted               release              released
//!  Wanted ───────────▶ Held ─────────────▶ Releasing ────────────▶ Ended
//!    │ │              ▲ │ │                   │                    ▲ ▲ ▲
//!    │ │      pass_on │ │ │ missing           │ abandon            │ │ │
//!    │ │       accept └─┘ ▼                   └────────────────────┘ │ │
//!    │ └─────────────▶ Lost ─────────────────────────────────────────┘ │
//!    │  granted too late      abandon, released                        │
//!    └─────────────────────────────────────────────────────────────────┘
//!                             abandon
//!
//!           hold_on
//!  Held ─────────────▶ Held on, while its caller waits for other keys; whatever leads out of Held
//!       ◀─────────────          leads out of it, too
//!           complete
//!
//!         seated           granted, passed
//!  Wanted ◀─────▶ Seated ─────────────────▶ Held; otherwise as Wanted,
//!        unseated                           but what is abandoned has a seat to give back
//! ```
//!
//! A holder whose deadline has passed is still `Held` here: `loss` tells it by the clock. `asking`
//! and `answered` change no phase, only `unsettled_until`, the one place where doubt is kept.

mod asleep;
mod shared;
mod telling;
#[cfg(test)]
mod tests;
mod words;

use std::time::Duration;

use tokio::time::Instant;

use crate::error::LostReason;
use crate::token::FencingToken;
pub(crate) use asleep::Look;
#[cfg(all(test, target_os = "linux"))]
pub(crate) use asleep::tests::fall_asleep;
pub(crate) use shared::SharedTenure;
use words::Grant;
pub(crate) use words::{Begun, Cleanup, End, Needs, NextExtension, Question, Sending, Terms};

/// How long after its beginning a tenure may still be passed on within this process.
///
/// Other processes get their turn after that. Passing on costs no round trip, going to another
/// process about two and a half: the longer this is, the more is done, and the longer the others
/// wait. Two processes of 32 tasks on one lock, Redis beside them, medians of five rounds of 1.5 s:
///
/// | passed on for | locks/s | longest wait | smaller share |
/// | --- | --- | --- | --- |
/// | 5 ms | 557,000 | 36 ms | 49.6 % |
/// | 10 ms | 563,000 | 25 ms | 49.2 % |
/// | 20 ms | 619,000 | 27 ms | 49.9 % |
/// | 50 ms | 581,000 | 52 ms | 49.7 % |
/// | 100 ms | 608,000 | 102 ms | 48.0 % |
///
/// The rounds' locks/s differ by a fifth, so with Redis so near all of these do about as much, and
/// only the wait grows. Where a round trip takes a millisecond, though, going to another process
/// costs an eighth of 20 ms, and a twentieth of 50 ms.
const PASSING_ON: Duration = Duration::from_millis(50);

/// As exactly the store tells when a command was sent.
const STAMP_GRAIN: Duration = Duration::from_micros(1);

#[derive(Debug)]
pub(crate) struct Tenure {
    phase: Phase,
    /// Until when a command that can set the key may still be carried out. Only ever moved on, but
    /// by a clean answer to the very command that moved it.
    unsettled_until: Option<Instant>,
    /// How often the lock was passed on.
    turn: u32,
    /// When its first holder had it.
    began: Instant,
    /// What the holder whose turn it is asked for.
    terms: Terms,
    /// Until when Redis surely keeps the key.
    confirmed: Instant,
    /// For how long it was confirmed.
    term: Duration,
    /// Until when the store may keep a place in its line for us, and then the key that was passed on
    /// to it.
    seat_until: Option<Instant>,
    /// When the last command was sent that found the key to be another's.
    busy_at: Option<Instant>,
    /// Until when the lease is to be extended; `None` while nothing limits it.
    wanted: Option<Instant>,
    /// The end of `max_hold`.
    limit: Option<Instant>,
    /// When the body has been idle for as long as `max_idle`; `None` before its first poll.
    idle_at: Option<Instant>,
    /// The end of `min_hold`.
    keep_until: Option<Instant>,
    /// The fencing number that the store drew.
    fence: Option<u64>,
    /// Whether the holder whose turn it is has begun it. If not, its caller was told of a failure,
    /// or has left.
    had: bool,
    /// When the keeper looks at it next, if the keeper watches it.
    due: Option<Instant>,
    extending: Extending,
    reported: Reported,
}

/// What the next extension depends on, beside the time.
#[derive(Debug, Default)]
struct Extending {
    /// Whether the keeper is told when others change the key, once it was extended in that way.
    listens: bool,
    /// Others have changed the key, maybe: only the store knows whose it is now.
    was_changed: bool,
    /// One was sent, and none has succeeded since.
    is_tried: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Not granted, as far as is known.
    Wanted,
    /// Not granted, as far as is known, but the store may pass it on to us.
    Seated,
    Held,
    /// A command that gives the key back was sent, and its answer is not known.
    Releasing,
    Lost(LostReason),
    Ended,
}

/// What has been told of a holder's troubles, to the log or to its caller: each once.
#[derive(Debug, Default)]
struct Reported {
    loss: bool,
    failed_extension: bool,
    failed_release: bool,
}

/// The local instant until which a key is surely there that was set, for `ttl`, by a command sent
/// at `since`: clocks may drift apart by 1 % and 2 ms, as the Redlock algorithm assumes
/// (<https://redis.io/docs/latest/develop/clients/patterns/distributed-locks/>).
fn deadline(since: Instant, ttl: Duration) -> Instant {
    since + ttl - drift(ttl)
}

fn drift(ttl: Duration) -> Duration {
    ttl / 100 + Duration::from_millis(2)
}

/// An instant so much earlier. Clocks that count sleep reach back behind their beginning.
pub(crate) fn before(instant: Instant, time: Duration) -> Instant {
    instant.checked_sub(time).unwrap_or(instant)
}

/// The time from now until then, unless it has passed.
pub(crate) fn rest(until: Option<Instant>, now: Instant) -> Option<Duration> {
    let rest = until?.saturating_duration_since(now);
    (!rest.is_zero()).then_some(rest)
}

impl Tenure {
    pub(crate) fn new(terms: Terms, now: Instant) -> Self {
        Self {
            phase: Phase::Wanted,
            unsettled_until: None,
            turn: 0,
            began: now,
            terms,
            confirmed: now,
            term: terms.ttl,
            seat_until: None,
            busy_at: None,
            wanted: None,
            limit: None,
            idle_at: None,
            keep_until: None,
            fence: None,
            had: false,
            due: None,
            extending: Extending::default(),
            reported: Reported::default(),
        }
    }

    // What happened before the lock is held.

    /// A command that can set the key is about to be sent; it is carried out within this time or
    /// never.
    pub(crate) fn asking(&mut self, now: Instant, settles_within: Duration) -> Question {
        let unsettled_before = self.unsettled_until;
        self.unsettled_until = unsettled_before.max(Some(now + settles_within));
        Question { unsettled_before }
    }

    /// That very command was answered, so it is not under way any more.
    pub(crate) fn answered(&mut self, Question { unsettled_before }: Question) {
        self.unsettled_until = unsettled_before;
    }

    /// Whether a command of this tenure, other than the last that was answered, may have set the
    /// key: then only a script can tell whether the key is ours.
    pub(crate) fn may_have_set(&self) -> bool {
        self.unsettled_until.is_some()
    }

    /// The store has a place in its line for us, which lasts so long if nobody shows up.
    pub(crate) fn seated(&mut self, until: Instant) {
        if self.is_waiting() {
            self.phase = Phase::Seated;
            self.seat_until = self.seat_until.max(Some(until));
        }
    }

    /// The store has taken back the place that it had for us, or the key that was passed on to it.
    pub(crate) fn unseated(&mut self) {
        if self.phase == Phase::Seated {
            self.phase = Phase::Wanted;
            self.seat_until = None;
        }
    }

    /// A command that was sent at this time found that another has the key.
    pub(crate) fn found_busy(&mut self, asked: Instant) {
        self.busy_at = self.busy_at.max(Some(asked));
    }

    /// Whether the store has a place for us that we have not used.
    pub(crate) fn is_seated(&self) -> bool {
        self.phase == Phase::Seated
    }

    /// Another caller takes over what has not been granted yet, and has wishes of its own.
    pub(crate) fn inherit(&mut self, terms: Terms) {
        if self.is_waiting() {
            self.terms = terms;
        }
    }

    fn is_waiting(&self) -> bool {
        matches!(self.phase, Phase::Wanted | Phase::Seated)
    }

    /// The store granted the lock to a command that was sent at `since`.
    pub(crate) fn granted(&mut self, now: Instant, since: Instant, fence: Option<u64>) -> Begun {
        if !self.is_waiting() {
            return Begun::Late(self.loss(now).unwrap_or(LostReason::Expired));
        }
        let term = self.terms.ttl;
        if now >= deadline(since, term) {
            self.phase = Phase::Lost(LostReason::Expired);
            return Begun::Late(LostReason::Expired);
        }
        self.begin(Grant {
            since,
            term,
            began: since,
            fence,
        })
    }

    /// Another holder passed the lock on to us, for this term, after the store had heard a command
    /// of ours that was sent at `since`. `None` when too little of that is left, a number is missing,
    /// or a later command has found the key to be another's: then the store has to be asked.
    pub(crate) fn passed(
        &mut self,
        now: Instant,
        since: Instant,
        term: Duration,
        fence: Option<u64>,
        needs: &Needs,
    ) -> Option<Begun> {
        // Whether a run may begin, and that it does, is written by the store.
        let is_complete = (fence.is_some() || !needs.fenced) && needs.record.is_none();
        let left = deadline(since, term).saturating_duration_since(now);
        // That the store was told in microseconds.
        let is_news = self
            .busy_at
            .is_none_or(|busy_at| since + STAMP_GRAIN >= busy_at);
        let may_begin = self.is_waiting() && is_complete && is_news && left >= term / 4;
        may_begin.then(|| {
            self.begin(Grant {
                since,
                term,
                began: now,
                fence,
            })
        })
    }

    fn begin(&mut self, grant: Grant) -> Begun {
        let Grant {
            since,
            term,
            began,
            fence,
        } = grant;
        self.confirmed = deadline(since, term);
        self.term = term;
        self.began = began;
        self.fence = fence;
        self.phase = Phase::Held;
        self.begin_turn(began, self.terms, Some(deadline(began, self.terms.ttl)))
    }

    // What happens while it is held.

    /// Passes the lock on from the holder of this turn, if it may be: the tenure is young enough,
    /// its lease lasts, nothing keeps the key for this holder, Redis keeps it no longer than the
    /// next holder asked for, there is a fencing number where the next one needs it, and neither's run
    /// is recorded, which the store does.
    pub(crate) fn pass_on(&mut self, now: Instant, turn: u32, next: &Needs) -> bool {
        let numbered = match self.fence {
            Some(_) => turn + 1 < FencingToken::TURNS,
            None => !next.fenced,
        };
        let left = self.confirmed.saturating_duration_since(now);
        let allowed = self.turn == turn
            && self.is_held(now)
            && numbered
            && !self.terms.recorded
            && next.record.is_none()
            && now < self.began + PASSING_ON
            && self.keep_until.is_none_or(|keep_until| keep_until <= now)
            && left >= self.term / 4
            && left <= next.ttl;
        if allowed {
            self.turn += 1;
            self.wanted = Some(self.confirmed);
            self.limit = None;
            self.idle_at = None;
            self.keep_until = None;
            self.had = false;
        }
        allowed
    }

    /// The one that the lock was passed on to begins its turn, unless the lock was lost meanwhile.
    pub(crate) fn accept(&mut self, now: Instant, terms: Terms) -> Begun {
        if !self.is_held(now) {
            return Begun::Late(self.loss(now).unwrap_or(LostReason::Expired));
        }
        self.begin_turn(now, terms, Some(deadline(now, terms.ttl)))
    }

    /// Its caller waits for other keys, and wants this one until they are there.
    pub(crate) fn hold_on(&mut self, now: Instant) -> Begun {
        if !self.is_held(now) {
            return Begun::Late(self.loss(now).unwrap_or(LostReason::Expired));
        }
        self.terms.renew = true;
        self.wanted = None;
        self.watched_from(now)
    }

    /// The last of the keys is there that its caller waited for: the turn of all begins. One that was not
    /// held on meanwhile keeps its deadline, unless it is renewed: nothing more need be sent for it.
    pub(crate) fn complete(&mut self, now: Instant, terms: Terms) -> Begun {
        if !self.is_held(now) {
            return Begun::Late(self.loss(now).unwrap_or(LostReason::Expired));
        }
        let until = self.wanted.or(Some(deadline(now, terms.ttl)));
        self.begin_turn(now, terms, until)
    }

    /// A holder that does not renew the lease wants it until then.
    fn begin_turn(&mut self, since: Instant, terms: Terms, until: Option<Instant>) -> Begun {
        self.terms = terms;
        self.reported = Reported::default();
        self.had = true;
        self.limit = terms.max_hold.map(|max_hold| since + max_hold);
        self.wanted = if terms.renew { self.limit } else { until };
        self.keep_until = terms.min_hold.map(|min_hold| since + min_hold);
        self.watched_from(since)
    }

    fn watched_from(&mut self, since: Instant) -> Begun {
        if self.needs_extension() && self.due.is_none() {
            self.due = Some(since);
            return Begun::ToWatch;
        }
        Begun::Held
    }

    /// The body is polled since something has woken it. What is lost stays lost.
    pub(crate) fn moved(&mut self, now: Instant) {
        if self.is_held(now) {
            self.idle_at = self.terms.max_idle.map(|max_idle| now + max_idle);
        }
    }

    /// The machine has slept for so long, which no clock here shows: its key is nearer to its end by
    /// that. What is under way is not: it slept along.
    pub(crate) fn slept(&mut self, time: Duration) {
        let earlier = |until: Option<Instant>| until.map(|until| before(until, time));
        self.began = before(self.began, time);
        self.confirmed = before(self.confirmed, time);
        self.wanted = earlier(self.wanted);
        self.limit = earlier(self.limit);
        self.keep_until = earlier(self.keep_until);
    }

    /// The store has extended the key by `ttl`, by a command that was sent at `since`.
    ///
    /// An answer after the deadline brings nothing back: others have been told of the loss.
    pub(crate) fn extended(
        &mut self,
        now: Instant,
        ttl: Duration,
        since: Instant,
    ) -> Result<(), LostReason> {
        match self.loss(now) {
            Some(reason) => self.lose(reason),
            None if self.phase == Phase::Held => {
                let confirmed = deadline(since, ttl);
                if confirmed > self.confirmed {
                    (self.confirmed, self.term) = (confirmed, ttl);
                }
                self.reported.failed_extension = false;
                self.extending.is_tried = false;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// The store found the key deleted, or taken over, when it was asked to extend it.
    pub(crate) fn missing(&mut self, now: Instant, reason: LostReason) -> Result<(), LostReason> {
        if self.phase == Phase::Held {
            return self.lose(self.loss(now).unwrap_or(reason));
        }
        self.loss(now).map_or(Ok(()), Err)
    }

    fn lose(&mut self, reason: LostReason) -> Result<(), LostReason> {
        self.phase = Phase::Lost(reason);
        Err(reason)
    }

    /// The holder wants the lease for as long as it is confirmed now, up to `max_hold`.
    pub(crate) fn want_confirmed(&mut self) {
        if let Some(wanted) = self.wanted {
            let longer = wanted.max(self.confirmed);
            self.wanted = Some(self.limit.map_or(longer, |limit| limit.min(longer)));
        }
    }

    // What the keeper has to know.

    /// When the keeper has to extend it next.
    ///
    /// A quarter of its term after the last extension: then a break of two thirds of the term, even
    /// one that starts just before the attempt, leaves a twelfth for the next.
    pub(crate) fn next_extension(&mut self, now: Instant) -> NextExtension {
        if self.due.is_none() {
            return NextExtension::Unwatched;
        }
        let next = if !self.is_held(now) {
            None
        } else if self.extending.was_changed {
            Some(now)
        } else {
            self.next_by_time(now)
        };
        self.due = next;
        next.map_or(NextExtension::Over, NextExtension::At)
    }

    fn next_by_time(&self, now: Instant) -> Option<Instant> {
        if self.needs_extension() {
            let term = self.term;
            // Of a ttl that is longer than the machine has run, some clocks have no beginning.
            let at = (self.confirmed + drift(term)).checked_sub(term / 4 * 3);
            return Some(at.unwrap_or(now));
        }
        // Nothing more by time, but it may be changed until then.
        self.extending.listens.then(|| self.cutoff())
    }

    /// The keeper asks for an extension. Should no answer have come after the pause, it is to be tried
    /// again; one that only looks after a change has the time that there is.
    pub(crate) fn extending(&mut self, now: Instant, pause: Duration) -> Sending {
        let again = self.next_by_time(now).unwrap_or(now).max(now + pause);
        self.due = Some(again);
        self.extending.was_changed = false;
        let was_tried = std::mem::replace(&mut self.extending.is_tried, true);
        Sending {
            again,
            // One beside another goes another way: that of the first may be blocked.
            listening: self.extending.listens && !was_tried,
        }
    }

    /// From now on, the keeper is told when others change the key.
    pub(super) fn listens(&mut self) {
        self.extending.listens = true;
    }

    /// The key was changed by others, or that may have been missed. True if it is to be looked at.
    pub(crate) fn changed(&mut self) -> bool {
        self.extending.was_changed = self.phase == Phase::Held && self.due.is_some();
        self.extending.was_changed
    }

    /// Whether a timer that was set for this instant is the one that counts.
    pub(crate) fn is_due(&self, at: Instant) -> bool {
        self.due == Some(at)
    }

    fn needs_extension(&self) -> bool {
        self.wanted.is_none_or(|wanted| wanted > self.confirmed)
    }

    // How it ends.

    /// The release is about to be asked for: the lock is neither extended nor passed on any more,
    /// whether or not the answer comes. Answers until when `min_hold` keeps the key.
    pub(crate) fn release(&mut self) -> Option<Instant> {
        if self.phase == Phase::Held {
            self.phase = Phase::Releasing;
        }
        self.keep_until
    }

    /// The store answered to the release that was asked for at `asked`: the key was given back, or is
    /// not ours.
    pub(crate) fn released(&mut self, asked: Instant) -> End {
        let cleanup = self.unsettled(asked).map(|until| Cleanup {
            unsettled_until: Some(until),
            expires: until + self.terms.ttl,
            keep_until: self.keep_until,
            had: false,
            held: false,
        });
        self.end(cleanup)
    }

    /// Its guard was dropped.
    pub(crate) fn abandon(&mut self, now: Instant) -> End {
        let unsettled_until = self.unsettled(now);
        let may_be_there = match self.phase {
            // Also when no command is under way any more: one of them may have set it.
            Phase::Wanted => self.may_have_set(),
            Phase::Lost(LostReason::Deleted | LostReason::TakenOver) => {
                // The record has to be told how the run ended.
                unsettled_until.is_some() || self.terms.recorded
            }
            Phase::Seated | Phase::Held | Phase::Releasing | Phase::Lost(_) => true,
            Phase::Ended => false,
        };
        let expires = (self.confirmed + drift(self.term)).max(self.seat_until.unwrap_or(now));
        let cleanup = may_be_there.then(|| Cleanup {
            unsettled_until,
            expires: self
                .unsettled_until
                .map_or(expires, |until| expires.max(until + self.terms.ttl)),
            keep_until: self.keep_until,
            had: self.had,
            held: self.had && self.phase == Phase::Held,
        });
        self.end(cleanup)
    }

    fn end(&mut self, cleanup: Option<Cleanup>) -> End {
        self.phase = Phase::Ended;
        End {
            cleanup,
            watched: self.due.take().is_some(),
        }
    }

    /// Until when a command that can set the key may still be carried out, if one may.
    pub(crate) fn unsettled(&self, now: Instant) -> Option<Instant> {
        self.unsettled_until.filter(|until| now < *until)
    }

    // What is known of it.

    /// How the lock was lost, if it was.
    pub(crate) fn loss(&self, now: Instant) -> Option<LostReason> {
        match self.phase {
            Phase::Lost(reason) => Some(reason),
            Phase::Held if now >= self.cutoff() => {
                let is_cutoff = |time: Option<Instant>| time.is_some_and(|at| at <= self.cutoff());
                Some(if is_cutoff(self.limit) {
                    LostReason::MaxHold
                } else if is_cutoff(self.idle_at) {
                    LostReason::Idle
                } else {
                    LostReason::Expired
                })
            }
            _ => None,
        }
    }

    /// When a body has to end: at the confirmed deadline, when it has run as long as wanted, or when it has
    /// been idle for too long.
    pub(crate) fn cutoff(&self) -> Instant {
        let ends = [self.wanted, self.idle_at].into_iter().flatten();
        ends.fold(self.confirmed, Instant::min)
    }

    /// Whether it is to be told when something has woken the body.
    pub(crate) fn watches_idleness(&self) -> bool {
        self.terms.max_idle.is_some()
    }

    pub(crate) fn is_held(&self, now: Instant) -> bool {
        self.is_granted() && now < self.cutoff()
    }

    /// Whether it is held, as far as anyone was told.
    pub(crate) fn is_granted(&self) -> bool {
        self.phase == Phase::Held
    }

    pub(crate) fn is_lost(&self) -> bool {
        matches!(self.phase, Phase::Lost(_))
    }

    /// Until when it may be passed on within this process, if it still may.
    pub(crate) fn passing_until(&self, now: Instant) -> Option<Instant> {
        let until = self.began + PASSING_ON;
        let is_kept = self
            .keep_until
            .is_some_and(|keep_until| keep_until >= until);
        let may_be = !is_kept && !self.terms.recorded;
        (self.is_held(now) && now < until && may_be).then_some(until)
    }

    /// Whether its end was told: nothing that happens changes it any more.
    pub(crate) fn is_over(&self) -> bool {
        self.phase == Phase::Ended
    }

    /// Until when the key is surely there, if it is; also while it is being released.
    pub(crate) fn held_until(&self, now: Instant) -> Option<Instant> {
        let is_there = matches!(self.phase, Phase::Held | Phase::Releasing);
        Some(self.cutoff()).filter(|until| is_there && now < *until)
    }

    /// How often it was passed on.
    pub(crate) fn turn(&self) -> u32 {
        self.turn
    }

    /// The fencing number that the store drew, if it was asked for one.
    pub(crate) fn fence(&self) -> Option<u64> {
        self.fence
    }

    /// The ttl that an extension by the keeper asks for.
    pub(crate) fn ttl(&self) -> Duration {
        self.terms.ttl
    }
}
