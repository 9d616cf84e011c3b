//! Values that note when they are dropped.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use redis_locked::{Lease, LockError, Locker};

thread_local! {
    static DROPS: RefCell<Vec<(String, bool)>> = const { RefCell::new(Vec::new()) };
    static LEASE: RefCell<Option<Lease>> = const { RefCell::new(None) };
    static END: Cell<End> = const { Cell::new(End::Last) };
}

#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum End {
    Last,
    QuestionMark,
    Panic,
    Drop,
}

pub(super) const ENDS: [End; 4] = [End::Last, End::QuestionMark, End::Panic, End::Drop];

#[derive(Debug)]
pub(super) enum Failure {
    Lock,
    Asked,
}

impl From<LockError> for Failure {
    fn from(_: LockError) -> Self {
        Self::Lock
    }
}

pub(super) type Outcome = Result<(), Failure>;

/// Where a body ends, if it is not to reach its last line.
pub(super) async fn turn() -> Outcome {
    LEASE.set(Lease::current());
    match END.get() {
        End::Last => Ok(()),
        End::QuestionMark => Err(Failure::Asked),
        End::Panic => panic!("as asked"),
        End::Drop => pending().await,
    }
}

/// Notes that it is dropped, unless it was disarmed, and whether the lock was held then.
pub(super) struct Note {
    pub(super) name: &'static str,
    pub(super) armed: bool,
}

pub(super) fn note(name: &'static str) -> Note {
    Note { name, armed: true }
}

impl Note {
    pub(super) fn touch(&self) -> u8 {
        u8::from(self.armed)
    }
}

impl Drop for Note {
    fn drop(&mut self) {
        if self.armed {
            let held = LEASE.with_borrow(|lease| lease.as_ref().is_some_and(Lease::is_held));
            DROPS.with_borrow_mut(|drops| drops.push((self.name.to_owned(), held)));
        }
    }
}

pub(super) struct Pair {
    pub(super) first: Note,
    pub(super) second: Note,
}

pub(super) fn pair() -> Pair {
    Pair {
        first: note("first"),
        second: note("second"),
    }
}

/// What is dropped, one after the other, and what only after the release.
pub(super) fn drops(end: End, future: impl Future<Output = Outcome>) -> (Vec<String>, Vec<String>) {
    LEASE.set(None);
    DROPS.take();
    END.set(end);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let _context = runtime.enter();
    let polled = catch_unwind(AssertUnwindSafe(move || {
        let locker = Locker::in_memory();
        let mut future = pin!(locker.scope(future));
        let mut context = Context::from_waker(Waker::noop());
        for _ in 0..9 {
            if let Poll::Ready(outcome) = future.as_mut().poll(&mut context) {
                return Some(outcome);
            }
        }
        None
    }));
    match end {
        End::Last => assert!(matches!(polled, Ok(Some(Ok(()))))),
        End::QuestionMark => assert!(matches!(polled, Ok(Some(Err(Failure::Asked))))),
        End::Panic => assert!(polled.is_err()),
        End::Drop => assert!(matches!(polled, Ok(None))),
    }
    let drops = DROPS.take();
    let names = drops.iter().map(|(name, _)| name.clone());
    let late = drops.iter().filter(|(_, held)| !held);
    (
        names.collect(),
        late.map(|(name, _)| name.clone()).collect(),
    )
}
