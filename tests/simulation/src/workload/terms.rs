//! What the kinds ask for, each of a plain request.

use super::super::chance::{between, one_in, one_of};
use super::super::plan::Plan;
use super::super::testimony::{Patience, Room, Terms};

pub(super) fn plain(_: &Plan, terms: Terms) -> Terms {
    terms
}

pub(super) fn record(plan: &Plan, terms: Terms) -> Terms {
    Terms {
        record: true,
        ..sometimes_more(plan, terms)
    }
}

/// Mostly with the same period, and sometimes as after a deploy that has changed it.
pub(super) fn once_per(plan: &Plan, terms: Terms) -> Terms {
    let period = if one_in(8) {
        2 * plan.period
    } else {
        plan.period
    };
    Terms {
        once_per: Some(period),
        ..record(plan, terms)
    }
}

/// In any way, and mostly with nothing else.
fn sometimes_more(plan: &Plan, terms: Terms) -> Terms {
    match between(0..=9) {
        0 => min_hold(plan, terms),
        1 => renew(plan, terms),
        2 => max_hold(plan, terms),
        3 => fenced(plan, terms),
        4 => finish(plan, terms),
        _ => any(plan, terms),
    }
}

pub(super) fn permits(plan: &Plan, terms: Terms) -> Terms {
    one_of_some(|| sometimes_more(plan, terms))
}

pub(super) fn shared(plan: &Plan, terms: Terms) -> Terms {
    beside_others(sometimes_more(plan, terms))
}

fn one_of_some(terms: impl FnOnce() -> Terms) -> Terms {
    Terms {
        room: Room::Permit,
        permits: *one_of(&[2, 2, 2, 3, 5]),
        ..terms()
    }
}

fn beside_others(terms: Terms) -> Terms {
    Terms {
        room: Room::Shared,
        ..terms
    }
}

pub(super) fn retries(_: &Plan, terms: Terms) -> Terms {
    let patience = Patience::Retries(between(1..=5));
    Terms { patience, ..terms }
}

pub(super) fn wait(plan: &Plan, terms: Terms) -> Terms {
    let patience = Patience::Wait(between(0..=plan.longest_wait));
    Terms { patience, ..terms }
}

pub(super) fn forever(plan: &Plan, terms: Terms) -> Terms {
    if !plan.is_patient {
        return wait(plan, terms);
    }
    let patience = Patience::Forever;
    Terms { patience, ..terms }
}

pub(super) fn patient(plan: &Plan, terms: Terms) -> Terms {
    if one_in(3) {
        forever(plan, terms)
    } else {
        wait(plan, terms)
    }
}

pub(super) fn renew(plan: &Plan, terms: Terms) -> Terms {
    Terms {
        renew: true,
        ..any(plan, terms)
    }
}

pub(super) fn max_hold(plan: &Plan, terms: Terms) -> Terms {
    Terms {
        max_hold: Some(between(1..=3 * terms.ttl)),
        ..renew(plan, terms)
    }
}

/// Not so long that the others never come to their end.
const LONGEST_MIN_HOLD: u64 = 5_000;

pub(super) fn min_hold(plan: &Plan, terms: Terms) -> Terms {
    Terms {
        min_hold: Some(between(1..=terms.ttl.min(LONGEST_MIN_HOLD))),
        ..any(plan, terms)
    }
}

pub(super) fn finish(plan: &Plan, terms: Terms) -> Terms {
    Terms {
        finish: true,
        ..any(plan, terms)
    }
}

pub(super) fn fenced(plan: &Plan, terms: Terms) -> Terms {
    Terms {
        fenced: true,
        ..any(plan, terms)
    }
}

/// Any way to be patient.
pub(super) fn any(plan: &Plan, terms: Terms) -> Terms {
    match between(0..=5) {
        0 => terms,
        1 => retries(plan, terms),
        2 => forever(plan, terms),
        _ => wait(plan, terms),
    }
}

/// Of several keys, no number is drawn.
pub(super) fn array(plan: &Plan, terms: Terms) -> Terms {
    match between(0..=9) {
        0 => min_hold(plan, terms),
        1 | 2 => renew(plan, terms),
        3 => max_hold(plan, terms),
        4 => finish(plan, terms),
        _ => any(plan, terms),
    }
}

pub(super) fn array_of_places(plan: &Plan, terms: Terms) -> Terms {
    if one_in(2) {
        beside_others(array(plan, terms))
    } else {
        one_of_some(|| array(plan, terms))
    }
}
