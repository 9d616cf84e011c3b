//! What is known of a tenure: two deadlines, and what the holder asked for.

use std::task::Waker;
use std::time::Duration;

use tokio::time::Instant;

use super::told::Told;
use crate::error::LostReason;
use crate::keeper::Timer;
use crate::lease::Lease;
use crate::token::FencingToken;

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

#[derive(Debug)]
pub(crate) struct State {
    pub(super) phase: Phase,
    /// How often the lock was passed on.
    pub(crate) turn: u32,
    /// When the store granted the lock.
    pub(super) began: Instant,
    /// The ttl that extensions ask for.
    pub(super) ttl: Duration,
    /// Until when Redis surely keeps the key.
    pub(super) confirmed: Instant,
    /// Until when the lease is to be extended; `None` while nothing limits it.
    pub(super) wanted: Option<Instant>,
    /// The end of `max_hold`.
    pub(super) limit: Option<Instant>,
    /// The end of `min_hold`.
    pub(super) keep_until: Option<Instant>,
    /// Until when a command that sets the key may be under way, on a connection that broke.
    pub(super) in_doubt_until: Option<Instant>,
    /// The number that the store drew.
    pub(super) fence: Option<u64>,
    /// Wakes the body when the lock is lost before its deadline.
    pub(super) body: Option<Waker>,
    /// The lease whose body asked for this one.
    pub(super) outer: Option<Lease>,
    /// What spans and metrics call the lock.
    pub(super) name: &'static str,
    pub(super) told: Told,
    /// Whether the keeper was told to watch it.
    pub(super) watched: bool,
    /// Where the keeper finds it.
    pub(crate) timer: Option<Timer>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// No command can have set the key.
    Unasked,
    /// A command that can set the key was sent, and its answer is not known.
    Asked,
    Held,
    /// A command that deletes the key was sent, and its answer is not known.
    Releasing,
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
    /// What spans and metrics call the lock.
    pub(crate) name: &'static str,
}

/// The local instant until which a key is surely there that was set, for `ttl`, by a command sent
/// at `since`: clocks may drift apart by 1 % and 2 ms, as the Redlock algorithm assumes
/// (<https://redis.io/docs/latest/develop/clients/patterns/distributed-locks/>).
pub(super) fn deadline(since: Instant, ttl: Duration) -> Instant {
    since + ttl - drift(ttl)
}

pub(super) fn drift(ttl: Duration) -> Duration {
    ttl / 100 + Duration::from_millis(2)
}

impl State {
    pub(super) fn new(terms: Terms, outer: Option<Lease>) -> Self {
        let now = Instant::now();
        Self {
            phase: Phase::Unasked,
            turn: 0,
            began: now,
            ttl: terms.ttl,
            confirmed: now,
            wanted: None,
            limit: None,
            keep_until: None,
            in_doubt_until: None,
            fence: None,
            body: None,
            outer,
            name: terms.name,
            told: Told::default(),
            watched: false,
            timer: None,
        }
    }

    /// Whether there may be a key in the store that the holder has to answer for.
    pub(crate) fn may_have_key(&self) -> bool {
        !matches!(self.phase, Phase::Unasked | Phase::Ended)
    }

    pub(crate) fn is_granted(&self) -> bool {
        self.phase == Phase::Held
    }

    pub(crate) fn outer(&self) -> Option<Lease> {
        self.outer.clone()
    }

    /// The number that the store drew, if it was asked for one.
    pub(crate) fn fence(&self) -> Option<u64> {
        self.fence
    }

    /// Wants the lease for as long as it is confirmed now, up to `max_hold`.
    pub(crate) fn want_confirmed(&mut self) {
        if let Some(wanted) = self.wanted {
            let longer = wanted.max(self.confirmed);
            self.wanted = Some(self.limit.map_or(longer, |limit| limit.min(longer)));
        }
    }

    /// How the lock was lost, if it was.
    pub(crate) fn loss(&self, now: Instant) -> Option<LostReason> {
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
    pub(crate) fn cutoff(&self) -> Instant {
        self.wanted
            .map_or(self.confirmed, |wanted| wanted.min(self.confirmed))
    }

    pub(crate) fn is_held(&self, now: Instant) -> bool {
        self.phase == Phase::Held && now < self.cutoff()
    }

    /// Starts the turn of a holder who has had the lock since then.
    pub(super) fn begin_turn(&mut self, since: Instant, terms: Terms) {
        self.name = terms.name;
        self.told = Told::default();
        self.ttl = terms.ttl;
        self.limit = terms.max_hold.map(|max_hold| since + max_hold);
        self.wanted = if terms.renew {
            self.limit
        } else {
            Some(deadline(since, terms.ttl))
        };
        self.keep_until = terms.min_hold.map(|min_hold| since + min_hold);
    }

    /// Passes the lock on, if the tenure is young enough, its lease lasts, nothing keeps the key
    /// for this holder, and there is a fencing number where the next one wants it.
    pub(crate) fn pass_on(&mut self, fenced: bool) -> Option<u32> {
        let now = Instant::now();
        let turn = self.turn + 1;
        let numbered = match self.fence {
            Some(_) => turn < FencingToken::TURNS,
            None => !fenced,
        };
        let allowed = self.is_held(now)
            && numbered
            && now < self.began + PASSING_ON
            && self.keep_until.is_none_or(|keep_until| keep_until <= now)
            && self.confirmed - now >= self.ttl / 4;
        if !allowed {
            return None;
        }
        self.turn = turn;
        self.wanted = Some(self.confirmed);
        self.limit = None;
        self.keep_until = None;
        self.body = None;
        self.outer = None;
        Some(turn)
    }

    pub(super) fn needs_extension(&self) -> bool {
        self.wanted.is_none_or(|wanted| wanted > self.confirmed)
    }
}
