//! Beside each locked function its plain twin: the same values are dropped, in the same order, and before the
//! release. Whatever ends it: its last line, `?`, a panic, or the caller that drops its future.

use std::cell::{Cell, RefCell};
use std::future::{Future, pending};
use std::panic::{AssertUnwindSafe, Location, UnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use async_trait::async_trait;
use redis_locked::{Lease, LockError, Locker, redis_locked};

use super::alone;

thread_local! {
    static DROPS: RefCell<Vec<(String, bool)>> = const { RefCell::new(Vec::new()) };
    static LEASE: RefCell<Option<Lease>> = const { RefCell::new(None) };
    static END: Cell<End> = const { Cell::new(End::Last) };
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum End {
    Last,
    QuestionMark,
    Panic,
    Drop,
}

const ENDS: [End; 4] = [End::Last, End::QuestionMark, End::Panic, End::Drop];

#[derive(Debug)]
enum Failure {
    Lock,
    Asked,
}

impl From<LockError> for Failure {
    fn from(_: LockError) -> Self {
        Self::Lock
    }
}

type Outcome = Result<(), Failure>;

/// Where a body ends, if it is not to reach its last line.
async fn turn() -> Outcome {
    LEASE.set(Lease::current());
    match END.get() {
        End::Last => Ok(()),
        End::QuestionMark => Err(Failure::Asked),
        End::Panic => panic!("as asked"),
        End::Drop => pending().await,
    }
}

/// Notes that it is dropped, unless it was disarmed, and whether the lock was held then.
struct Note {
    name: &'static str,
    armed: bool,
}

fn note(name: &'static str) -> Note {
    Note { name, armed: true }
}

impl Note {
    fn touch(&self) -> u8 {
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

struct Pair {
    first: Note,
    second: Note,
}

fn pair() -> Pair {
    Pair {
        first: note("first"),
        second: note("second"),
    }
}

/// What is dropped, one after the other, and what only after the release.
fn drops(end: End, future: impl Future<Output = Outcome>) -> (Vec<String>, Vec<String>) {
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

macro_rules! twins {
    ($plain:ident, $locked:ident, ($($parameter:tt)*), $body:block) => {
        twins!($plain, $locked, (key = "k"), ($($parameter)*), $body);
    };
    ($plain:ident, $locked:ident, ($($argument:tt)*), ($($parameter:tt)*), $body:block) => {
        async fn $plain($($parameter)*) -> Outcome $body

        #[redis_locked($($argument)*)]
        async fn $locked($($parameter)*) -> Outcome $body
    };
}

/// The twins drop alike, and the locked one drops nothing behind the release.
macro_rules! assert_alike {
    ($plain:expr, $locked:expr) => {
        for end in ENDS {
            let (plain, _) = drops(end, $plain);
            let (locked, late) = drops(end, $locked);
            assert_eq!(plain, locked, "{end:?} of {}", stringify!($locked));
            assert_eq!(late, [""; 0], "{end:?} of {}", stringify!($locked));
        }
    };
}

twins!(named, named_locked, (a: Note, b: Note, c: Note), {
    let _local = note("local");
    b.touch();
    turn().await?;
    c.touch();
    a.touch();
    Ok(())
});

twins!(moved, moved_locked, (a: Note, b: Note, c: Note), {
    turn().await?;
    drop(b);
    let _local = a;
    c.touch();
    Ok(())
});

twins!(in_pieces, in_pieces_locked, (a: Pair, b: Pair), {
    b.second.touch();
    let _local = a.first;
    turn().await?;
    Ok(())
});

twins!(mutable, mutable_locked, (a: Note, mut b: Note, c: Note, mut d: Note), {
    turn().await?;
    d.armed = a.armed;
    b.armed = c.armed;
    Ok(())
});

twins!(disarmed, disarmed_locked, (mut a: Note, b: Note), {
    turn().await?;
    b.touch();
    a.armed = false;
    Ok(())
});

twins!(unnamed, unnamed_locked, (_a: Note, b: Note, _c: Note, mut _d: Note, _e: Note), {
    b.touch();
    turn().await
});

twins!(
    destructured,
    destructured_locked,
    ((a, (mut b, c)): (Note, (Note, Note)), Pair { first, second: d }: Pair, all @ Pair { .. }: Pair),
    {
        second(&all);
        b.armed = d.armed;
        turn().await?;
        drop(first);
        a.touch();
        c.touch();
        Ok(())
    }
);

fn second(pair: &Pair) {
    pair.second.touch();
}

twins!(temporary, temporary_locked, (a: Note, b: Note), {
    let local = note("local");
    turn().await?;
    a.touch();
    b.touch();
    Some(note("temporary").touch() + local.touch())
        .map(|_| ())
        .ok_or(Failure::Asked)
});

twins!(by_format, by_format_locked, (a: &str, b: Note, width: usize), {
    turn().await?;
    drop(format!("{a:>width$}"));
    b.touch();
    Ok(())
});

twins!(
    in_the_key,
    in_the_key_locked,
    (key = "{a.name}:{b:08x}", ttl = std::time::Duration::from_secs(c.touch().into())),
    (a: Note, b: u8, c: Note, d: Note),
    {
        c.touch();
        drop(format!("{b}{a}"));
        d.touch();
        turn().await
    }
);

impl Note {
    twins!(close, close_locked, (mut self, other: Note), {
        turn().await?;
        other.touch();
        self.armed = false;
        Ok(())
    });

    twins!(replace, replace_locked, (mut self, other: Note), {
        turn().await?;
        self = other;
        self.touch();
        Ok(())
    });

    twins!(keep, keep_locked, (self, other: Note), {
        other.touch();
        turn().await?;
        self.touch();
        Ok(())
    });

    twins!(hold, hold_locked, (&mut self, other: Note), {
        turn().await?;
        self.armed = other.armed;
        Ok(())
    });

    // A string names `self`, which stays what it is called.
    twins!(show, show_locked, (mut self, other: Note), {
        self.name = other.name;
        turn().await?;
        let _shown = format!("{self}");
        Ok(())
    });
}

impl std::fmt::Display for Note {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

#[async_trait(?Send)]
trait Job {
    async fn run(mut self, a: Note, mut b: Note, (c, _d): (Note, Note), _: Note) -> Outcome;
}

struct Plain(Note);
struct Locked(Note);

macro_rules! job {
    ($(#[$attribute:meta])? $for:ident) => {
        #[async_trait(?Send)]
        impl Job for $for {
            $(#[$attribute])?
            async fn run(mut self, a: Note, mut b: Note, (c, _d): (Note, Note), _: Note) -> Outcome {
                b.touch();
                turn().await?;
                c.touch();
                b.armed = a.armed;
                self.0.armed = false;
                Ok(())
            }
        }
    };
}

job!(Plain);
job!(
    #[redis_locked(key = "k")]
    Locked
);

#[test]
fn arguments_drop_alike() {
    assert_alike!(
        named(note("a"), note("b"), note("c")),
        named_locked(note("a"), note("b"), note("c"))
    );
    assert_alike!(
        moved(note("a"), note("b"), note("c")),
        moved_locked(note("a"), note("b"), note("c"))
    );
    assert_alike!(in_pieces(pair(), pair()), in_pieces_locked(pair(), pair()));
    assert_alike!(
        mutable(note("a"), note("b"), note("c"), note("d")),
        mutable_locked(note("a"), note("b"), note("c"), note("d"))
    );
    assert_alike!(
        unnamed(note("a"), note("b"), note("c"), note("d"), note("e")),
        unnamed_locked(note("a"), note("b"), note("c"), note("d"), note("e"))
    );
    assert_alike!(
        destructured((note("a"), (note("b"), note("c"))), pair(), pair()),
        destructured_locked((note("a"), (note("b"), note("c"))), pair(), pair())
    );
    assert_alike!(
        by_format("a", note("b"), 1),
        by_format_locked("a", note("b"), 1)
    );
    assert_alike!(
        in_the_key(note("a"), 5, note("c"), note("d")),
        in_the_key_locked(note("a"), 5, note("c"), note("d"))
    );
}

#[test]
fn a_value_that_is_disarmed_does_not_fire() {
    assert_alike!(
        disarmed(note("a"), note("b")),
        disarmed_locked(note("a"), note("b"))
    );
    assert_eq!(
        drops(End::Last, disarmed_locked(note("a"), note("b"))).0,
        ["b"]
    );
    assert_eq!(drops(End::Last, note("a").close_locked(note("b"))).0, ["b"]);
}

#[test]
fn receivers_drop_alike() {
    assert_alike!(
        note("a").close(note("b")),
        note("a").close_locked(note("b"))
    );
    assert_alike!(
        note("a").replace(note("b")),
        note("a").replace_locked(note("b"))
    );
    assert_alike!(note("a").keep(note("b")), note("a").keep_locked(note("b")));
    assert_alike!(note("a").show(note("b")), note("a").show_locked(note("b")));
    let (mut one, mut other) = (note("one"), note("other"));
    assert_alike!(one.hold(note("b")), other.hold_locked(note("b")));
}

#[test]
fn methods_under_async_trait_drop_alike() {
    let arguments = || (note("a"), note("b"), (note("c"), note("d")), note("e"));
    let plain = || {
        let (a, b, c, d) = arguments();
        Plain(note("self")).run(a, b, c, d)
    };
    let locked = || {
        let (a, b, c, d) = arguments();
        Locked(note("self")).run(a, b, c, d)
    };
    assert_alike!(plain(), locked());
    assert_eq!(drops(End::Last, locked()).0, ["e", "d", "c", "b", "a"]);
}

#[test]
fn temporaries_of_the_last_line_drop_alike() {
    assert_alike!(
        temporary(note("a"), note("b")),
        temporary_locked(note("a"), note("b"))
    );
}

/// Nobody has asked for the body yet, but its arguments are in it.
#[test]
fn arguments_of_a_body_that_never_began_drop_alike() {
    fn dropped(future: impl Future<Output = Outcome>) -> Vec<String> {
        let (mut names, _) = drops(End::Drop, future);
        names.retain(|name| name != "local");
        names
    }

    let plain = dropped(mutable(note("a"), note("b"), note("c"), note("d")));
    let waiting = dropped(async {
        let locker = Locker::in_memory();
        let _guard = locker.lock("k").acquire().await?;
        let arguments = (note("a"), note("b"), note("c"), note("d"));
        let (a, b, c, d) = arguments;
        locker.scope(mutable_waiting(a, b, c, d)).await
    });
    assert_eq!(plain, waiting);
}

#[redis_locked(key = "k", wait)]
async fn mutable_waiting(a: Note, mut b: Note, c: Note, mut d: Note) -> Outcome {
    d.armed = a.armed;
    b.armed = c.armed;
    Ok(())
}

#[redis_locked(key = "k", or_else = |_| if only_or_else.armed { Ok(()) } else { Err(Failure::Lock) })]
async fn late(_: Note, (kept, _): (Note, Note), ref borrowed: Note, only_or_else: Note) -> Outcome {
    borrowed.touch();
    kept.touch();
    turn().await
}

/// As the docs of the attribute say.
#[test]
fn what_the_body_cannot_own_drops_after_the_release() {
    let future = late(
        note("a"),
        (note("kept"), note("rest")),
        note("borrowed"),
        note("or_else"),
    );
    let (all, late) = drops(End::Last, future);
    assert_eq!(all, ["kept", "or_else", "borrowed", "rest", "a"]);
    assert_eq!(late, all[1..]);
}

#[track_caller]
fn line() -> u32 {
    Location::caller().line()
}

#[redis_locked(key = "k")]
async fn lines() -> Result<(u32, u32), LockError> {
    let here = (line(), line!());
    Ok(here)
}

#[tokio::test]
async fn panics_are_located_where_they_are_written() {
    let (caller, here) = alone(lines()).await;
    assert_eq!(caller, here);
}

struct Probe<'a, T>(&'a T);

impl<T: Sync> Probe<'_, T> {
    fn is_sync(&self) -> bool {
        size_of_val(self.0) > 0
    }
}

impl<T: Unpin> Probe<'_, T> {
    fn is_unpin(&self) -> bool {
        size_of_val(self.0) > 0
    }
}

impl<T: UnwindSafe> Probe<'_, T> {
    fn is_unwind_safe(&self) -> bool {
        size_of_val(self.0) > 0
    }
}

/// What a type has that has it not.
trait Lacks {
    fn is_sync(&self) -> bool {
        false
    }

    fn is_unwind_safe(&self) -> bool {
        false
    }

    fn is_unpin(&self) -> bool {
        false
    }
}

impl<T> Lacks for Probe<'_, T> {}

async fn plain_id(id: u8) -> Result<u8, LockError> {
    std::future::ready(()).await;
    Ok(id)
}

#[redis_locked(key = "k")]
async fn locked_id(id: u8) -> Result<u8, LockError> {
    std::future::ready(()).await;
    Ok(id)
}

/// As the docs of the attribute say.
#[test]
fn a_locked_future_is_send_but_not_sync_nor_unwind_safe() {
    fn assert_send<T: Send>(future: T) -> T {
        future
    }

    let (plain, locked) = (assert_send(plain_id(1)), assert_send(locked_id(1)));
    let (plain, locked) = (Probe(&plain), Probe(&locked));
    assert!(plain.is_sync() && plain.is_unwind_safe());
    assert!(!locked.is_sync() && !locked.is_unwind_safe());
    assert!(!plain.is_unpin() && !locked.is_unpin() && Probe(&0).is_unpin());
}
