//! A request with retries: a pause, and the next attempt, so many times.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::attempts::{NextStep, PauseBetween, Progress};
use super::check::Request;
use crate::hold::Hold;
use crate::store::Asking;
use crate::tenure::SharedTenure;

pub(super) struct Retries<P> {
    pub(super) retries: u32,
    pub(super) pauses: P,
}

impl<P: Iterator<Item = Duration> + Send> PauseBetween for Retries<P> {
    fn asking(&self, attempt: u32) -> Asking {
        if attempt > self.retries {
            Asking::WhoHolds
        } else {
            Asking::Plain
        }
    }

    async fn next(&mut self, _: &Request, _: &Arc<SharedTenure>, progress: &Progress) -> NextStep {
        if progress.attempts > self.retries {
            return NextStep::GiveUp;
        }
        sleep(self.pauses.next().unwrap_or_default()).await;
        NextStep::Ask
    }
}

/// One attempt, where many keys are asked for in one round.
pub(super) struct Once {
    pub(super) is_last: bool,
    /// The key's owner in the round before, if its attempt may have set the key all the same. By another's token,
    /// the key would be busy.
    pub(super) in_doubt: Option<Hold>,
}

impl PauseBetween for Once {
    fn asking(&self, _attempt: u32) -> Asking {
        if self.is_last {
            Asking::WhoHolds
        } else {
            Asking::Plain
        }
    }

    fn hold(&mut self, request: &Request, now: Instant) -> Hold {
        let in_doubt = self.in_doubt.take();
        in_doubt.unwrap_or_else(|| request.hold(now))
    }

    async fn next(&mut self, _: &Request, _: &Arc<SharedTenure>, _: &Progress) -> NextStep {
        NextStep::GiveUp
    }

    fn gave_up(&mut self, hold: Hold) {
        self.in_doubt = Some(hold).filter(Hold::may_be_ours);
    }
}
