//! The table of kinds.

use futures_util::future::BoxFuture;

use super::super::chance::{between, one_in, one_of};
use super::super::checker::COALESCE;
use super::super::plan::Plan;
use super::super::testimony::{Patience, Room, Terms};
use super::caller::Caller;
use super::{deeds, recorded};

/// A kind of request, and what is done with it.
pub(in super::super) struct Kind {
    pub(in super::super) name: &'static str,
    /// Changes the terms of a plain request.
    pub(super) ask: fn(&Plan, Terms) -> Terms,
    pub(super) deed: fn(Caller, usize, Terms) -> BoxFuture<'static, ()>,
    /// Not on a quorum.
    pub(in super::super) is_numbered: bool,
    pub(in super::super) family: Family,
}

/// What a kind is about: not all are in each world.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Family {
    Whole,
    Places,
    Records,
}

const fn kind(
    name: &'static str,
    ask: fn(&Plan, Terms) -> Terms,
    deed: fn(Caller, usize, Terms) -> BoxFuture<'static, ()>,
) -> Kind {
    Kind {
        name,
        ask,
        deed,
        is_numbered: false,
        family: Family::Whole,
    }
}

const fn of_places(
    name: &'static str,
    ask: fn(&Plan, Terms) -> Terms,
    deed: fn(Caller, usize, Terms) -> BoxFuture<'static, ()>,
) -> Kind {
    Kind {
        is_numbered: true,
        family: Family::Places,
        ..kind(name, ask, deed)
    }
}

const fn of_records(
    name: &'static str,
    ask: fn(&Plan, Terms) -> Terms,
    deed: fn(Caller, usize, Terms) -> BoxFuture<'static, ()>,
) -> Kind {
    Kind {
        is_numbered: true,
        family: Family::Records,
        ..kind(name, ask, deed)
    }
}

pub(in super::super) static KINDS: &[Kind] = &[
    kind(
        "plain",
        |_, terms| terms,
        |caller, key, terms| Box::pin(deeds::run(caller, key, terms)),
    ),
    kind("retries", retries, |caller, key, terms| {
        Box::pin(deeds::run(caller, key, terms))
    }),
    kind("wait", wait, |caller, key, terms| {
        Box::pin(deeds::run(caller, key, terms))
    }),
    kind("forever", forever, |caller, key, terms| {
        Box::pin(deeds::run(caller, key, terms))
    }),
    kind("renew", renew, |caller, key, terms| {
        Box::pin(deeds::run(caller, key, terms))
    }),
    kind("max_hold", max_hold, |caller, key, terms| {
        Box::pin(deeds::run(caller, key, terms))
    }),
    kind("min_hold", min_hold, |caller, key, terms| {
        Box::pin(deeds::run(caller, key, terms))
    }),
    kind("min_hold by hand", min_hold, |caller, key, terms| {
        Box::pin(deeds::by_hand(caller, key, terms))
    }),
    kind("finish", finish, |caller, key, terms| {
        Box::pin(deeds::run(caller, key, terms))
    }),
    kind("extend", wait, |caller, key, terms| {
        Box::pin(deeds::extend(caller, key, terms))
    }),
    kind("drop", any, |caller, key, terms| {
        Box::pin(deeds::drop_after_polls(caller, key, terms))
    }),
    kind("leave", any, |caller, key, terms| {
        Box::pin(deeds::leave_in_time(caller, key, terms))
    }),
    kind("hand", any, |caller, key, terms| {
        Box::pin(deeds::by_hand(caller, key, terms))
    }),
    kind(
        "skip",
        |_, terms| terms,
        |caller, key, terms| Box::pin(deeds::skip(caller, key, terms)),
    ),
    kind("shutdown", wait, |caller, key, terms| {
        Box::pin(deeds::shut_down(caller, key, terms))
    }),
    Kind {
        is_numbered: true,
        ..kind(COALESCE, patient, |caller, key, terms| {
            Box::pin(deeds::run(caller, key, terms))
        })
    },
    Kind {
        is_numbered: true,
        ..kind("fenced", fenced, |caller, key, terms| {
            Box::pin(deeds::run(caller, key, terms))
        })
    },
    of_places("permits", permits, |caller, key, terms| {
        Box::pin(deeds::run(caller, key, terms))
    }),
    of_places("permits by hand", permits, |caller, key, terms| {
        Box::pin(deeds::by_hand(caller, key, terms))
    }),
    of_places("permits, dropped", permits, |caller, key, terms| {
        Box::pin(deeds::drop_after_polls(caller, key, terms))
    }),
    of_places("permits, extended", permits, |caller, key, terms| {
        Box::pin(deeds::extend(caller, key, terms))
    }),
    of_places("shared", shared, |caller, key, terms| {
        Box::pin(deeds::run(caller, key, terms))
    }),
    of_places("shared by hand", shared, |caller, key, terms| {
        Box::pin(deeds::by_hand(caller, key, terms))
    }),
    of_places("shared, left", shared, |caller, key, terms| {
        Box::pin(deeds::leave_in_time(caller, key, terms))
    }),
    of_places("shared, extended", shared, |caller, key, terms| {
        Box::pin(deeds::extend(caller, key, terms))
    }),
    of_records("once_per", once_per, |caller, key, terms| {
        Box::pin(recorded::run(caller, key, terms))
    }),
    of_records("once_per by hand", once_per, |caller, key, terms| {
        Box::pin(recorded::by_hand(caller, key, terms))
    }),
    of_records("once_per, left", once_per, |caller, key, terms| {
        Box::pin(recorded::leave_in_time(caller, key, terms))
    }),
    of_records("record", record, |caller, key, terms| {
        Box::pin(recorded::run(caller, key, terms))
    }),
    of_records("record, dropped", record, |caller, key, terms| {
        Box::pin(recorded::drop_after_polls(caller, key, terms))
    }),
];

