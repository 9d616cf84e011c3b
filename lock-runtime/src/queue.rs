//! The line of this process's callers, one per key.
//!
//! Callers that wait line up here, first come first served. Only the head of a line talks to the
//! store, and it does not even do that while a caller of the same line holds the lock: then the
//! lock is passed on to it in memory, under the lease that still runs.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use tokio::time::Instant;

use crate::acquire::Order;
use crate::guard::LockGuard;
use crate::store::StoreError;
use crate::telemetry::Waiting;
use crate::tenure::Tenure;

/// How long after a bounded tenure was released the head of the line leaves the lock to others.
///
/// Another process that waits asks within a round trip of the release. Asking later than that lets
/// it have the lock, whose next release then wakes us; a millisecond is the finest that tokio's
/// timers do. Two processes of 32 tasks on one lock, medians of four rounds: without a step back,
/// the longest wait is 103 ms, that of two turns in a row; with 1 or 2 ms it is 53 ms, with 5 ms
/// 58 ms.
const STEP_BACK: Duration = Duration::from_millis(1);

#[derive(Default)]
pub(crate) struct Queue {
    lines: Mutex<HashMap<String, Line>>,
}

/// A line is kept while someone waits in it, or while someone holds the lock who came through it.
#[derive(Default)]
struct Line {
    held: Option<Arc<Tenure>>,
    waiting: BTreeMap<u64, Arc<Waiter>>,
    next_ticket: u64,
    /// Why the head could not ask the last time it tried.
    trouble: Option<StoreError>,
}

struct Waiter {
    fenced: bool,
    slot: Mutex<Slot>,
}

#[derive(Default)]
struct Slot {
    call: Option<Call>,
    waker: Option<Waker>,
    /// Whether it looks again when the time of the line's holder is over.
    keeps_watch: bool,
}

/// What a caller in the line is told.
pub(crate) enum Call {
    /// It is the head while another has the lock: see until when.
    Look,
    /// It is the head, and nobody in this process will pass the lock on: ask the store.
    Ask { not_before: Option<Instant> },
    /// The lock is its own. Boxed, or each that waits would have the room for it.
    Take(Box<LockGuard>),
}

impl Line {
    /// Has the head do what is to be done now. The waker is for when the lines are let go: waking
    /// runs foreign code.
    #[must_use]
    fn call_head(&self, not_before: Option<Instant>) -> Option<Waker> {
        let (_, head) = self.waiting.first_key_value()?;
        if self.held.is_none() {
            head.call(Call::Ask { not_before })
        } else if head.slot().keeps_watch {
            None
        } else {
            // It came when nobody had the lock. A holder who says nothing is its to notice.
            head.call(Call::Look)
        }
    }

    fn is_empty(&self) -> bool {
        self.held.is_none() && self.waiting.is_empty()
    }

    fn is_held_by(&self, tenure: &Arc<Tenure>) -> bool {
        self.held
            .as_ref()
            .is_some_and(|held| Arc::ptr_eq(held, tenure))
    }
}

