//! A body that testifies when it is polled, and how it ends.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::time::sleep;

use super::super::chance::{between, one_in};
use super::super::testimony::{ErrandId, How};
use super::caller::Caller;
use super::errand::{Answer, Errand};
use crate::Lease;

pub(super) struct Body {
    caller: Caller,
    errand: Errand,
    work: BoxFuture<'static, ()>,
    is_inside: bool,
    /// What it testifies at its end.
    ends: How,
}

impl Body {
    pub(super) fn new(
        caller: &Caller,
        errand: &Errand,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        Self {
            caller: caller.clone(),
            errand: errand.clone(),
            work: Box::pin(work),
            is_inside: false,
            ends: How::Ended,
        }
    }

    pub(super) fn that_ends(mut self, ends: How) -> Self {
        self.ends = ends;
        self
    }

    fn leave(&mut self, how: How) {
        self.is_inside = false;
        self.caller.leaves(&self.errand, how);
    }
}

impl Future for Body {
    /// Its errand, by which the caller knows it again.
    type Output = ErrandId;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<ErrandId> {
        let lease = Lease::current().expect("a body has a lease");
        if self.is_inside {
            self.caller.goes_on(&self.errand, &lease);
        } else {
            self.caller.enters(&self.errand, &lease);
            self.is_inside = true;
        }
        match self.work.as_mut().poll(cx) {
            Poll::Ready(()) => {
                let ends = self.ends;
                self.leave(ends);
                Poll::Ready(self.errand.id())
            }
            Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if self.is_inside {
            self.leave(How::Dropped);
        }
    }
}

/// Takes so many milliseconds, in some steps.
pub(super) async fn work(length: u64) {
    let mut left = length;
    while left > 0 {
        let step = between(1..=left.min(1 + length / 4));
        sleep(Duration::from_millis(step)).await;
        left -= step;
    }
}

/// As [`work`], and now and then makes its lease longer.
pub(super) async fn extending_work(length: u64, ttl: u64) {
    let mut left = length;
    while left > 0 {
        let step = between(1..=left.min(1 + length / 4));
        sleep(Duration::from_millis(step)).await;
        left -= step;
        if one_in(3) {
            let lease = Lease::current().expect("a body has a lease");
            let extended = lease.extend(Duration::from_millis(ttl)).await;
            // Whoever is refused it accuses itself.
            extended.map_err(|error| Answer::from(&error)).ok();
        }
    }
}
