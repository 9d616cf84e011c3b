//! What is done with a request whose run is recorded.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::time::timeout;

use super::super::chance::{between, one_of};
use super::super::testimony::{ErrandId, Event, How, KeyId, Outcome, Terms};
use super::body::{Body, work};
use super::caller::{Caller, outcome_of};
use super::deeds::{Polled, hold, length};
use crate::{LockRequest, Recorded};

/// Long enough to be there at the end.
const LIFETIME: Duration = Duration::from_secs(60);

impl Caller {
    fn recorded(&self, key: KeyId, terms: &Terms) -> LockRequest<Recorded> {
        let request = self.request(key, terms);
        match terms.once_per {
            Some(period) => request.once_per(Duration::from_millis(period)),
            None => request.record(LIFETIME),
        }
    }

    /// Runs a body that ends in one way or another.
    async fn run_recorded(&self, errand: ErrandId, key: KeyId, terms: &Terms) -> Outcome {
        let how = *one_of(&[
            How::Ended,
            How::Ended,
            How::Ended,
            How::Ended,
            How::Failed,
            How::Panicked,
        ]);
        let body = Body::new(self, errand, work(length(self, terms))).that_ends(how);
        let body = body.map(move |errand| match how {
            How::Failed => Err(errand),
            // Nobody need read of it.
            How::Panicked => resume_unwind(Box::new("as it was to")),
            _ => Ok(errand),
        });
        let running = self.recorded(key, terms).run(body);
        match AssertUnwindSafe(running).catch_unwind().await {
            Ok(Ok(Ok(errand) | Err(errand))) => Outcome::Ran(errand),
            Ok(Err(error)) => outcome_of(&error),
            Err(_) => Outcome::Panicked,
        }
    }
}

pub(super) async fn run(caller: Caller, key: KeyId, terms: Terms) {
    let errand = caller.asks(key, &terms);
    let outcome = caller.run_recorded(errand, key, &terms).await;
    caller.gets(errand, outcome);
}

/// The caller drops it after some time.
pub(super) async fn leave_in_time(caller: Caller, key: KeyId, terms: Terms) {
    let errand = caller.asks(key, &terms);
    let limit = Duration::from_millis(between(0..=2 * caller.plan.longest_body + 20));
    let ran = timeout(limit, caller.run_recorded(errand, key, &terms)).await;
    caller.gets(errand, ran.unwrap_or(Outcome::Left));
}

/// The caller drops it after some polls, wherever it is then.
pub(super) async fn drop_after_polls(caller: Caller, key: KeyId, terms: Terms) {
    let errand = caller.asks(key, &terms);
    let ran = Polled {
        future: Box::pin(caller.run_recorded(errand, key, &terms)),
        left: between(0..=8),
    };
    let outcome = ran.await.unwrap_or(Outcome::Left);
    caller.gets(errand, outcome);
}

/// With a guard, which is released, says that the run failed, or is dropped.
pub(super) async fn by_hand(caller: Caller, key: KeyId, terms: Terms) {
    let errand = caller.asks(key, &terms);
    let guard = match caller.recorded(key, &terms).acquire().await {
        Ok(guard) => guard,
        Err(error) => return caller.gets(errand, outcome_of(&error)),
    };
    let how = *one_of(&[How::Ended, How::Ended, How::Failed, How::Dropped]);
    let is_held = guard.is_held();
    if is_held {
        caller.enters(errand, &guard);
        hold(&caller, errand, &guard, length(&caller, &terms)).await;
        caller.witness.tell(&Event::Left { errand, how });
    }
    let released = match how {
        How::Failed => guard.fail().await,
        How::Dropped => {
            drop(guard);
            return caller.gets(errand, Outcome::Left);
        }
        _ => guard.release().await,
    };
    let outcome = match released {
        Ok(()) => Outcome::Released,
        Err(error) => outcome_of(&error),
    };
    caller.gets(errand, outcome);
}