impl Waiter {
    fn slot(&self) -> MutexGuard<'_, Slot> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[must_use]
    fn call(&self, call: Call) -> Option<Waker> {
        let mut slot = self.slot();
        // A lock that was passed on is not to be forgotten for a call to ask, nor that for one to
        // look.
        let outranked = match &slot.call {
            Some(Call::Take(_)) => true,
            Some(Call::Ask { .. }) => matches!(call, Call::Look),
            Some(Call::Look) | None => false,
        };
        if !outranked {
            slot.call = Some(call);
        }
        slot.waker.take()
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Queue {
    fn lines(&self) -> MutexGuard<'_, HashMap<String, Line>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place at the end of the line for this key, with the prefix.
    pub(crate) fn join(order: Order) -> Place {
        let waiter = Arc::new(Waiter {
            fenced: order.counter.is_some(),
            slot: Mutex::default(),
        });
        let (ticket, waker) = {
            let mut lines = order.locker.queue().lines();
            if !lines.contains_key(&order.key) {
                lines.insert(order.key.clone(), Line::default());
            }
            let line = lines.get_mut(&order.key).expect("just put there");
            let ticket = line.next_ticket;
            line.next_ticket += 1;
            line.waiting.insert(ticket, Arc::clone(&waiter));
            let first = line.held.is_none() && line.waiting.len() == 1;
            (ticket, first.then(|| line.call_head(None)).flatten())
        };
        wake(waker);
        Place {
            _waiting: Waiting::new(order.terms.name),
            order,
            ticket,
            waiter,
        }
    }

    /// Passes the lock on to the head of the line, if there is one and the lease allows it.
    pub(crate) fn pass_on(&self, guard: &LockGuard) -> bool {
        let (waiter, next, waker) = {
            let mut lines = self.lines();
            let Some(line) = lines.get_mut(&guard.tenure.entry.key) else {
                return false;
            };
            let Some((&ticket, head)) = line.waiting.first_key_value() else {
                return false;
            };
            // The store has granted the key to another of the line: this guard has lost it.
            if line.held.is_some() && !line.is_held_by(&guard.tenure) {
                return false;
            }
            let Some(next) = guard.pass_on(head.fenced) else {
                return false;
            };
            let head = Arc::clone(head);
            line.waiting.remove(&ticket);
            line.held = Some(Arc::clone(&guard.tenure));
            (head, next, line.call_head(None))
        };
        wake(waiter.call(Call::Take(Box::new(next))));
        wake(waker);
        true
    }

    /// The tenure is over: if it was this line's, the head has to ask.
    pub(crate) fn vacate(&self, tenure: &Arc<Tenure>, step_back: bool) {
        let mut lines = self.lines();
        let Some(line) = lines.get_mut(&tenure.entry.key) else {
            return;
        };
        if !line.is_held_by(tenure) {
            return;
        }
        line.held = None;
        let waker = line.call_head(step_back.then(|| Instant::now() + STEP_BACK));
        if line.is_empty() {
            lines.remove(&tenure.entry.key);
        }
        drop(lines);
        wake(waker);
    }
}

/// A place in a line; dropped, it is free.
pub(crate) struct Place {
    pub(crate) order: Order,
    ticket: u64,
    waiter: Arc<Waiter>,
    _waiting: Waiting,
}

impl Place {
    fn lines(&self) -> MutexGuard<'_, HashMap<String, Line>> {
        self.order.locker.queue().lines()
    }

    pub(crate) fn poll_called(&self, cx: &Context<'_>) -> Poll<Call> {
        let mut slot = self.waiter.slot();
        if let Some(call) = slot.call.take() {
            return Poll::Ready(call);
        }
        slot.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// When the lease ends under which a caller of this line holds the lock; if it has ended
    /// without a word, as when its guard lies around, the head is called to ask.
    pub(crate) fn look_at_holder(&self) -> Option<Instant> {
        let mut lines = self.lines();
        let line = lines.get_mut(&self.order.key)?;
        let until = line.held.as_ref().and_then(|held| held.held_until());
        self.waiter.slot().keeps_watch = until.is_some();
        if until.is_none() && line.held.take().is_some() {
            let waker = line.call_head(None);
            drop(lines);
            wake(waker);
        }
        until
    }

    /// Why nobody in this line can tell whether the lock is free.
    pub(crate) fn trouble(&self) -> Option<StoreError> {
        self.lines().get(&self.order.key)?.trouble.clone()
    }

    pub(crate) fn set_trouble(&self, trouble: Option<StoreError>) {
        if let Some(line) = self.lines().get_mut(&self.order.key) {
            line.trouble = trouble;
        }
    }

    /// Leaves the line with a lock that the store granted.
    pub(crate) fn acquired(&self, tenure: &Arc<Tenure>) {
        let mut lines = self.lines();
        let waker = lines.get_mut(&self.order.key).and_then(|line| {
            line.waiting.remove(&self.ticket);
            line.held = Some(Arc::clone(tenure));
            line.trouble = None;
            line.call_head(None)
        });
        drop(lines);
        wake(waker);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let (left_over, waker) = {
            let mut waker = None;
            let mut lines = self.lines();
            if let Some(line) = lines.get_mut(&self.order.key) {
                let was_head = line
                    .waiting
                    .first_key_value()
                    .is_some_and(|(&first, _)| first == self.ticket);
                let was_waiting = line.waiting.remove(&self.ticket).is_some();
                if was_waiting && was_head {
                    waker = line.call_head(None);
                }
                if line.is_empty() {
                    lines.remove(&self.order.key);
                }
            }
            (self.waiter.slot().call.take(), waker)
        };
        wake(waker);
        // A lock that was passed on to one who has left goes on to the next. Only now: its way
        // leads through the lines.
        drop(left_over);
    }
}
