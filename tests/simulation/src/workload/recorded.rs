//! What is done with a request whose run is recorded.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::time::Duration;

use futures_util::FutureExt as _;

use super::super::chance::one_of;
use super::super::testimony::{How, Outcome, Terms};
use super::body::{Body, work};
use super::caller::Caller;
use super::deeds::length;
use super::errand::{Answer, Errand, Wanted};
use crate::{LockRequest, Recorded};

/// Long enough to be there at the end.
const LIFETIME: Duration = Duration::from_secs(60);

impl Caller {
    fn recorded(&self, wanted: &Wanted, terms: &Terms) -> LockRequest<Recorded> {
        let request = self.request(wanted, terms);
        match terms.once_per {
            Some(period) => request.once_per(Duration::from_millis(period)),
            None => request.record(LIFETIME),
        }
    }

    /// Runs a body that ends in one way or another.
    pub(super) async fn run_recorded(
        &self,
        errand: &Errand,
        wanted: &Wanted,
        terms: &Terms,
    ) -> Answer {
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
        let running = self.recorded(wanted, terms).run(body);
        match AssertUnwindSafe(running).catch_unwind().await {
            Ok(Ok(Ok(errand) | Err(errand))) => Outcome::Ran(errand).into(),
            Ok(Err(error)) => Answer::from(&error),
            Err(_) => Outcome::Panicked.into(),
        }
    }

    /// With a guard, which is released, says that the run failed, or is dropped.
    pub(super) async fn recorded_by_hand(
        &self,
        errand: &Errand,
        wanted: &Wanted,
        terms: &Terms,
    ) -> Answer {
        let guard = match self.recorded(wanted, terms).acquire().await {
            Ok(guard) => guard,
            Err(error) => return Answer::from(&error),
        };
        let how = *one_of(&[How::Ended, How::Ended, How::Failed, How::Dropped]);
        if !guard.is_held() {
            // It has done nothing, and does not say that it has.
            drop(guard);
            return Outcome::Left.into();
        }
        self.enters(errand, &guard);
        self.hold(errand, &guard, length(self, terms)).await;
        self.leaves(errand, how);
        match how {
            How::Failed => guard.fail().await.into(),
            How::Dropped => {
                drop(guard);
                Outcome::Left.into()
            }
            _ => guard.release().await.into(),
        }
    }
}
