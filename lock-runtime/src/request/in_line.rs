//! A request that waits: in line until the lock is passed on, or until it is free when this is the
//! first of the line.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::Instant;

use super::attempts::{Last, NextStep, PauseBetween, Progress, attempts, before};
use super::check::Request;
use crate::backoff::Backoff;
use crate::error::LockError;
use crate::hold::LockGuard;
use crate::keeper::TenureLines;
use crate::line::{Instruction, Ticket};
use crate::random::random;
use crate::store::{Alert, Asking, Holder, StoreError, shown};
use crate::telemetry;
use crate::tenure::SharedTenure;

/// Redis rounds what is left of a ttl down to whole milliseconds.
const EXPIRY_GRAIN: Duration = Duration::from_millis(1);

/// How long the first of a line trusts that it is told when the key is free: the connection on which
/// it would hear of it may have been forgotten by something between, without a word.
const TRUST: Duration = Duration::from_secs(5);

/// A Redis that has not answered after this time is in trouble.
const PROMPT: Duration = Duration::from_millis(100);

const SPLIT_PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(500));

/// A place in a line; dropped, it is free.
struct PlaceInLine {
    request: Request,
    ticket: Ticket<SharedTenure>,
    /// The end of the wait.
    until: Option<Instant>,
}

impl PlaceInLine {
    fn join(request: Request, until: Option<Instant>) -> Self {
        let ticket = request.common.lines.join(&request.key, request.needs());
        Self {
            request,
            ticket,
            until,
        }
    }

    fn lines(&self) -> &TenureLines {
        &self.request.common.lines
    }

    fn poll_instruction(&self, cx: &Context<'_>) -> Poll<Instruction<SharedTenure>> {
        TenureLines::poll_instruction(&self.ticket, cx)
    }

    /// Begins the turn that was passed on, unless the lock was lost on the way.
    fn accept(&self, tenure: Arc<SharedTenure>) -> Option<LockGuard> {
        self.request.passed_on(tenure).accept(self.request.terms)
    }

    fn is_over(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }

    fn set_trouble(&self, trouble: Option<StoreError>) {
        self.lines().set_trouble(&self.request.key, trouble);
    }
}

impl Drop for PlaceInLine {
    fn drop(&mut self) {
        if let Some(tenure) = self.lines().leave(&self.request.key, &self.ticket) {
            // A lock that was passed on to one who has left goes on to the next.
            drop(self.request.passed_on(tenure));
        }
    }
}

/// Queues until the lock is passed on, or is free when this is the first of the line.
///
/// Not an `async fn`, which would keep the request twice: there are as many of these as callers wait.
pub(super) fn wait(
    request: Request,
    limit: Option<Duration>,
) -> impl Future<Output = Result<LockGuard, LockError>> + Send {
    // A time that the clock cannot count to is no limit.
    let until = limit.and_then(|limit| request.started.checked_add(limit));
    let place = PlaceInLine::join(request, until);
    async move {
        let request = &place.request;
        let not_before = loop {
            let holder_until =
                place
                    .lines()
                    .look_at_holder(&request.key, &place.ticket, |tenure| {
                        tenure.look(|tenure| tenure.held_until(Instant::now()))
                    });
            let look_again = [until, holder_until].into_iter().flatten().min();
            match before(look_again, poll_fn(|cx| place.poll_instruction(cx))).await {
                Some(Instruction::Take(tenure)) => match place.accept(tenure) {
                    Some(guard) => return Ok(request.begun(guard, 0)),
                    // Lost on the way: nobody in this process can pass it on any more.
                    None => break None,
                },
                Some(Instruction::Ask { not_before }) => break not_before,
                None if place.is_over() => return Err(still_held(&place, holder_until)),
                Some(Instruction::Look) | None => {}
            }
        };
        // Boxed, since only the first of a line needs the room.
        Box::pin(ask(&place, not_before)).await
    }
}

/// The wait is over, and another of the line has the lock, or asks for it.
fn still_held(place: &PlaceInLine, holder_until: Option<Instant>) -> LockError {
    let request = &place.request;
    if holder_until.is_none()
        && let Some(error) = place.lines().trouble(&request.key)
    {
        return request.failed(0, error);
    }
    let ours = holder_until.map(|until| Holder {
        owner: Some(shown(&request.common.settings.owner)),
        left: Some(until.saturating_duration_since(Instant::now())),
        rings: true,
    });
    request.busy(0, ours.as_ref())
}

/// Asks whenever the lock may be free, unless it is passed on first.
async fn ask(place: &PlaceInLine, not_before: Option<Instant>) -> Result<LockGuard, LockError> {
    let request = &place.request;
    let mut first = HeadOfLine {
        place,
        alert: request.common.store.alert(&request.key),
        pauses: Backoff::default().pauses(),
        splits: 0,
        was_failing: false,
    };
    if not_before.is_some()
        && let Some(guard) = passed_on(place, &first.alert, not_before).await
    {
        return Ok(request.begun(guard, 0));
    }
    let guard = attempts(request, &mut first).await?;
    if guard.turn() == 0 {
        // From the store.
        let holder = Arc::clone(guard.tenure());
        place.lines().acquired(&request.key, &place.ticket, holder);
    }
    Ok(guard)
}

