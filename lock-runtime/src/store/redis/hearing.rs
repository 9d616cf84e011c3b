//! Extensions by the second connection, which hears from then on when the keys are changed.
//!
//! The second connection is never needed for them: what it does not say to be ours, the first is
//! asked again, and where it fails or says nothing, the first has all to do for a while.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::commands;
use super::operation::Operation;
use super::tracking::Tracking;
use crate::store::{Entry, Extended, Extension};

/// For how long the second connection is left alone that could not be had, or that answered
/// otherwise than the first.
const WITHOUT: Duration = Duration::from_secs(60);

/// The same for one that did not answer in time; twice as long each time, up to the former.
const PAUSE: Duration = Duration::from_secs(1);

/// How long an extension waits for it to be opened. Others wait behind that, and the next may find it
/// open.
const OPENING: Duration = Duration::from_millis(200);

#[derive(Default)]
pub(super) struct Hearing {
    trouble: Mutex<Trouble>,
}

#[derive(Default)]
struct Trouble {
    /// Until when the second connection is left alone, and the number of the first at that time:
    /// one that was opened later may lead to another server.
    without: Option<(Instant, u64)>,
    /// Since when the second has answered nothing, and its number.
    silent: Option<(Instant, u64)>,
    /// For how long it was left alone last for that.
    pause: Duration,
}

impl Hearing {
    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn extend(
        &self,
        tracking: &Tracking,
        first: Operation,
        batch: Vec<(Arc<Entry>, Duration)>,
    ) -> Vec<Extension> {
        let number = first.connection_number();
        if self.trouble().is_left_alone(number) {
            return commands::extend(first, batch).await;
        }
        let mut attempt = Attempt::new(self, tracking, number);
        let mut second = first.clone();
        match timeout(OPENING, tracking.take_over(&mut second)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(?error, "changes of held keys are not heard");
                attempt.end(Some(WITHOUT));
                return commands::extend(first, batch).await;
            }
            Err(_) => {
                drop(attempt);
                return commands::extend(first, batch).await;
            }
        }
        let mut answers = commands::extend(second, batch.clone()).await;
        let is_ours = |answer: &Extension| matches!(answer, Ok(Extended::Since(_)));
        let places = 0..answers.len();
        let others: Vec<usize> = places.filter(|place| !is_ours(&answers[*place])).collect();
        if others.is_empty() {
            attempt.end(None);
            return answers;
        }
        let again = others.iter().map(|place| batch[*place].clone()).collect();
        let again = commands::extend(first, again).await;
        attempt.end(again.iter().any(is_ours).then_some(WITHOUT));
        for (place, answer) in others.into_iter().zip(again) {
            answers[place] = answer;
        }
        answers
    }
}

impl Trouble {
    fn is_left_alone(&self, number: u64) -> bool {
        self.without
            .is_some_and(|(until, at)| at == number && Instant::now() < until)
    }
}

/// An extension by the second connection; dropped before its end, it was not answered in time.
struct Attempt<'a> {
    hearing: &'a Hearing,
    tracking: &'a Tracking,
    /// The number of the first connection.
    number: u64,
    has_ended: bool,
}

impl<'a> Attempt<'a> {
    fn new(hearing: &'a Hearing, tracking: &'a Tracking, number: u64) -> Self {
        Self {
            hearing,
            tracking,
            number,
            has_ended: false,
        }
    }

    /// It was answered, or there is a reason to leave the second connection alone for a while.
    fn end(&mut self, without: Option<Duration>) {
        self.has_ended = true;
        let without = without.map(|time| (Instant::now() + time, self.number));
        *self.hearing.trouble() = Trouble {
            without,
            ..Trouble::default()
        };
    }
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if self.has_ended {
            return;
        }
        let now = Instant::now();
        let mut trouble = self.hearing.trouble();
        trouble.pause = (trouble.pause * 2).clamp(PAUSE, WITHOUT);
        trouble.without = Some((now + trouble.pause, self.number));
        let number = self.tracking.number();
        let silent = trouble.silent.filter(|(_, at)| *at == number);
        let (since, _) = *trouble.silent.insert(silent.unwrap_or((now, number)));
        drop(trouble);
        // Nobody else may be waiting for an answer on it, who would find that out.
        if now - since >= self.tracking.patience() {
            self.tracking.open_anew();
        }
    }
}
