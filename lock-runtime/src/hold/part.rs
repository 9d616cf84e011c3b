//! One key of a lease.

use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::common::Common;
use crate::error::{LockError, LostReason};
use crate::keeper::vacate;
use crate::store::Extension;
use crate::telemetry;
use crate::tenure::{Look, SharedTenure, Tenure};
use crate::token::{FencingToken, TOKEN_LEN};

#[derive(Clone)]
pub(super) struct Part {
    pub(super) tenure: Arc<SharedTenure>,
    /// Which of the tenure's holders this is for.
    pub(super) turn: u32,
    /// Whether that holder asked for a fencing number.
    fenced: bool,
}

impl Part {
    /// That of the tenure's present turn.
    pub(super) fn new(tenure: Arc<SharedTenure>, fenced: bool) -> Self {
        Self {
            turn: tenure.look(Tenure::turn),
            tenure,
            fenced,
        }
    }

    /// What is asked of the tenure, if it is still this one's turn.
    pub(super) fn look<T>(&self, at: impl FnOnce(&Tenure) -> T) -> Option<T> {
        self.tenure
            .look(|tenure| (tenure.turn() == self.turn).then(|| at(tenure)))
    }

    /// Whether its holder has to give the key back.
    pub(super) fn owes_release(&self) -> bool {
        self.look(|tenure| !tenure.is_over()).unwrap_or(false)
    }

    pub(super) fn key(&self) -> &str {
        self.tenure.key()
    }

    pub(super) fn token(&self) -> &str {
        &self.tenure.entry.value[..TOKEN_LEN]
    }

    pub(super) fn fencing_token(&self) -> Option<FencingToken> {
        if !self.fenced {
            return None;
        }
        let number = self.tenure.look(Tenure::fence)?;
        Some(FencingToken::new(number, self.turn))
    }

    pub(super) fn remaining(&self, now: Instant) -> Duration {
        self.tenure.wake(now, Look::Lately);
        let held = |tenure: &Tenure| tenure.is_held(now).then(|| tenure.cutoff() - now);
        self.look(held).flatten().unwrap_or_default()
    }

    pub(super) fn is_held(&self, now: Instant) -> bool {
        self.tenure.wake(now, Look::Lately);
        self.look(|tenure| tenure.is_held(now)).unwrap_or(false)
    }

    /// How it is lost, if it is.
    pub(super) fn loss(&self, now: Instant) -> Option<LockError> {
        self.tenure.wake(now, Look::Lately);
        let reason = self.look(|tenure| tenure.loss(now)).flatten()?;
        Some(self.tenure.loss(reason))
    }

    pub(super) async fn lost(&self) -> LostReason {
        loop {
            let mut over = pin!(self.tenure.over.notified());
            over.as_mut().enable();
            let now = Instant::now();
            self.tenure.wake(now, Look::Lately);
            let until = self.look(|tenure| match tenure.loss(now) {
                Some(reason) => Err(reason),
                None => Ok(tenure.is_granted().then(|| tenure.cutoff())),
            });
            let until = match until {
                Some(Err(reason)) => return reason,
                Some(Ok(until)) => until,
                None => None,
            };
            match until {
                // The deadline may have moved meanwhile: look again in either case.
                Some(until) => drop(timeout_at(until, over).await),
                None => pending().await,
            }
        }
    }

    /// An extension is about to be asked for; answers how long the machine had slept before, or why there
    /// is nothing to extend.
    pub(super) fn extending(&self, asked: Instant) -> Result<Duration, LockError> {
        let (_, slept) = self.tenure.wake(asked, Look::Now);
        match self.look(|tenure| (tenure.loss(asked), tenure.is_granted())) {
            Some((Some(reason), _)) => Err(self.tenure.loss(reason)),
            Some((None, true)) => Ok(slept),
            Some((None, false)) | None => Err(LockError::NotHeld {
                key: self.key().to_owned(),
                taken_over: false,
            }),
        }
    }

    /// Takes in the answer.
    pub(super) fn extended(
        &self,
        common: &Common,
        ttl: Duration,
        asked: Instant,
        slept: Duration,
        answer: Extension,
    ) -> Result<(), LockError> {
        let tenure = &self.tenure;
        let answer = answer.map_err(|error| {
            telemetry::backend_error(tenure.name());
            error.into_error(Some(self.key()), "extended", 1, asked.elapsed())
        })?;
        if let Err(reason) = tenure.hear_extension(ttl, slept, answer) {
            vacate(&common.lines, tenure);
            return Err(tenure.loss(reason));
        }
        tenure.tell(|tenure| {
            if tenure.turn() == self.turn {
                tenure.want_confirmed();
            }
        });
        Ok(())
    }
}
