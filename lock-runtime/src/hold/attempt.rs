//! One attempt to acquire, from the command to a lease that runs.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::time::Instant;

use super::single::{Heirs, Hold};
use crate::error::LostReason;
use crate::keeper::UnheardAttempt;
use crate::store::{Acquired, Asking, Attempted, Done, Holder, Passed, StoreError};
use crate::tenure::{Begun, Look, Needs, Question, Tenure, before};

/// What came of an attempt.
pub(crate) enum AttemptOutcome {
    Granted,
    /// Granted too late to be of use.
    Lost(LostReason),
    /// There is nothing to be done before the next period.
    Done(Done),
    Busy(Option<Holder>),
    /// Busy, after some of several servers were taken.
    Split(Option<Holder>),
    Failed(StoreError),
}

/// Owns the guard meanwhile. Should the caller leave, the answer is heard all the same, by the
/// release that follows.
struct Attempt {
    asked: Instant,
    under_way: Option<(Hold, UnheardAttempt)>,
}

impl Hold {
    /// Asks the store for the lock.
    pub(crate) fn attempt(
        self,
        asking: Asking,
        now: Instant,
    ) -> impl Future<Output = (Self, AttemptOutcome)> + Send {
        let store = &self.common().store;
        let settles_within = store.settles_within();
        let in_line = matches!(asking, Asking::Looking { .. } | Asking::InLine { .. });
        if in_line {
            self.tenure().listen(|entry| store.listen(entry));
        }
        self.tenure().wake(now, Look::Now);
        let (question, ttl) = self.tenure().tell(|tenure| {
            let question = tenure.asking(now, settles_within);
            (question, tenure.ttl())
        });
        let answer = store.acquire(Arc::clone(&self.tenure().entry), ttl, asking);
        let unheard = UnheardAttempt {
            answer,
            question,
            in_line,
        };
        Attempt {
            asked: now,
            under_way: Some((self, unheard)),
        }
    }

    /// Begins what another holder passed on to us, if that may be begun without asking.
    pub(crate) fn passed_by_store(&self, passed: Passed, needs: &Needs) -> bool {
        let Passed { since, term, fence } = passed;
        let begun = since.and_then(|since| {
            let now = Instant::now();
            // When in this time it slept is not known: that may cost a look.
            let since = before(since, self.tenure().slept_since_made(now));
            self.tenure()
                .tell(|tenure| tenure.passed(now, since, term, fence, needs))
        });
        if let Some(begun) = &begun {
            self.watch_if(begun);
        }
        begun.is_some()
    }

    fn heard(
        &self,
        asked: Instant,
        question: Question,
        settled: bool,
        outcome: Result<Acquired, StoreError>,
    ) -> AttemptOutcome {
        if settled {
            self.tenure().tell(|tenure| tenure.answered(question));
        }
        match outcome {
            Ok(Acquired::Granted { since, fence }) => {
                let now = Instant::now();
                let (asleep, _) = self.tenure().wake(now, Look::Now);
                let since = before(since, asleep);
                match self
                    .tenure()
                    .tell(|tenure| tenure.granted(now, since, fence))
                {
                    Begun::Late(reason) => AttemptOutcome::Lost(reason),
                    begun => {
                        self.watch_if(&begun);
                        AttemptOutcome::Granted
                    }
                }
            }
            Ok(Acquired::Done(done)) => {
                self.tenure().tell(Tenure::unseated);
                AttemptOutcome::Done(done)
            }
            Ok(Acquired::Busy(holder)) => {
                self.tenure().tell(|tenure| tenure.found_busy(asked));
                if let Some(seat) = holder.as_ref().and_then(|holder| holder.seat) {
                    let until = Instant::now() + seat.lasts;
                    self.tenure().tell(|tenure| tenure.seated(until));
                }
                AttemptOutcome::Busy(holder)
            }
            Ok(Acquired::Split(holder)) => AttemptOutcome::Split(holder),
            Err(error) => AttemptOutcome::Failed(error),
        }
    }
}

impl Future for Attempt {
    type Output = (Hold, AttemptOutcome);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let under_way = self.under_way.as_mut();
        let (_, unheard) = under_way.expect("polled again after it was ready");
        let Attempted { outcome, settled } = ready!(unheard.answer.as_mut().poll(cx));
        let (guard, unheard) = self.under_way.take().expect("it was there just now");
        let granting = guard.heard(self.asked, unheard.question, settled, outcome);
        Poll::Ready((guard, granting))
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some((mut guard, unheard)) = self.under_way.take() {
            guard.leave(Some(unheard), Heirs::Any);
        }
    }
}
