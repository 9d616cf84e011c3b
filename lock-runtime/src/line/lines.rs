//! Callers in line, and what is passed on among them.
//!
//! Only the first of a line asks the store, and it does not even do that while a caller of the same
//! line holds the lock: then the lock is passed on to it in memory, under the lease that still runs.
//!
//! `H` is what is held and passed on, `N` what a caller needs of it, and `E` the trouble that the
//! first of a line met when it asked.

use std::collections::{BTreeMap, HashMap};
use std::mem;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

use super::sync::{Mutex, MutexGuard};

pub(crate) struct Lines<H, N, E> {
    all: Mutex<All<H, N, E>>,
}

struct All<H, N, E> {
    lines: HashMap<String, Line<H, N, E>>,
    /// Counts over all lines: a caller that the lock was passed on to in vain asks on with a number
    /// of a line that may be gone, and must not have that of another in the next.
    next_ticket: u64,
}

/// A line is kept while someone waits in it, or while someone holds the lock who came through it.
struct Line<H, N, E> {
    held: Option<Arc<H>>,
    /// Tells what is held from what was before.
    grant: u64,
    waiting: BTreeMap<u64, Waiter<H, N>>,
    /// Why the first could not ask the last time it tried.
    trouble: Option<E>,
}

struct Waiter<H, N> {
    needs: N,
    /// Whether it waits for sure: those behind it may count on that.
    stays: bool,
    inbox: Arc<Inbox<H>>,
}

/// What one caller was told and has not heard yet.
struct Inbox<H> {
    state: Mutex<InboxState<H>>,
}

struct InboxState<H> {
    unread: Option<Instruction<H>>,
    /// What one before it has left for it.
    legacy: Option<Arc<H>>,
    waker: Option<Waker>,
    /// The grant whose holder it looks at again when that one's time is over.
    watches: Option<u64>,
}

/// What a caller in the line is told.
pub(crate) enum Instruction<H> {
    /// It is the first while another has the lock: see until when.
    Look,
    /// It is the first, and nobody in this process will pass the lock on: ask the store.
    Ask { not_before: Option<Instant> },
    /// The lock was passed on to it, and it has left the line.
    Take(Arc<H>),
}

/// Who stands before one who comes only if nobody waits.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Before {
    Nobody,
    /// Some who may have to go, like itself.
    Undecided,
    /// So many wait for sure.
    Waiting(u64),
}

/// A place in a line, to be given back by [`Lines::leave`].
pub(crate) struct Ticket<H> {
    number: u64,
    inbox: Arc<Inbox<H>>,
}

/// Wakers of those who were called, for when the lines are let go: waking runs foreign code.
#[must_use]
struct Wakers([Option<Waker>; 2]);

impl Wakers {
    fn wake(self) {
        self.0.into_iter().flatten().for_each(Waker::wake);
    }
}

impl<H> Inbox<H> {
    fn state(&self) -> MutexGuard<'_, InboxState<H>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[must_use]
    fn call(&self, call: Instruction<H>) -> Option<Waker> {
        let mut state = self.state();
        state.unread = Some(call);
        state.waker.take()
    }
}

impl<H, N, E> Default for Line<H, N, E> {
    fn default() -> Self {
        Self {
            held: None,
            grant: 0,
            waiting: BTreeMap::new(),
            trouble: None,
        }
    }
}

impl<H, N, E> Line<H, N, E> {
    /// Has the first do what is to be done now.
    #[must_use]
    fn call_first(&self, not_before: Option<Instant>) -> Option<Waker> {
        let (_, first) = self.waiting.first_key_value()?;
        if self.held.is_none() {
            first.inbox.call(Instruction::Ask { not_before })
        } else if first.inbox.state().watches == Some(self.grant) {
            None
        } else {
            // It came when nobody had the lock. A holder who says nothing is its to notice.
            first.inbox.call(Instruction::Look)
        }
    }

    fn is_empty(&self) -> bool {
        self.held.is_none() && self.waiting.is_empty()
    }

    fn is_held_by(&self, holder: &Arc<H>) -> bool {
        let held = self.held.as_ref();
        held.is_some_and(|held| Arc::ptr_eq(held, holder))
    }
}

impl<H, N, E> Default for Lines<H, N, E> {
    fn default() -> Self {
        Self {
            all: Mutex::new(All {
                lines: HashMap::new(),
                next_ticket: 0,
            }),
        }
    }
}