/// The first of a line, who asks the store.
struct HeadOfLine<'a, P> {
    place: &'a PlaceInLine,
    alert: Alert,
    pauses: P,
    splits: u32,
    was_failing: bool,
}

impl<P: Iterator<Item = Duration> + Send> PauseBetween for HeadOfLine<'_, P> {
    /// The plain command is the cheapest, but does not tell when the key is freed.
    fn asking(&self, attempt: u32) -> Asking {
        match attempt {
            1 => Asking::Plain,
            _ => Asking::Watching,
        }
    }

    /// The first attempt is always waited for: without its answer nobody could say whether the lock
    /// is busy or Redis broken.
    fn limit(&self, attempt: u32) -> Option<Instant> {
        self.place.until.filter(|_| attempt > 1)
    }

    async fn next(&mut self, request: &Request, progress: &Progress) -> NextStep {
        let place = self.place;
        let mut is_called = false;
        if let Last::Split(_) = progress.last {
            self.splits += 1;
            let pause = split_pause(progress.asked.elapsed(), self.splits);
            let end = Instant::now() + pause;
            let end = place.until.map_or(end, |until| until.min(end));
            match pause_in_line(place, end).await {
                Paused::Take(guard) => return NextStep::Take(guard),
                Paused::Called => is_called = true,
                Paused::Unheard => {}
            }
        }
        let again = match &progress.last {
            _ if is_called => Some(Instant::now()),
            // Ask in the way that tells when the key is freed.
            Last::Busy(_) | Last::Split(_) if progress.attempts == 1 => Some(Instant::now()),
            Last::Busy(holder) | Last::Split(holder) => {
                place.set_trouble(None);
                self.was_failing = false;
                self.look_again(holder.as_ref())
            }
            Last::Failed(error) => {
                // Once for each time of trouble; whoever has a limit is told at its end.
                if place.until.is_none() && !self.was_failing {
                    telemetry::waits_for_store(request.terms.name, request.key(), error);
                }
                self.was_failing = true;
                place.set_trouble(Some(error.clone()));
                self.pauses.next().map(|pause| Instant::now() + pause)
            }
        };
        let again = [again, place.until].into_iter().flatten().min();
        if let Some(guard) = passed_on(place, &self.alert, again).await {
            return NextStep::Take(guard);
        }
        if place.is_over() {
            NextStep::GiveUp
        } else {
            NextStep::Ask
        }
    }

    /// Cut short by the end of the wait, it takes nothing away from the answer before.
    fn cut(&self, request: &Request, asked: Instant) -> Option<StoreError> {
        let late = || StoreError::late(request.started.elapsed());
        (asked.elapsed() >= PROMPT).then(|| late().at(&request.common.store.place()))
    }
}

impl<P: Iterator<Item = Duration>> HeadOfLine<'_, P> {
    /// When the first of the line has to look again although nothing rang.
    fn look_again(&mut self, holder: Option<&Holder>) -> Option<Instant> {
        let expiry = holder
            .and_then(|holder| holder.left)
            .map(|left| left + EXPIRY_GRAIN);
        let rings = holder.is_some_and(|holder| holder.rings);
        let trust = if rings {
            Some(TRUST)
        } else {
            self.pauses.next()
        };
        let pause = [expiry, trust].into_iter().flatten().min();
        pause.map(|pause| Instant::now() + pause)
    }
}

/// Pauses until then, or until the lock may be free; answers with a lock that is passed on.
async fn passed_on(
    place: &PlaceInLine,
    alert: &Alert,
    until: Option<Instant>,
) -> Option<LockGuard> {
    let mut rung = pin!(alert.rung());
    let called = poll_fn(|cx| match place.poll_instruction(cx) {
        Poll::Ready(Instruction::Take(tenure)) => Poll::Ready(Some(tenure)),
        Poll::Ready(Instruction::Ask { .. } | Instruction::Look) => Poll::Ready(None),
        Poll::Pending => rung.as_mut().poll(cx).map(|()| None),
    });
    place.accept(before(until, called).await??)
}

/// What was heard in a pause.
enum Paused {
    /// The lock was passed on: nobody else uses it meanwhile.
    Take(LockGuard),
    /// It is to ask, once the pause is over.
    Called,
    Unheard,
}

/// Pauses until then, unless the lock is passed on before.
async fn pause_in_line(place: &PlaceInLine, until: Instant) -> Paused {
    let mut is_called = false;
    let taken = poll_fn(|cx| {
        loop {
            match ready!(place.poll_instruction(cx)) {
                Instruction::Take(tenure) => return Poll::Ready(tenure),
                Instruction::Ask { .. } | Instruction::Look => is_called = true,
            }
        }
    });
    match before(Some(until), taken).await {
        Some(tenure) => match place.accept(tenure) {
            Some(guard) => Paused::Take(guard),
            None => Paused::Called,
        },
        None if is_called => Paused::Called,
        None => Paused::Unheard,
    }
}

/// After a vote of several servers that nobody won, the pause before the next. Those who collided
/// draw different pauses, or they would collide again; the longer a vote takes and the more
/// collide, the further apart they have to be.
fn split_pause(vote: Duration, splits: u32) -> Duration {
    let (shortest, longest) = SPLIT_PAUSES;
    let pause = vote.max(shortest) * (1 << splits.min(6));
    pause.min(longest).mul_f64(random())
}
