//! Waiting in line until the lock is free.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use crate::acquire::{Attempt, Order, attempt};
use crate::backoff::Backoff;
use crate::error::LockError;
use crate::guard::LockGuard;
use crate::queue::{Call, Place, Queue};
use crate::store::{Alert, Asking, Holder, StoreError};
use crate::telemetry;

/// Redis rounds what is left of a ttl down to whole milliseconds.
const EXPIRY_GRAIN: Duration = Duration::from_millis(1);

/// A Redis that has not answered after this time is in trouble.
const PROMPT: Duration = Duration::from_millis(100);

const SPLIT_PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(500));

/// Queues until the lock is passed on, or is free when this is the head of the line.
///
/// Not an `async fn`, which would keep the order twice: there are as many of these as callers wait.
pub(crate) fn wait(
    order: Order,
    limit: Option<Duration>,
) -> impl Future<Output = Result<LockGuard, LockError>> + Send {
    let started = Instant::now();
    // A time that the clock cannot count to is no limit.
    let until = limit.and_then(|limit| started.checked_add(limit));
    let place = Queue::join(order);
    async move {
        let not_before = loop {
            let holder_until = place.look_at_holder();
            let look_again = [until, holder_until].into_iter().flatten().min();
            match before(look_again, poll_fn(|cx| place.poll_called(cx))).await {
                Some(Call::Take(guard)) => match guard.accept(&place.order) {
                    Some(guard) => return Ok(guard.begun(&place.order, 0, started)),
                    // Lost on the way: nobody in this process can pass it on any more.
                    None => break None,
                },
                Some(Call::Ask { not_before }) => break not_before,
                None if is_over(until) => {
                    if holder_until.is_none()
                        && let Some(error) = place.trouble()
                    {
                        return Err(place.order.failed(0, started, error));
                    }
                    let ours = holder_until.map(|until| Holder {
                        owner: Some(place.order.locker.owner().to_owned()),
                        left: Some(until.saturating_duration_since(Instant::now())),
                        rings: true,
                    });
                    return Err(place.order.busy(0, started, ours));
                }
                Some(Call::Look) | None => {}
            }
        };
        // Boxed, since only the head of a line needs the room.
        Box::pin(ask(&place, started, until, not_before)).await
    }
}

/// What the head of a line knows of its last attempt.
enum Last {
    Busy(Option<Holder>),
    Failed(StoreError),
}

/// Asks whenever the lock may be free, unless it is passed on first.
async fn ask(
    place: &Place,
    started: Instant,
    until: Option<Instant>,
    not_before: Option<Instant>,
) -> Result<LockGuard, LockError> {
    let order = &place.order;
    let mut guard = order.guard();
    let alert = order.locker.store().alert(&order.key);
    if not_before.is_some()
        && let Some(guard) = passed_on(place, &alert, not_before).await
    {
        return Ok(guard.begun(order, 0, started));
    }
    let mut pauses = Backoff::default().pauses();
    let mut asking = Asking::Plain;
    let (mut attempts, mut splits) = (0, 0);
    let mut last = Last::Busy(None);
    // The first attempt is made in any case, and always waited for: without its answer nobody could
    // say whether the lock is busy or Redis broken.
    while attempts == 0 || !is_over(until) {
        attempts += 1;
        let limit = until.filter(|_| attempts > 1);
        let asked = Instant::now();
        let Some(answer) = before(limit, attempt(&guard, order.terms, asking)).await else {
            // Cut short by the end of the wait, it takes nothing away from the answer before.
            if asked.elapsed() >= PROMPT {
                last = Last::Failed(StoreError::late(started.elapsed()));
            }
            break;
        };
        let answer = answer?;
        if let Attempt::Split(_) = answer {
            splits += 1;
            before(until, sleep(split_pause(asked.elapsed(), splits))).await;
        }
        let again = match answer {
            Attempt::Granted => {
                place.acquired(&guard.tenure);
                return Ok(guard.begun(order, attempts, started));
            }
            // The plain command does not tell when the key is freed: ask in the way that does.
            Attempt::Busy(_) | Attempt::Split(_) if asking == Asking::Plain => {
                asking = Asking::Watching;
                guard = order.again(guard);
                continue;
            }
            Attempt::Busy(holder) | Attempt::Split(holder) => {
                let again = look_again(holder.as_ref(), &mut pauses);
                place.set_trouble(None);
                last = Last::Busy(holder);
                again
            }
            Attempt::Failed { error, .. } if error.may_pass => {
                // Once for each time of trouble; whoever has a limit is told at its end.
                if until.is_none() && !matches!(last, Last::Failed(_)) {
                    telemetry::waits_for_store(order.terms.name, order.key(), &error);
                }
                place.set_trouble(Some(error.clone()));
                last = Last::Failed(error);
                pauses.next().map(|pause| Instant::now() + pause)
            }
            Attempt::Failed { error, .. } => return Err(order.failed(attempts, started, error)),
        };
        asking = Asking::Watching;
        guard = order.again(guard);
        let again = [again, until].into_iter().flatten().min();
        if let Some(guard) = passed_on(place, &alert, again).await {
            return Ok(guard.begun(order, attempts, started));
        }
    }
    Err(match last {
        Last::Busy(holder) => order.busy(attempts, started, holder),
        Last::Failed(error) => order.failed(attempts, started, error),
    })
}

/// After a vote of several servers that nobody won, the pause before the next. Those who collided
/// draw different pauses, or they would collide again; the longer a vote takes and the more
/// collide, the further apart they have to be.
fn split_pause(vote: Duration, splits: u32) -> Duration {
    let (shortest, longest) = SPLIT_PAUSES;
    let pause = vote.max(shortest) * (1 << splits.min(6));
    pause.min(longest).mul_f64(rand::random())
}

/// When the head of the line has to look again although nothing rang.
fn look_again(
    holder: Option<&Holder>,
    pauses: &mut impl Iterator<Item = Duration>,
) -> Option<Instant> {
    let expiry = holder
        .and_then(|holder| holder.left)
        .map(|left| left + EXPIRY_GRAIN);
    let pause = if holder.is_some_and(|holder| holder.rings) {
        expiry
    } else {
        [expiry, pauses.next()].into_iter().flatten().min()
    };
    pause.map(|pause| Instant::now() + pause)
}

/// Pauses until then, or until the lock may be free; answers with a lock that is passed on.
async fn passed_on(place: &Place, alert: &Alert, until: Option<Instant>) -> Option<LockGuard> {
    let mut rung = pin!(alert.rung());
    let called = poll_fn(|cx| match place.poll_called(cx) {
        Poll::Ready(Call::Take(guard)) => Poll::Ready(Some(*guard)),
        Poll::Ready(Call::Ask { .. } | Call::Look) => Poll::Ready(None),
        Poll::Pending => rung.as_mut().poll(cx).map(|()| None),
    });
    before(until, called).await??.accept(&place.order)
}

fn is_over(until: Option<Instant>) -> bool {
    until.is_some_and(|until| Instant::now() >= until)
}

/// The future's output, unless the time comes first.
async fn before<T>(time: Option<Instant>, future: impl Future<Output = T>) -> Option<T> {
    match time {
        Some(time) => timeout_at(time, future).await.ok(),
        None => Some(future.await),
    }
}
