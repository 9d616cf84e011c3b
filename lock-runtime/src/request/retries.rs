//! A request with retries: a pause, and the next attempt, so many times.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::attempts::{NextStep, PauseBetween, Progress};
use super::check::Request;
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
}

impl PauseBetween for Once {
    fn asking(&self, _attempt: u32) -> Asking {
        if self.is_last {
            Asking::WhoHolds
        } else {
            Asking::Plain
        }
    }

    async fn next(&mut self, _: &Request, _: &Arc<SharedTenure>, _: &Progress) -> NextStep {
        NextStep::GiveUp
    }
}
