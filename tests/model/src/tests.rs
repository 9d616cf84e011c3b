//! The protocol, under each fault and under some together. Every promise is kept.
//!
//! The bounds are what was found, and no wider. In ticks, with the times of `Line::of` (ttl 3,
//! reservation 2, a look in 4 at the latest): nobody waits at a free key for more than the tick in
//! which it was freed, unless the test says why.

use crate::check::holds;
use crate::config::{Bounds, Faults, Line};
use crate::judge::Seen;

pub(crate) const NONE: Faults = Faults::NONE;

/// `there` of them are there at the beginning: the first holds the key, the others are seated.
pub(crate) fn line(count: usize, there: usize, faults: Faults, bounds: [u8; 2]) -> Line {
    let [free, held_up] = bounds;
    Line {
        there,
        faults,
        bounds: Bounds { free, held_up },
        ..Line::of(count)
    }
}

#[test]
fn nothing_goes_wrong() {
    let see = [
        Seen::HeldByLook,
        Seen::HeldByBell,
        Seen::HeldByPassingOnToItself,
    ];
    holds("three come", &line(3, 0, NONE, [1, 1]), &see);
    holds("two there, two come", &line(4, 2, NONE, [1, 1]), &see);
    holds("five there", &line(5, 5, NONE, [1, 1]), &see[1..]);
}

/// A message that takes a tick makes each of what follows take one.
#[test]
fn messages_take_time() {
    let mut line = line(3, 2, NONE, [2, 2]);
    line.times.delay = 1;
    holds("messages take time", &line, &[Seen::HeldByBell]);
}

#[test]
fn answers_are_lost() {
    let faults = Faults { lost: 2, ..NONE };
    holds("answers are lost", &line(3, 1, faults, [1, 1]), &[]);
}

#[test]
fn looks_are_late() {
    let faults = Faults {
        late: 1,
        lost: 1,
        ..NONE
    };
    holds("looks are late", &line(3, 1, faults, [1, 1]), &[]);
    holds(
        "four there, looks are late",
        &line(4, 4, faults, [1, 1]),
        &[],
    );
}

#[test]
fn bells_are_late_and_lost() {
    let faults = Faults {
        bell_late: 1,
        bell_lost: 1,
        ..NONE
    };
    let mut line = line(4, 4, faults, [1, 1]);
    line.times.late = 4;
    holds("bells are late and lost", &line, &[Seen::StaleBell]);
}

#[test]
fn bell_connections_break() {
    let faults = Faults { cut: 1, ..NONE };
    holds("bell connections break", &line(3, 0, faults, [1, 1]), &[]);
    let faults = Faults { cut: 2, ..NONE };
    holds(
        "two bell connections break",
        &line(3, 3, faults, [1, 1]),
        &[],
    );
}

/// The holder and the first die: the second looks a tick after the first would. What died with
/// the key keeps it for its ttl, from the last of its commands that arrives, and the next that dies
/// for its reservation.
#[test]
fn processes_are_killed() {
    let faults = Faults { kill: 2, ..NONE };
    holds("two are killed", &line(4, 4, faults, [3, 6]), &[]);
    holds(
        "two of three are killed as they come",
        &line(3, 1, faults, [2, 7]),
        &[],
    );
}

#[test]
fn machines_vanish() {
    let faults = Faults { vanish: 2, ..NONE };
    holds("two machines vanish", &line(4, 4, faults, [3, 11]), &[]);
}

#[test]
fn a_foreign_client_takes_the_key() {
    let faults = Faults { foreign: 1, ..NONE };
    holds("a foreign client", &line(3, 0, faults, [1, 1]), &[]);
    holds(
        "a foreign client and a line",
        &line(4, 4, faults, [1, 1]),
        &[],
    );
}

#[test]
fn a_foreign_client_deletes_the_key() {
    let faults = Faults {
        rob: 1,
        foreign: 1,
        ..NONE
    };
    holds("a foreign client deletes", &line(3, 3, faults, [1, 1]), &[]);
}

/// Nobody is told of it: each looks when it would have anyway.
#[test]
fn the_side_keys_are_deleted() {
    let faults = Faults { flush: 1, ..NONE };
    holds(
        "the side keys are deleted",
        &line(4, 4, faults, [4, 4]),
        &[],
    );
}

#[test]
fn callers_give_up() {
    let faults = Faults { give_up: 2, ..NONE };
    holds("two give up", &line(4, 4, faults, [1, 1]), &[]);
    let faults = Faults {
        give_up: 1,
        late: 1,
        ..NONE
    };
    holds(
        "one gives up, and a look is late",
        &line(3, 2, faults, [1, 1]),
        &[],
    );
    let faults = Faults {
        give_up: 1,
        leave_lost: 1,
        ..NONE
    };
    holds(
        "one gives up, and its leave is lost",
        &line(3, 3, faults, [2, 3]),
        &[Seen::StrayBell],
    );
}

#[test]
fn holders_extend_and_keep() {
    let faults = Faults {
        keep: 1,
        late: 1,
        ..NONE
    };
    let mut two = line(2, 0, faults, [1, 1]);
    two.extend = true;
    holds("two extend and keep", &two, &[]);
    let mut three = line(3, 3, Faults { late: 0, ..faults }, [1, 1]);
    three.extend = true;
    holds("three extend and keep", &three, &[]);
}

#[test]
fn the_door_opens() {
    let faults = Faults {
        door: 1,
        foreign: 1,
        ..NONE
    };
    holds("the door opens", &line(3, 1, faults, [1, 1]), &[]);
    let faults = Faults {
        door: 1,
        kill: 1,
        ..NONE
    };
    holds(
        "the door opens, and one is killed",
        &line(4, 4, faults, [4, 5]),
        &[],
    );
}

/// Two callers of one process, and others.
#[test]
fn callers_of_one_process() {
    let faults = Faults { give_up: 1, ..NONE };
    let mut line = line(3, 0, faults, [1, 1]);
    line.clients[1].process = 0;
    line.callers = true;
    holds(
        "callers of one process",
        &line,
        &[Seen::PassedOnInMemory, Seen::SeatHandedOn],
    );
}

#[test]
fn one_coalesces() {
    let faults = Faults { late: 1, ..NONE };
    let mut one = line(3, 0, faults, [1, 1]);
    one.clients[2].coalesce = true;
    holds("one coalesces", &one, &[Seen::Coalesced]);
    let faults = Faults { kill: 1, ..NONE };
    let mut dead = line(3, 2, faults, [1, 4]);
    dead.clients[2].coalesce = true;
    holds(
        "one coalesces, and one is killed",
        &dead,
        &[Seen::Coalesced],
    );
    let mut two = line(4, 2, NONE, [1, 1]);
    two.clients[2].coalesce = true;
    two.clients[3].coalesce = true;
    two.clients[3].process = 2;
    holds("two of one process coalesce", &two, &[Seen::Coalesced]);
}

/// Two that hold and three that wait: a dead one, one that holds too long, a late message, a late
/// bell and a foreign client.
#[test]
fn all_together() {
    let faults = Faults {
        late: 1,
        bell_late: 1,
        kill: 1,
        foreign: 1,
        ..NONE
    };
    holds("all together", &line(3, 3, faults, [4, 6]), &[]);
    let faults = Faults {
        kill: 1,
        foreign: 1,
        ..NONE
    };
    holds(
        "five, one is killed, a foreign client",
        &line(5, 5, faults, [4, 7]),
        &[],
    );
}
