//! Beside each locked function its plain twin: the same values are dropped, in the same order, and before the
//! release. Whatever ends it: its last line, `?`, a panic, or the caller that drops its future.

use std::future::Future;

use async_trait::async_trait;
use redis_locked::{Locker, redis_locked};

use super::drops::{ENDS, End, Failure, Note, Outcome, Pair, drops, note, pair, turn};

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