fn record(plan: &Plan, terms: Terms) -> Terms {
    Terms {
        record: true,
        ..sometimes_more(plan, terms)
    }
}

/// Mostly with the same period, and sometimes as after a deploy that has changed it.
fn once_per(plan: &Plan, terms: Terms) -> Terms {
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

fn permits(plan: &Plan, terms: Terms) -> Terms {
    Terms {
        room: Room::Permit,
        permits: *one_of(&[2, 2, 2, 3, 5]),
        ..sometimes_more(plan, terms)
    }
}

fn shared(plan: &Plan, terms: Terms) -> Terms {
    Terms {
        room: Room::Shared,
        ..sometimes_more(plan, terms)
    }
}

fn retries(_: &Plan, terms: Terms) -> Terms {
    let patience = Patience::Retries(between(1..=5));
    Terms { patience, ..terms }
}

fn wait(plan: &Plan, terms: Terms) -> Terms {
    let patience = Patience::Wait(between(0..=plan.longest_wait));
    Terms { patience, ..terms }
}

fn forever(plan: &Plan, terms: Terms) -> Terms {
    if !plan.is_patient {
        return wait(plan, terms);
    }
    let patience = Patience::Forever;
    Terms { patience, ..terms }
}

fn patient(plan: &Plan, terms: Terms) -> Terms {
    if one_in(3) {
        forever(plan, terms)
    } else {
        wait(plan, terms)
    }
}

fn renew(plan: &Plan, terms: Terms) -> Terms {
    Terms {
        renew: true,
        ..any(plan, terms)
    }
}

fn max_hold(plan: &Plan, terms: Terms) -> Terms {
    Terms {
        max_hold: Some(between(1..=3 * terms.ttl)),
        ..renew(plan, terms)
    }
}

/// Not so long that the others never come to their end.
const LONGEST_MIN_HOLD: u64 = 5_000;

fn min_hold(plan: &Plan, terms: Terms) -> Terms {
    Terms {
        min_hold: Some(between(1..=terms.ttl.min(LONGEST_MIN_HOLD))),
        ..any(plan, terms)
    }
}

fn finish(plan: &Plan, terms: Terms) -> Terms {
    Terms {
        finish: true,
        ..any(plan, terms)
    }
}

fn fenced(plan: &Plan, terms: Terms) -> Terms {
    Terms {
        fenced: true,
        ..any(plan, terms)
    }
}

/// Any way to be patient.
fn any(plan: &Plan, terms: Terms) -> Terms {
    match between(0..=5) {
        0 => terms,
        1 => retries(plan, terms),
        2 => forever(plan, terms),
        _ => wait(plan, terms),
    }
}
