//! Callers in line, and what is passed on among them.
//!
//! Only the first of a line asks the store, and it does not even do that while a caller of the same
//! line holds what it wants: then that is passed on to it in memory, under the lease that still runs.
//!
//! | the first wants | held by callers of this line | what it is told |
//! | --- | --- | --- |
//! | the whole key | the whole key | to look: it will be passed on |
//! | the whole key | permits | to ask: it needs its place in the store's line, to which they go |
//! | a permit of n | n permits of n, or more | to look |
//! | a permit of n | anything else | to ask: there may be room |
//! | to share | anything | to ask: it waits for none but those in front of it in the store's line |
//!
//! `H` is what is held and passed on, `N` what a caller needs of it, and `E` the trouble that the
//! first of a line met when it asked.

use std::collections::{BTreeMap, HashMap};
use std::mem;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::time::Instant;

use super::kind::Kind;
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
    /// What callers hold that may be passed on: so no shared places.
    held: Vec<(Arc<H>, Kind)>,
    /// Tells what is held from what was before.
    grant: u64,
    waiting: BTreeMap<u64, Waiter<H, N>>,
    /// Why the first could not ask the last time it tried.
    trouble: Option<E>,
}

struct Waiter<H, N> {
    needs: N,
    kind: Kind,
    /// Whether it waits for sure: those behind it may count on that.
    stays: bool,
    /// Whether it was called to ask along with those in front of it.
    asks: bool,
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
    kind: Kind,
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
            held: Vec::new(),
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
        if !self.will_pass_on_to(first.kind) {
            first.inbox.call(Instruction::Ask { not_before })
        } else if first.inbox.state().watches == Some(self.grant) {
            None
        } else {
            // It came when nobody had the lock. A holder who says nothing is its to notice.
            first.inbox.call(Instruction::Look)
        }
    }

    /// Has those at the head of the line who want to share ask, up to so many at a time. Answers for each
    /// that was called.
    fn call_shared(&mut self, at_once: usize) -> Vec<Option<Waker>> {
        let sharing = self.waiting.values_mut();
        let sharing = sharing.take_while(|waiter| waiter.kind == Kind::Shared);
        let idle = sharing.take(at_once).filter(|waiter| !waiter.asks);
        idle.map(|waiter| {
            waiter.asks = true;
            waiter.inbox.call(Instruction::Ask { not_before: None })
        })
        .collect()
    }

    /// Whether the first, who wants this, need not ask: see the table above.
    fn will_pass_on_to(&self, kind: Kind) -> bool {
        let enough = match kind {
            Kind::Exclusive => 1,
            Kind::Permits(number) => usize::try_from(number).unwrap_or(usize::MAX),
            Kind::Shared => return false,
        };
        let of_its_kind = self.held.iter().filter(|(_, held)| kind.takes_over(*held));
        of_its_kind.count() >= enough
    }

    fn is_empty(&self) -> bool {
        self.held.is_empty() && self.waiting.is_empty()
    }

    fn place_of(&self, holder: &Arc<H>) -> Option<usize> {
        let mut held = self.held.iter();
        held.position(|(held, _)| Arc::ptr_eq(held, holder))
    }

    /// One has been had that was not passed on. Answers those whose holders have lost theirs then, since
    /// the store would not have granted it beside them.
    fn hold(&mut self, holder: Arc<H>, kind: Kind) -> Vec<Arc<H>> {
        let lost = self
            .held
            .extract_if(.., |(_, held)| !kind.stands_beside(*held));
        let lost = lost.map(|(held, _)| held).collect();
        self.grant += 1;
        if kind.takes_over(kind) {
            self.held.push((holder, kind));
        }
        lost
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
    pub(crate) fn join(&self, key: &str, kind: Kind, needs: N, stays: bool) -> Ticket<H> {
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
            kind,
            stays,
            asks: false,
            inbox: Arc::clone(&inbox),
        };
        line.waiting.insert(number, waiter);
        if line.waiting.len() == 1 && !line.will_pass_on_to(kind) {
            // Nobody has polled it so far, so there is no waker.
            let _ = line.call_first(None);
        }
        Ticket {
            number,
            kind,
            inbox,
        }
    }

    /// Passes on to the first in line what is held as this kind, if there is one and it may be.
    pub(crate) fn pass_on(
        &self,
        key: &str,
        (holder, kind): (&Arc<H>, Kind),
        may: impl FnOnce(&N) -> bool,
    ) -> bool {
        let wakers = {
            let mut all = self.all();
            let Some(line) = all.lines.get_mut(key) else {
                return false;
            };
            let Some(first) = line.waiting.first_entry() else {
                return false;
            };
            // The store has granted the key to another of the line: this holder has lost it.
            let mut held = line.held.iter();
            let is_lost =
                held.any(|(held, other)| !Arc::ptr_eq(held, holder) && !kind.stands_beside(*other));
            if is_lost || !first.get().kind.takes_over(kind) || !may(&first.get().needs) {
                return false;
            }
            let first = first.remove();
            if line.place_of(holder).is_none() {
                line.grant += 1;
                line.held.push((Arc::clone(holder), kind));
            }
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
            // Itself stays by now.
            let behind = own.waiting.range(ticket.number..);
            let undecided = behind.filter(|(_, waiter)| !waiter.stays);
            let look = |(_, waiter): (_, &Waiter<H, N>)| waiter.inbox.call(Instruction::Look);
            undecided.filter_map(look).collect()
        };
        called.into_iter().for_each(Waker::wake);
    }

    /// Leaves this, which waits for the same kind, to the next behind the first, if there is one and it
    /// is of use to it. Those who want to share may have asked for their own.
    pub(crate) fn bequeath(
        &self,
        key: &str,
        (what, kind): (&Arc<H>, Kind),
        is_of_use: impl FnOnce(&N) -> bool,
    ) -> bool {
        let all = self.all();
        let line = all.lines.get(key);
        let Some((_, heir)) = line.and_then(|line| line.waiting.iter().nth(1)) else {
            return false;
        };
        let mut inbox = heir.inbox.state();
        let inherits = inbox.legacy.is_none()
            && heir.kind == kind
            && kind != Kind::Shared
            && is_of_use(&heir.needs);
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
            let Some(line) = all.lines.get_mut(key) else {
                return;
            };
            let Some(place) = line.place_of(holder) else {
                return;
            };
            line.held.swap_remove(place);
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

    /// For how long callers of this line hold what may be passed on to the one with this ticket, as
    /// `times` reads it off each, and whether that one is the first behind them; if the time of one has
    /// ended without a word, as when a guard lies around, the first is called to ask.
    pub(crate) fn look_at_holders<T>(
        &self,
        key: &str,
        ticket: &Ticket<H>,
        times: impl Fn(&H) -> Option<T>,
    ) -> (Vec<T>, bool) {
        let mut all = self.all();
        let Some(line) = all.lines.get_mut(key) else {
            return (Vec::new(), false);
        };
        let mut known = Vec::new();
        let before = line.held.len();
        line.held.retain(|(held, kind)| {
            if !ticket.kind.takes_over(*kind) {
                return true;
            }
            let times = times(held);
            let lasts = times.is_some();
            known.extend(times);
            lasts
        });
        ticket.inbox.state().watches = (!known.is_empty()).then_some(line.grant);
        let first = line.waiting.first_key_value();
        let is_first = first.is_some_and(|(number, _)| *number == ticket.number);
        if line.held.len() < before {
            let wakers = Wakers([line.call_first(None), None]);
            drop(all);
            wakers.wake();
        }
        (known, is_first)
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

    /// The caller with this ticket leaves the line with what the store granted. Answers those who had
    /// it before, as far as the line knew.
    ///
    /// Where it is shared, so many of those right behind it who want to share, too, ask side by side: one
    /// after the other, each would wait for a round trip of each before it.
    pub(crate) fn acquired(
        &self,
        key: &str,
        ticket: &Ticket<H>,
        holder: Arc<H>,
        at_once: usize,
    ) -> Vec<Arc<H>> {
        let (former, wakers, called) = {
            let mut all = self.all();
            let Some(line) = all.lines.get_mut(key) else {
                return Vec::new();
            };
            line.waiting.remove(&ticket.number);
            let former = line.hold(holder, ticket.kind);
            line.trouble = None;
            let called = match ticket.kind {
                Kind::Shared => line.call_shared(at_once),
                Kind::Exclusive | Kind::Permits(_) => Vec::new(),
            };
            let first = line.waiting.first_key_value();
            let is_asking = first.is_some_and(|(_, first)| first.asks);
            let first = if is_asking {
                None
            } else {
                line.call_first(None)
            };
            if line.is_empty() {
                all.lines.remove(key);
            }
            (former, Wakers([first, None]), called)
        };
        wakers.wake();
        called.into_iter().flatten().for_each(Waker::wake);
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
