//! Each rule of the protocol, broken: the checker has to find it. The protocol itself keeps every
//! promise in the same configuration.

use crate::check::is_found;
use crate::config::{Bounds, Break, Faults, Line};
use crate::judge::Promise;
use crate::state::Process;
use crate::tests::NONE;

fn line(count: usize, there: usize, faults: Faults) -> Line {
    crate::tests::line(count, there, faults, [1, 1])
}

/// Where no time is judged.
const ANY: Bounds = Bounds {
    free: 9,
    held_up: 9,
};

fn late_bell_and_foreign() -> Line {
    let faults = Faults {
        bell_late: 1,
        foreign: 1,
        ..NONE
    };
    let mut line = line(2, 2, faults);
    line.times.late = 6;
    line
}

#[test]
fn deadline_from_the_last_answer() {
    let line = late_bell_and_foreign();
    is_found(Break::DeadlineFromTheLastAnswer, Promise::OneHolder, &line);
}

#[test]
fn deadline_from_the_bell() {
    let line = late_bell_and_foreign();
    is_found(Break::DeadlineFromTheBell, Promise::OneHolder, &line);
}

#[test]
fn kept_under_our_value() {
    let faults = Faults {
        keep: 1,
        late: 1,
        ..NONE
    };
    let mut line = line(2, 2, faults);
    line.extend = true;
    is_found(Break::KeptUnderOurValue, Promise::NotKeptLonger, &line);
}

#[test]
fn stray_bell_ignored() {
    let faults = Faults {
        give_up: 1,
        leave_lost: 1,
        ..NONE
    };
    let mut line = line(3, 3, faults);
    line.bounds = ANY;
    is_found(Break::StrayBellIgnored, Promise::NoOrphan, &line);
}

#[test]
fn bell_while_holding_is_stray() {
    let mut line = line(
        3,
        3,
        Faults {
            bell_late: 1,
            ..NONE
        },
    );
    line.times.late = 4;
    is_found(Break::BellWhileHoldingIsStray, Promise::OneHolder, &line);
}

#[test]
fn doubt_forgotten() {
    let line = line(2, 0, Faults { late: 1, ..NONE });
    is_found(Break::DoubtForgotten, Promise::NoOrphan, &line);
}

/// Found by this model: a late look takes a seat for a tenure that has ended, and it counts as
/// waiting until the next release.
#[test]
fn doubt_is_released_again() {
    let mut line = line(3, 0, Faults { late: 1, ..NONE });
    line.clients[2].coalesce = true;
    let promise = Promise::NoOwedRunIsLost;
    is_found(Break::DoubtIsReleasedAgain, promise, &line);
}

#[test]
fn no_seat_behind_an_own_holder() {
    let mut line = line(3, 0, NONE);
    line.clients[1].process = 0;
    line.callers = true;
    is_found(Break::NoSeatBehindAnOwnHolder, Promise::Order, &line);
}

#[test]
fn seat_not_handed_on() {
    let mut line = line(4, 2, Faults { give_up: 1, ..NONE });
    line.clients[2].process = 1;
    line.callers = true;
    line.times.ttl = 4;
    is_found(Break::SeatNotHandedOn, Promise::Order, &line);
}

#[test]
fn leave_tells_nobody() {
    let faults = Faults {
        give_up: 1,
        rob: 1,
        ..NONE
    };
    let line = line(3, 3, faults);
    is_found(Break::LeaveTellsNobody, Promise::NoStandstill, &line);
}

#[test]
fn tells_the_dead() {
    let mut line = line(4, 4, Faults { rob: 1, ..NONE });
    line.dead = vec![(2, Process::Killed)];
    is_found(Break::TellsTheDead, Promise::NoStandstill, &line);
}

