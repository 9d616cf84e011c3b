//! The same with more of it at once. These take minutes, so they are run by name:
//! `cargo nextest run -p redis-locked-model --run-ignored only`.

use crate::check::holds;
use crate::config::Faults;
use crate::tests::{NONE, line};

#[test]
#[ignore = "takes long"]
fn four_and_all_at_once() {
    let faults = Faults {
        late: 1,
        bell_late: 1,
        kill: 1,
        foreign: 1,
        ..NONE
    };
    holds("four, all at once", &line(4, 4, faults, [4, 7]), &[]);
}

#[test]
#[ignore = "takes long"]
fn two_there_one_comes_and_all_at_once() {
    let faults = Faults {
        late: 1,
        bell_late: 1,
        kill: 1,
        foreign: 1,
        ..NONE
    };
    holds("one comes, all at once", &line(3, 2, faults, [4, 6]), &[]);
}

#[test]
#[ignore = "takes long"]
fn four_come() {
    holds("four come", &line(4, 0, NONE, [1, 1]), &[]);
}

#[test]
#[ignore = "takes long"]
fn five_and_two_come() {
    holds("five, two come", &line(5, 3, NONE, [1, 1]), &[]);
}

#[test]
#[ignore = "takes long"]
fn three_come_and_messages_are_late() {
    let faults = Faults {
        lost: 1,
        late: 1,
        ..NONE
    };
    holds(
        "three come, late messages",
        &line(3, 0, faults, [1, 1]),
        &[],
    );
    holds("five, late messages", &line(5, 5, faults, [1, 1]), &[]);
}

#[test]
#[ignore = "takes long"]
fn five_and_three_die() {
    let faults = Faults {
        kill: 2,
        vanish: 1,
        ..NONE
    };
    holds("five, three die", &line(5, 5, faults, [4, 13]), &[]);
}

#[test]
#[ignore = "takes long"]
fn four_and_one_gives_up() {
    let faults = Faults {
        kill: 1,
        give_up: 1,
        late: 1,
        foreign: 1,
        ..NONE
    };
    holds("four, one gives up", &line(4, 4, faults, [4, 7]), &[]);
}

#[test]
#[ignore = "takes long"]
fn cut_and_flush() {
    let faults = Faults {
        cut: 1,
        bell_late: 1,
        late: 1,
        flush: 1,
        ..NONE
    };
    holds("cut and flush", &line(3, 2, faults, [4, 4]), &[]);
}

/// A body that begins by the bell of a key that was deleted meanwhile has a seat in the line, which
/// nobody watches until it ends.
#[test]
#[ignore = "takes long"]
fn deleted_by_a_foreign_client() {
    let faults = Faults {
        rob: 1,
        foreign: 1,
        late: 1,
        ..NONE
    };
    holds("deleted, late messages", &line(3, 2, faults, [2, 2]), &[]);
}

#[test]
#[ignore = "takes long"]
fn messages_take_time_and_are_lost() {
    let faults = Faults {
        lost: 1,
        late: 1,
        ..NONE
    };
    let mut line = line(2, 0, faults, [3, 3]);
    line.times.delay = 1;
    holds("messages take time and are lost", &line, &[]);
}

#[test]
#[ignore = "takes long"]
fn two_of_one_process_among_five() {
    let mut line = line(5, 3, NONE, [1, 1]);
    line.clients[3].process = 1;
    line.callers = true;
    holds("two of one process among five", &line, &[]);
}

/// A look that is later than a whole term is left out here: it may come when its holder's key has
/// expired under it and its release is still under way, take a seat, and count as waiting.
#[test]
#[ignore = "takes long"]
fn two_coalesce_and_one_is_killed() {
    let faults = Faults {
        late: 1,
        kill: 1,
        ..NONE
    };
    let mut line = line(4, 1, faults, [2, 5]);
    line.times.late = 1;
    line.clients[2].coalesce = true;
    line.clients[3].coalesce = true;
    line.clients[3].process = 2;
    holds("two coalesce, one is killed", &line, &[]);
}
