//! One attempt to acquire, from the command to a lease that runs.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::time::Instant;

use super::guard::LockGuard;
use crate::error::LostReason;
use crate::keeper::UnheardAttempt;
use crate::store::{Acquired, Asking, Attempted, Holder, StoreError};
use crate::tenure::{Begun, Look, Question, before};

/// What came of an attempt.
pub(crate) enum AttemptOutcome {
    Granted,
    /// Granted too late to be of use.
    Lost(LostReason),
    Busy(Option<Holder>),
    /// Busy, after some of several servers were taken.
    Split(Option<Holder>),
    Failed(StoreError),
}

/// Owns the guard meanwhile. Should the caller leave, the answer is heard all the same, by the
/// release that follows.
struct Attempt(Option<(LockGuard, UnheardAttempt)>);

impl LockGuard {
    /// Asks the store for the lock.
    pub(crate) fn attempt(
        self,
        asking: Asking,
        now: Instant,
    ) -> impl Future<Output = (Self, AttemptOutcome)> + Send {
        let store = &self.common.store;
        let settles_within = store.settles_within();
        self.tenure.wake(now, Look::Now);
        let (question, ttl) = self.tenure.tell(|tenure| {
            let question = tenure.asking(now, settles_within);
            (question, tenure.ttl())
        });
        let answer = store.acquire(Arc::clone(&self.tenure.entry), ttl, asking);
        Attempt(Some((self, UnheardAttempt { answer, question })))
    }

    fn heard(
        &self,
        question: Question,
        settled: bool,
        outcome: Result<Acquired, StoreError>,
    ) -> AttemptOutcome {
        if settled {
            self.tenure.tell(|tenure| tenure.answered(question));
        }
        match outcome {
            Ok(Acquired::Granted { since, fence }) => {
                let now = Instant::now();
                let (asleep, _) = self.tenure.wake(now, Look::Now);
                let since = before(since, asleep);
                match self.tenure.tell(|tenure| tenure.granted(now, since, fence)) {
                    Begun::Late(reason) => AttemptOutcome::Lost(reason),
                    begun => {
                        self.watch_if(&begun);
                        AttemptOutcome::Granted
                    }
                }
            }
            Ok(Acquired::Busy(holder)) => AttemptOutcome::Busy(holder),
            Ok(Acquired::Split(holder)) => AttemptOutcome::Split(holder),
            Err(error) => AttemptOutcome::Failed(error),
        }
    }
}

impl Future for Attempt {
    type Output = (LockGuard, AttemptOutcome);

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (_, unheard) = self.0.as_mut().expect("polled again after it was ready");
        let Attempted { outcome, settled } = ready!(unheard.answer.as_mut().poll(cx));
        let (guard, unheard) = self.0.take().expect("it was there just now");
        let granting = guard.heard(unheard.question, settled, outcome);
        Poll::Ready((guard, granting))
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some((guard, unheard)) = self.0.take() {
            guard.leave(Some(unheard));
        }
    }
}
