//! One attempt to acquire, from the command to a lease that runs.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::time::Instant;

use super::guard::LockGuard;
use crate::error::LostReason;
use crate::keeper::Unheard;
use crate::store::{Acquired, Asking, Attempted, Holder, StoreError};
use crate::tenure::{Begun, Question};

/// What came of an attempt.
pub(crate) enum Granting {
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
struct Attempt(Option<(LockGuard, Unheard)>);

impl LockGuard {
    /// Asks the store for the lock.
    pub(crate) fn attempt(self, asking: Asking) -> impl Future<Output = (Self, Granting)> + Send {
        let store = &self.common.store;
        let settles_within = store.settles_within();
        let (question, ttl) = self.tenure.tell(|tenure| {
            let question = tenure.asking(Instant::now(), settles_within);
            (question, tenure.ttl())
        });
        let answer = store.acquire(Arc::clone(&self.tenure.entry), ttl, asking);
        Attempt(Some((self, Unheard { answer, question })))
    }

    fn heard(
        &self,
        question: Question,
        settled: bool,
        outcome: Result<Acquired, StoreError>,
    ) -> Granting {
        if settled {
            self.tenure.tell(|tenure| tenure.answered(question));
        }
        match outcome {
            Ok(Acquired::Granted { since, fence }) => {
                let now = Instant::now();
                match self.tenure.tell(|tenure| tenure.granted(now, since, fence)) {
                    Begun::Late(reason) => Granting::Lost(reason),
                    begun => {
                        self.watch_if(&begun);
                        Granting::Granted
                    }
                }
            }
            Ok(Acquired::Busy(holder)) => Granting::Busy(holder),
            Ok(Acquired::Split(holder)) => Granting::Split(holder),
            Err(error) => Granting::Failed(error),
        }
    }
}

impl Future for Attempt {
    type Output = (LockGuard, Granting);

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
