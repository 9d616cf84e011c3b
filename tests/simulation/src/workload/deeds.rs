//! What is done with a request.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::super::chance::{between, one_in};
use super::super::testimony::{ErrandId, Event, How, KeyId, Outcome, Terms};
use super::body::{Body, extending_work, work};
use super::caller::{Caller, outcome_of};
use crate::private::FromSkipped;
use crate::{LockError, LockGuard};

type Ran = Result<ErrandId, LockError>;

pub(super) async fn run(caller: Caller, key: KeyId, terms: Terms) {
    let errand = caller.asks(key, &terms);
    let body = Body::new(&caller, errand, work(length(&caller, &terms)));
    let ran = caller.request(key, &terms).run(body).await;
    caller.gets(errand, outcome(ran));
}

pub(super) async fn extend(caller: Caller, key: KeyId, terms: Terms) {
    let errand = caller.asks(key, &terms);
    let length = 2 * length(&caller, &terms);
    let ttl = between(10..=2 * terms.ttl.max(10));
    let body = Body::new(&caller, errand, extending_work(length, ttl));
    let ran = caller.request(key, &terms).run(body).await;
    caller.gets(errand, outcome(ran));
}

/// The caller drops it after some polls, wherever it is then.
pub(super) async fn drop_after_polls(caller: Caller, key: KeyId, terms: Terms) {
    let errand = caller.asks(key, &terms);
    let body = Body::new(&caller, errand, work(length(&caller, &terms)));
    let running = caller.request(key, &terms).run(body);
    let ran = Polled {
        future: Box::pin(running),
        left: between(0..=8),
    };
    let outcome = ran.await.map_or(Outcome::Left, outcome);
    caller.gets(errand, outcome);
}

/// The caller drops it after some time.
pub(super) async fn leave_in_time(caller: Caller, key: KeyId, terms: Terms) {
    let errand = caller.asks(key, &terms);
    let body = Body::new(&caller, errand, work(length(&caller, &terms)));
    let limit = between(0..=2 * caller.plan.longest_body + 20);
    let running = caller.request(key, &terms).run(body);
    let ran = timeout(Duration::from_millis(limit), running).await;
    caller.gets(errand, ran.map_or(Outcome::Left, outcome));
}

/// With a guard, which is released or dropped.
pub(super) async fn by_hand(caller: Caller, key: KeyId, terms: Terms) {
    let errand = caller.asks(key, &terms);
    let guard = match caller.request(key, &terms).acquire().await {
        Ok(guard) => guard,
        Err(error) => return caller.gets(errand, outcome_of(&error)),
    };
    let leaves = |how| caller.witness.tell(&Event::Left { errand, how });
    if guard.is_held() {
        caller.enters(errand, &guard);
        hold(&caller, errand, &guard, length(&caller, &terms)).await;
        leaves(if guard.is_held() {
            How::Ended
        } else {
            How::Stopped
        });
    }
    if one_in(3) {
        drop(guard);
        return caller.gets(errand, Outcome::Left);
    }
    let released = guard.release();
    let outcome = match released.await {
        Ok(()) => Outcome::Released,
        Err(error) => outcome_of(&error),
    };
    caller.gets(errand, outcome);
}

pub(super) async fn hold(caller: &Caller, errand: ErrandId, guard: &LockGuard, length: u64) {
    let mut left = length;
    let mut lost = pin!(guard.lost());
    while left > 0 {
        let step = between(1..=left.min(1 + length / 4));
        left -= step;
        let lost = timeout(Duration::from_millis(step), lost.as_mut()).await;
        if lost.is_ok() || !guard.is_held() {
            return;
        }
        caller.goes_on(errand, guard);
    }
}

/// `skip`: nothing comes of it when it is busy.
pub(super) async fn skip(caller: Caller, key: KeyId, terms: Terms) {
    let errand = caller.asks(key, &terms);
    let body = Body::new(&caller, errand, work(length(&caller, &terms)));
    let ran = caller.request(key, &terms).run(body).await;
    let was_busy = matches!(&ran, Err(error) if error.is_busy());
    let seen = ran
        .as_ref()
        .map_or_else(outcome_of, |ran| Outcome::Ran(*ran));
    if let Err(error) = ran {
        let skipped = Option::<ErrandId>::from_skipped(error);
        assert!(
            skipped.is_none() || !was_busy,
            "what was skipped has a result"
        );
    }
    caller.gets(errand, seen);
}

/// Shuts the locker down while others use it, which then goes on.
pub(super) async fn shut_down(caller: Caller, key: KeyId, terms: Terms) {
    run(caller.clone(), key, terms).await;
    if one_in(8) {
        let limit = Duration::from_millis(200);
        // With others at work, there may always be one release more.
        if timeout(limit, caller.locker.shutdown()).await.is_ok() {
            let process = caller.process;
            caller.witness.tell(&Event::Closed { process });
        }
    }
    sleep(Duration::from_millis(1)).await;
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

fn outcome(ran: Ran) -> Outcome {
    match ran {
        Ok(result) => Outcome::Ran(result),
        Err(error) => outcome_of(&error),
    }
}

/// A future that is dropped after so many polls; `None` then.
pub(super) struct Polled<F> {
    pub(super) future: Pin<Box<F>>,
    pub(super) left: u32,
}

impl<F: Future> Future for Polled<F> {
    type Output = Option<F::Output>;

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
