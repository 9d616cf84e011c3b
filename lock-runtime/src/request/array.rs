//! Several keys: all of them, or none.
//!
//! They are had one after the other, in the order of their bytes, so that no two requests wait for each other.
//! Until the last is there, each is held for its ttl alone; when that takes long, the keeper extends those that
//! are held. Then the turn of all begins.

use std::future::{Future, poll_fn};
use std::iter;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::attempts::{Got, Missed, attempts};
use super::check::{Patience, Request};
use super::in_line::wait;
use super::retries::Once;
use crate::backoff::Backoff;
use crate::error::LockError;
use crate::hold::{Hold, LockGuard, Releasing};
use crate::telemetry::Waiting;
use crate::tenure::Terms;

/// A request for several keys.
pub(super) struct Array {
    /// One for each key, in their order.
    requests: Vec<Request>,
    /// What is wanted of all, once they are had.
    terms: Terms,
    started: Instant,
    _waiting: Option<Waiting>,
}

impl Array {
    /// Of the request for the first, and the others' keys with the prefix.
    pub(super) fn new(mut first: Request, others: Vec<String>) -> Self {
        let terms = first.terms;
        first.terms = Terms {
            renew: false,
            max_hold: None,
            min_hold: None,
            max_idle: None,
            ..terms
        };
        let waiting = first.take_waiting();
        let started = first.started;
        let others: Vec<_> = others.into_iter().map(|key| first.of_key(key)).collect();
        Self {
            requests: iter::once(first).chain(others).collect(),
            terms,
            started,
            _waiting: waiting,
        }
    }

    /// Has all, or none.
    pub(super) async fn acquire(self, patience: Patience) -> Result<LockGuard, LockError> {
        match patience {
            Patience::Retry { retries, backoff } => self.in_rounds(retries, backoff).await,
            Patience::Wait { limit } => self.in_lines(limit).await,
        }
    }

    /// Asks for all, and gives back what it got before it pauses: to hold one while another is pondered
    /// about is worse than to ask again.
    async fn in_rounds(self, retries: u32, backoff: Backoff) -> Result<LockGuard, LockError> {
        let mut pauses = backoff.pauses();
        let mut round = 0;
        // Of which key it is not known whether the last round has set it.
        let mut in_doubt: Option<(usize, Hold)> = None;
        loop {
            round += 1;
            let is_last = round > retries;
            let mut had = Had::new(self.terms.ttl);
            let mut missed = None;
            let mut before = in_doubt.take();
            for (index, request) in self.requests.iter().enumerate() {
                let of_this = before.take_if(|(of, _)| *of == index);
                let mut once = Once {
                    is_last,
                    in_doubt: of_this.map(|(_, hold)| hold),
                };
                match had.beside(attempts(request, &mut once)).await {
                    Ok(Ok(got)) => had.add(got),
                    Ok(Err(why)) => missed = Some((request, why)),
                    Err(lost) => missed = Some((request, Missed::ForGood(lost))),
                }
                if missed.is_some() {
                    in_doubt = once.in_doubt.map(|hold| (index, hold));
                    break;
                }
            }
            // The round did not come to it: others may have it during the pause.
            drop(before);
            let Some((request, missed)) = missed else {
                return had.begin(self.terms, Some(round), self.started).await;
            };
            had.give_back().await;
            match missed {
                Missed::GaveUp(_) if !is_last => {
                    sleep(pauses.next().unwrap_or_default()).await;
                }
                Missed::GaveUp(mut progress) => {
                    progress.attempts = round;
                    return Err(Missed::GaveUp(progress).into_error(request));
                }
                Missed::ForGood(error) => return Err(error),
            }
        }
    }

    /// Waits for each in its own line, and keeps those that it has.
    async fn in_lines(self, limit: Option<Duration>) -> Result<LockGuard, LockError> {
        let mut had = Had::new(self.terms.ttl);
        for request in self.requests {
            match had.beside(wait(request, limit)).await {
                Ok(Ok(got)) => had.add(got),
                Ok(Err(error)) | Err(error) => {
                    had.give_back().await;
                    return Err(error);
                }
            }
        }
        had.begin(self.terms, None, self.started).await
    }
}

/// The keys that are there, while others are asked for.
struct Had {
    holds: Vec<Hold>,
    attempts: u32,
    /// How long they need no extension, from the first on.
    patience: Duration,
    /// From when on they are extended.
    hold_on_at: Option<Instant>,
    is_holding_on: bool,
}

impl Had {
    fn new(ttl: Duration) -> Self {
        Self {
            holds: Vec::new(),
            attempts: 0,
            patience: ttl / 4,
            hold_on_at: None,
            is_holding_on: false,
        }
    }

    fn add(&mut self, got: Got) {
        let Got { hold, attempts } = got;
        self.attempts = self.attempts.saturating_add(attempts);
        if self.is_holding_on {
            hold.hold_on();
        }
        let hold_on_at = || Instant::now() + self.patience;
        self.hold_on_at.get_or_insert_with(hold_on_at);
        self.holds.push(hold);
    }

    /// Awaits this, and minds those that are there: they are extended when it takes long. An error if one is
    /// lost meanwhile.
    async fn beside<T>(&mut self, next: impl Future<Output = T>) -> Result<T, LockError> {
        let mut next = pin!(next);
        let mut timer = None;
        poll_fn(|cx| {
            if let Poll::Ready(next) = next.as_mut().poll(cx) {
                return Poll::Ready(Ok(next));
            }
            loop {
                let now = Instant::now();
                if !self.is_holding_on && self.hold_on_at.is_some_and(|at| at <= now) {
                    self.is_holding_on = true;
                    self.holds.iter().for_each(Hold::hold_on);
                }
                let mut look_again = self.hold_on_at.filter(|_| !self.is_holding_on);
                for hold in &self.holds {
                    match hold.tenure().watch(now, cx.waker()) {
                        Ok(until) => {
                            look_again = Some(look_again.map_or(until, |at| at.min(until)));
                        }
                        Err(reason) => return Poll::Ready(Err(hold.lost(reason))),
                    }
                }
                let Some(at) = look_again else {
                    return Poll::Pending;
                };
                let timer = timer.get_or_insert_with(|| Box::pin(sleep_until(at)));
                if timer.deadline() != at {
                    timer.as_mut().reset(at);
                }
                if timer.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    /// Gives back what there is, since not all are had. Whoever is told so finds nothing of it.
    async fn give_back(self) {
        if let Some(releasing) = Releasing::of(self.holds)
            && let Err(failed) = releasing.await
        {
            // It goes on in the background.
            tracing::debug!(lock.key = failed.error.key(), error = %failed.error, "one of several locks not given back yet");
        }
    }

    /// All are there: their turn begins, if none was lost meanwhile.
    async fn begin(
        self,
        terms: Terms,
        rounds: Option<u32>,
        started: Instant,
    ) -> Result<LockGuard, LockError> {
        let now = Instant::now();
        let lost = self.holds.iter().find_map(|hold| hold.loss(now));
        if let Some(lost) = lost {
            self.give_back().await;
            return Err(lost);
        }
        let attempts = rounds.unwrap_or(self.attempts);
        Ok(LockGuard::of_all(self.holds, terms, attempts, started))
    }
}