#[test]
fn dead_are_rung() {
    let mut line = line(4, 4, NONE);
    line.dead = vec![(1, Process::Killed), (2, Process::Killed)];
    line.bounds.free = 2;
    line.bounds.held_up = 2;
    is_found(Break::DeadAreRung, Promise::TheDeadHoldUpNobody, &line);
}

#[test]
fn seats_never_end() {
    let mut line = line(5, 5, NONE);
    line.dead = [1, 2, 3].map(|dead| (dead, Process::Vanished)).into();
    line.times.seat = 3;
    line.times.refresh = 2;
    line.bounds.free = 2;
    line.bounds.held_up = 5;
    is_found(Break::SeatsNeverEnd, Promise::TheDeadHoldUpNobody, &line);
}

#[test]
fn first_does_not_watch() {
    let line = line(2, 2, Faults { rob: 1, ..NONE });
    is_found(Break::FirstDoesNotWatch, Promise::NoStandstill, &line);
}

#[test]
fn nobody_stands_in() {
    let mut line = line(3, 3, Faults { kill: 2, ..NONE });
    line.times.refresh = 6;
    line.times.seat = 8;
    line.bounds = Bounds { free: 2, ..ANY };
    is_found(Break::NobodyStandsIn, Promise::NoStandstill, &line);
}

/// Found by this model.
#[test]
fn no_look_after_reopening() {
    let line = line(2, 2, Faults { cut: 1, ..NONE });
    is_found(Break::NoLookAfterReopening, Promise::NoStandstill, &line);
}

/// Found by this model: the answer to a look from before the break says "seated", and the entry was
/// removed since.
#[test]
fn look_under_way_will_do() {
    let line = line(3, 0, Faults { cut: 1, ..NONE });
    is_found(Break::LookUnderWayWillDo, Promise::NoStandstill, &line);
}

/// Found by this model: what is told while a look is under way has to be remembered.
#[test]
fn told_while_asking_is_forgotten() {
    let line = line(3, 0, Faults { rob: 1, ..NONE });
    let promise = Promise::NoStandstill;
    is_found(Break::ToldWhileAskingIsForgotten, promise, &line);
}

#[test]
fn look_barges() {
    let line = line(3, 2, NONE);
    is_found(Break::LookBarges, Promise::Order, &line);
}

#[test]
fn nobody_looks_after_the_door() {
    let line = line(2, 2, Faults { door: 1, ..NONE });
    is_found(Break::NobodyLooksAfterTheDoor, Promise::NoStandstill, &line);
}

#[test]
fn dead_count_as_waiting() {
    let mut line = line(3, 2, Faults { kill: 1, ..NONE });
    line.clients[2].coalesce = true;
    line.bounds = ANY;
    is_found(Break::DeadCountAsWaiting, Promise::NoOwedRunIsLost, &line);
}

#[test]
fn asking_counts_as_waiting() {
    let mut line = line(4, 2, NONE);
    line.clients[2].coalesce = true;
    line.clients[3].coalesce = true;
    line.clients[3].process = 2;
    let promise = Promise::NoOwedRunIsLost;
    is_found(Break::AskingCountsAsWaiting, promise, &line);
}

fn late_bell(there: usize) -> Line {
    let mut line = line(
        4,
        there,
        Faults {
            bell_late: 1,
            ..NONE
        },
    );
    line.times.late = 4;
    line
}

#[test]
fn score_forgotten() {
    is_found(Break::ScoreForgotten, Promise::Order, &late_bell(4));
}

/// Found by this model.
#[test]
fn scores_restart() {
    is_found(Break::ScoresRestart, Promise::Order, &late_bell(2));
}

/// Found by this model: a late look without a score takes a new seat, at the end.
#[test]
fn score_only_when_entering() {
    let faults = Faults {
        bell_late: 1,
        late: 1,
        foreign: 2,
        ..NONE
    };
    let mut line = line(2, 0, faults);
    line.times.late = 3;
    is_found(Break::ScoreOnlyWhenEntering, Promise::Order, &line);
}
