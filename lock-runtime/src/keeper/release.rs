//! A release that nobody awaits, asked for until it is done or the key is gone by itself.

use std::future::poll_fn;
use std::iter::successors;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep, sleep_until};

use crate::line::Lines;
use crate::random::random;
use crate::store::{Acquired, Attempted, Holder, Released, Store, StoreError};
use crate::telemetry;
use crate::tenure::{Cleanup, Needs, Question, SharedTenure, rest};

/// How long after a bounded tenure was released the first of the line leaves the lock to others.
///
/// Another process that waits asks within a round trip of the release. Asking later than that lets
/// it have the lock, whose next release then wakes us; a millisecond is the finest that tokio's
/// timers do. Two processes of 32 tasks on one lock, medians of four rounds: without a step back,
/// the longest wait is 103 ms, that of two turns in a row; with 1 or 2 ms it is 53 ms, with 5 ms
/// 58 ms.
const STEP_BACK: Duration = Duration::from_millis(1);

/// The first and the longest pause between attempts; each is four times the last. Thousands of
/// guards may be dropped while Redis refuses, and each asks.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(2));

/// Nobody need be told of a release that fails for less.
const PROMPT: Duration = Duration::from_secs(2);

/// The lines of a locker's callers: a tenure is passed on to one who needs so much of it.
pub(crate) type TenureLines = Lines<SharedTenure, Needs, StoreError>;

/// A tenure that is over, and what is to be done about its key.
pub(crate) struct Release {
    pub(crate) tenure: Arc<SharedTenure>,
    pub(crate) cleanup: Cleanup,
    /// The attempt to acquire whose caller has left.
    pub(crate) unheard: Option<UnheardAttempt>,
    /// What came of that, while the release was still asked for.
    pub(crate) attempted: Option<Box<Attempted>>,
    /// Where it was dropped, or else where it was acquired.
    pub(crate) runtime: Handle,
}

/// An attempt to acquire that was sent, and whose answer nobody waits for any more.
pub(crate) struct UnheardAttempt {
    pub(crate) answer: BoxFuture<'static, Attempted>,
    pub(crate) question: Question,
    /// Whether it asks for a place in the store's line.
    pub(crate) in_line: bool,
}

/// Has the first in line ask, if this tenure was the line's. One that was passed on has had its
/// time, so that others come first.
pub(crate) fn vacate(lines: &TenureLines, tenure: &Arc<SharedTenure>) {
    let was_passed_on = tenure.look(|tenure| tenure.turn() > 0);
    let not_before = was_passed_on.then(|| Instant::now() + STEP_BACK);
    lines.vacate(&tenure.entry.key, tenure, not_before);
}

/// What an attempt got for a caller who has left.
enum Unheard {
    Nothing,
    Granted,
    /// A place in the store's line.
    Seated,
}

impl Release {
    /// Asks until the key is released or gone by itself.
    ///
    /// While a command that sets the key may still be under way, no answer settles anything, not
    /// even that the key was ours and is gone: it may come back.
    pub(super) async fn ask(&mut self, store: &dyn Store, lines: &TenureLines) {
        let tenure = Arc::clone(&self.tenure);
        let Cleanup {
            expires,
            keep_until,
            held,
            ..
        } = self.cleanup;
        let (first_pause, longest) = PAUSES;
        let mut pauses = successors(Some(first_pause), |last| Some((*last * 4).min(longest)));
        let mut is_first = true;
        let began = Instant::now();
        loop {
            let asked = Instant::now();
            let entry = Arc::clone(&tenure.entry);
            let mut pause = pauses
                .next()
                .map_or(longest, |pause| pause.mul_f64(0.5 + random::<f64>() / 2.0));
            let unsettled = tenure.looks_until(self.cleanup.unsettled_until);
            let unsettled = rest(unsettled, asked);
            let answer = store.release_in_doubt(entry, rest(keep_until, asked), unsettled);
            match self.meanwhile(answer).await {
                Ok(answer) => {
                    vacate(lines, &tenure);
                    // After an answer that was lost, the key may be gone by this very release.
                    if held && is_first && answer != Released::Done {
                        tenure.was_not_there(answer);
                    }
                    if let Some(unheard) = self.unheard.take() {
                        // It may have been granted behind the release: also where that found it, if
                        // only most of several servers had it by then, or if it had been passed on.
                        let is_whole =
                            answer == Released::Done && !store.spends_tokens() && !unheard.in_line;
                        match self.hear(unheard).await {
                            Unheard::Granted if !is_whole => continue,
                            Unheard::Seated => continue,
                            Unheard::Granted | Unheard::Nothing => {}
                        }
                    }
                    match self.cleanup.unsettled_until {
                        Some(until) if asked < until => {
                            pause = pause.min(until.saturating_duration_since(Instant::now()));
                        }
                        _ => return,
                    }
                }
                // Whatever the answer is, it may be another one while the key is there.
                Err(error) => {
                    let is_last = Instant::now() + pause >= expires;
                    let lasts = began.elapsed() >= PROMPT;
                    self.tell(&error, is_last || lasts);
                    if is_last {
                        // Whoever waits for the release finds the key gone.
                        self.meanwhile(sleep_until(expires)).await;
                        return;
                    }
                }
            }
            is_first = false;
            self.meanwhile(sleep(pause)).await;
        }
    }

    /// Waits, while the attempt whose caller has left goes on: had it stood still meanwhile, it could send
    /// what sets the key when no doubt is left.
    async fn meanwhile<T>(&mut self, waiting: impl Future<Output = T>) -> T {
        let mut waiting = pin!(waiting);
        poll_fn(|cx| {
            if let (Some(unheard), None) = (&mut self.unheard, &self.attempted)
                && let Poll::Ready(attempted) = unheard.answer.poll_unpin(cx)
            {
                self.attempted = Some(Box::new(attempted));
            }
            waiting.as_mut().poll(cx)
        })
        .await
    }

    /// Hears what came of the attempt whose caller has left.
    async fn hear(&mut self, unheard: UnheardAttempt) -> Unheard {
        let Attempted { outcome, settled } = match self.attempted.take() {
            Some(attempted) => *attempted,
            None => unheard.answer.await,
        };
        if settled {
            self.cleanup.unsettled_until = self.tenure.tell(|tenure| {
                tenure.answered(unheard.question);
                tenure.unsettled(Instant::now())
            });
        }
        match outcome {
            Ok(Acquired::Granted { .. }) => Unheard::Granted,
            Ok(Acquired::Busy(Some(Holder { seat: Some(_), .. }))) => Unheard::Seated,
            _ => Unheard::Nothing,
        }
    }

    fn tell(&self, error: &StoreError, is_trouble: bool) {
        let (key, error) = (self.tenure.key(), error as &dyn std::error::Error);
        let text = "lock not released; its key goes when its ttl is over, or as soon as Redis \
                    does what it is asked";
        if is_trouble && self.cleanup.had && self.tenure.count_failed_release() {
            telemetry::backend_error(self.tenure.name());
            tracing::warn!(lock.key = key, error, "{text}");
        } else {
            // It was never had, or the holder or the log has been told that its release failed.
            tracing::debug!(lock.key = key, error, "{text}");
        }
    }
}