impl<H, N, E> Lines<H, N, E> {
    fn all(&self) -> MutexGuard<'_, All<H, N, E>> {
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.all().lines.is_empty()
    }

    /// Takes a place at the end of the line for this key; who does not stay for sure tells when it
    /// [`stays`](Self::stays).
    pub(crate) fn join(&self, key: &str, needs: N, stays: bool) -> Ticket<H> {
        let inbox = Arc::new(Inbox {
            state: Mutex::new(InboxState {
                unread: None,
                legacy: None,
                waker: None,
                watches: None,
            }),
        });
        let mut all = self.all();
        let number = all.next_ticket;
        all.next_ticket += 1;
        if !all.lines.contains_key(key) {
            all.lines.insert(key.to_owned(), Line::default());
        }
        let line = all.lines.get_mut(key).expect("just put there");
        let waiter = Waiter {
            needs,
            stays,
            inbox: Arc::clone(&inbox),
        };
        line.waiting.insert(number, waiter);
        if line.held.is_none() && line.waiting.len() == 1 {
            // Nobody has polled it so far, so there is no waker.
            let _ = line.call_first(None);
        }
        Ticket { number, inbox }
    }

    /// Passes the lock on to the first in line, if there is one and it may be.
    pub(crate) fn pass_on(&self, key: &str, holder: &Arc<H>, may: impl FnOnce(&N) -> bool) -> bool {
        let wakers = {
            let mut all = self.all();
            let Some(line) = all.lines.get_mut(key) else {
                return false;
            };
            let Some(first) = line.waiting.first_entry() else {
                return false;
            };
            // The store has granted the key to another of the line: this holder has lost it.
            let lost = line.held.as_ref();
            if lost.is_some_and(|held| !Arc::ptr_eq(held, holder)) || !may(&first.get().needs) {
                return false;
            }
            let first = first.remove();
            if line.held.is_none() {
                line.grant += 1;
            }
            line.held = Some(Arc::clone(holder));
            let second = line.call_first(None);
            Wakers([
                first.inbox.call(Instruction::Take(Arc::clone(holder))),
                second,
            ])
        };
        wakers.wake();
        true
    }

    /// Who stands before the one with this ticket.
    pub(crate) fn before(&self, key: &str, ticket: &Ticket<H>) -> Before {
        let all = self.all();
        let Some(line) = all.lines.get(key) else {
            return Before::Nobody;
        };
        let mut before = line.waiting.range(..ticket.number).peekable();
        if before.peek().is_none() {
            return Before::Nobody;
        }
        match before.filter(|(_, waiter)| waiter.stays).count() {
            0 => Before::Undecided,
            count => Before::Waiting(u64::try_from(count).unwrap_or(u64::MAX)),
        }
    }

    /// The one with this ticket waits for sure from now on: those behind it who come only if nobody
    /// does have to see.
    pub(crate) fn stays(&self, key: &str, ticket: &Ticket<H>) {
        let called: Vec<_> = {
            let mut all = self.all();
            let line = all.lines.get_mut(key);
            let Some(own) = line.and_then(|line| {
                let own = line.waiting.get_mut(&ticket.number)?;
                let stayed = mem::replace(&mut own.stays, true);
                (!stayed).then_some(line)
            }) else {
                return;
            };
            let behind = own.waiting.range(ticket.number + 1..);
            let undecided = behind.filter(|(_, waiter)| !waiter.stays);
            let look = |(_, waiter): (_, &Waiter<H, N>)| waiter.inbox.call(Instruction::Look);
            undecided.filter_map(look).collect()
        };
        called.into_iter().for_each(Waker::wake);
    }

    /// Leaves this to the next behind the first, if there is one and it is of use to it.
    pub(crate) fn bequeath(
        &self,
        key: &str,
        what: &Arc<H>,
        is_of_use: impl FnOnce(&N) -> bool,
    ) -> bool {
        let all = self.all();
        let line = all.lines.get(key);
        let Some((_, heir)) = line.and_then(|line| line.waiting.iter().nth(1)) else {
            return false;
        };
        let mut inbox = heir.inbox.state();
        let inherits = inbox.legacy.is_none() && is_of_use(&heir.needs);
        if inherits {
            inbox.legacy = Some(Arc::clone(what));
        }
        inherits
    }

    /// What one before it has left for the one with this ticket.
    pub(crate) fn legacy(ticket: &Ticket<H>) -> Option<Arc<H>> {
        ticket.inbox.state().legacy.take()
    }

    /// The lock is not held any more: if this line's holder had it, the first has to ask, at
    /// `not_before` at the earliest.
    pub(crate) fn vacate(&self, key: &str, holder: &Arc<H>, not_before: Option<Instant>) {
        let wakers = {
            let mut all = self.all();
            let Some(line) = all
                .lines
                .get_mut(key)
                .filter(|line| line.is_held_by(holder))
            else {
                return;
            };
            line.held = None;
            let first = line.call_first(not_before);
            if line.is_empty() {
                all.lines.remove(key);
            }
            Wakers([first, None])
        };
        wakers.wake();
    }

    /// Hears what the caller with this ticket was told.
    pub(crate) fn poll_instruction(ticket: &Ticket<H>, cx: &Context<'_>) -> Poll<Instruction<H>> {
        // Cloning a waker and dropping one run foreign code, too.
        let waker = cx.waker().clone();
        let mut state = ticket.inbox.state();
        if let Some(call) = state.unread.take() {
            return Poll::Ready(call);
        }
        let old = state.waker.replace(waker);
        drop(state);
        drop(old);
        Poll::Pending
    }

    /// For how long a caller of this line holds the lock, as `times` reads it off the holder, and
    /// whether the one with this ticket is the first behind it; if its time has ended without a
    /// word, as when a guard lies around, the first is called to ask.
    pub(crate) fn look_at_holder<T>(
        &self,
        key: &str,
        ticket: &Ticket<H>,
        times: impl FnOnce(&H) -> Option<T>,
    ) -> Option<(T, bool)> {
        let mut all = self.all();
        let line = all.lines.get_mut(key)?;
        let times = line.held.as_deref().and_then(times);
        ticket.inbox.state().watches = times.is_some().then_some(line.grant);
        if times.is_none() && line.held.take().is_some() {
            let wakers = Wakers([line.call_first(None), None]);
            drop(all);
            wakers.wake();
            return None;
        }
        let first = line.waiting.first_key_value();
        let is_first = first.is_some_and(|(number, _)| *number == ticket.number);
        times.map(|times| (times, is_first))
    }

    /// Why nobody in this line can tell whether the lock is free.
    pub(crate) fn trouble(&self, key: &str) -> Option<E>
    where
        E: Clone,
    {
        self.all().lines.get(key)?.trouble.clone()
    }

    pub(crate) fn set_trouble(&self, key: &str, trouble: Option<E>) {
        if let Some(line) = self.all().lines.get_mut(key) {
            line.trouble = trouble;
        }
    }

    /// The caller with this ticket leaves the line with a lock that the store granted. Answers who had
    /// it before, as far as the line knew.
    pub(crate) fn acquired(&self, key: &str, ticket: &Ticket<H>, holder: Arc<H>) -> Option<Arc<H>> {
        let (former, wakers) = {
            let mut all = self.all();
            let line = all.lines.get_mut(key)?;
            line.waiting.remove(&ticket.number);
            let former = line.held.replace(holder);
            line.grant += 1;
            line.trouble = None;
            (former, Wakers([line.call_first(None), None]))
        };
        wakers.wake();
        former
    }

    /// Gives the place back. Answers what was passed on to the one who leaves, and is now its to
    /// give back.
    #[must_use]
    pub(crate) fn leave(&self, key: &str, ticket: &Ticket<H>) -> Option<Arc<H>> {
        let (call, wakers) = {
            let mut all = self.all();
            let mut wakers = Wakers([None, None]);
            if let Some(line) = all.lines.get_mut(key) {
                let first = line.waiting.first_key_value().map(|(number, _)| *number);
                line.waiting.remove(&ticket.number);
                if first == Some(ticket.number) {
                    // The next may have more to do as the first.
                    if let Some((_, first)) = line.waiting.first_key_value() {
                        first.inbox.state().watches = None;
                    }
                    wakers = Wakers([line.call_first(None), None]);
                }
                if line.is_empty() {
                    all.lines.remove(key);
                }
            }
            (mem::take(&mut ticket.inbox.state().unread), wakers)
        };
        wakers.wake();
        match call {
            Some(Instruction::Take(holder)) => Some(holder),
            Some(Instruction::Look | Instruction::Ask { .. }) | None => None,
        }
    }
}
