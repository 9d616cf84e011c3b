//! What is done with a request.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::time::{sleep, timeout};

use super::super::chance::{between, one_in};
use super::super::testimony::{ErrandId, Event, How, Outcome, Terms};
use super::body::{Body, extending_work, work};
use super::caller::Caller;
use super::errand::{Answer, Errand, Wanted};
use crate::private::FromSkipped;
use crate::{LockError, LockGuard};

#[derive(Clone, Copy)]
pub(super) enum Deed {
    /// Its body runs.
    Run,
    /// The same, and the body makes its lease longer.
    Extend,
    /// The caller drops it after some polls, wherever it is then.
    DropAfterPolls,
    /// The caller drops it after some time.
    LeaveInTime,
    /// With a guard, which is released or dropped.
    ByHand,
    /// `skip`: nothing comes of it when it is busy.
    Skip,
    /// The locker is shut down while others use it, which then goes on.
    ShutDown,
}

impl Caller {
    pub(super) async fn act(self, deed: Deed, wanted: Wanted, terms: Terms) {
        let errand = self.asks(&wanted, &terms);
        let answer = match deed {
            Deed::Run | Deed::ShutDown => self.running(&errand, &wanted, &terms).await,
            Deed::Extend => self.extending(&errand, &wanted, &terms).await.into(),
            Deed::DropAfterPolls => {
                let future = self.running(&errand, &wanted, &terms);
                let left = between(0..=8);
                let ran = Polled { future, left };
                ran.await.unwrap_or_else(|| Outcome::Left.into())
            }
            Deed::LeaveInTime => {
                let running = self.running(&errand, &wanted, &terms);
                let limit = between(0..=2 * self.plan.longest_body + 20);
                let ran = timeout(Duration::from_millis(limit), running).await;
                ran.unwrap_or_else(|_| Outcome::Left.into())
            }
            Deed::ByHand if terms.record => self.recorded_by_hand(&errand, &wanted, &terms).await,
            Deed::ByHand => self.by_hand(&errand, &wanted, &terms).await,
            Deed::Skip => self.skip(&errand, &wanted, &terms).await,
        };
        self.gets(&errand, answer);
        if matches!(deed, Deed::ShutDown) {
            self.shut_down().await;
        }
    }

    /// Runs a body under the lock.
    fn running<'a>(
        &'a self,
        errand: &'a Errand,
        wanted: &'a Wanted,
        terms: &'a Terms,
    ) -> BoxFuture<'a, Answer> {
        if terms.record {
            return self.run_recorded(errand, wanted, terms).boxed();
        }
        let body = Body::new(self, errand, work(length(self, terms)));
        let running = self.request(wanted, terms).run(body);
        running.map(Answer::from).boxed()
    }

    async fn extending(
        &self,
        errand: &Errand,
        wanted: &Wanted,
        terms: &Terms,
    ) -> Result<ErrandId, LockError> {
        let length = 2 * length(self, terms);
        let ttl = between(10..=2 * terms.ttl.max(10));
        let body = Body::new(self, errand, extending_work(length, ttl));
        self.request(wanted, terms).run(body).await
    }

    async fn by_hand(&self, errand: &Errand, wanted: &Wanted, terms: &Terms) -> Answer {
        let guard = match self.request(wanted, terms).acquire().await {
            Ok(guard) => guard,
            Err(error) => return Answer::from(&error),
        };
        if guard.is_held() {
            self.enters(errand, &guard);
            self.hold(errand, &guard, length(self, terms)).await;
            let how = if guard.is_held() {
                How::Ended
            } else {
                How::Stopped
            };
            self.leaves(errand, how);
        }
        if one_in(3) {
            drop(guard);
            return Outcome::Left.into();
        }
        guard.release().await.into()
    }

    pub(super) async fn hold(&self, errand: &Errand, guard: &LockGuard, length: u64) {
        let mut left = length;
        let mut lost = pin!(guard.lost());
        while left > 0 {
            let step = between(1..=left.min(1 + length / 4));
            left -= step;
            let lost = timeout(Duration::from_millis(step), lost.as_mut()).await;
            if lost.is_ok() || !guard.is_held() {
                return;
            }
            self.goes_on(errand, guard);
        }
    }

    async fn skip(&self, errand: &Errand, wanted: &Wanted, terms: &Terms) -> Answer {
        let body = Body::new(self, errand, work(length(self, terms)));
        match self.request(wanted, terms).run(body).await {
            Ok(ran) => Outcome::Ran(ran).into(),
            Err(error) => {
                let (answer, was_busy) = (Answer::from(&error), error.is_busy());
                let skipped = Option::<ErrandId>::from_skipped(error);
                assert!(
                    skipped.is_none() || !was_busy,
                    "what was skipped has a result"
                );
                answer
            }
        }
    }

    async fn shut_down(&self) {
        if one_in(8) {
            let limit = Duration::from_millis(200);
            // With others at work, there may always be one release more.
            if timeout(limit, self.locker.shutdown()).await.is_ok() {
                let process = self.process;
                self.witness.tell(&Event::Closed { process });
            }
        }
        sleep(Duration::from_millis(1)).await;
    }
}

/// How long a body takes: mostly less than its lease, sometimes more.
pub(super) fn length(caller: &Caller, terms: &Terms) -> u64 {
    if one_in(caller.plan.long_body_one_in) {
        between(0..=2 * terms.ttl)
    } else if one_in(4) {
        0
    } else {
        between(0..=caller.plan.longest_body)
    }
}

/// A future that is dropped after so many polls; `None` then.
struct Polled<'a> {
    future: BoxFuture<'a, Answer>,
    left: u32,
}

impl Future for Polled<'_> {
    type Output = Option<Answer>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(output) = self.future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        Poll::Pending
    }
}
