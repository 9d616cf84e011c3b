//! The table of kinds.

use futures_util::future::BoxFuture;

use super::super::chance::between;
use super::super::plan::Plan;
use super::super::testimony::{Patience, Terms};
use super::caller::Caller;
use super::deeds;

/// A kind of request, and what is done with it.
pub(in super::super) struct Kind {
    pub(in super::super) name: &'static str,
    /// Changes the terms of a plain request.
    pub(super) ask: fn(&Plan, Terms) -> Terms,
    pub(super) deed: fn(Caller, usize, Terms) -> BoxFuture<'static, ()>,
    /// Not on a quorum.
    pub(in super::super) is_numbered: bool,
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
        ..kind("fenced", fenced, |caller, key, terms| {
            Box::pin(deeds::run(caller, key, terms))
        })
    },
];

fn retries(_: &Plan, terms: Terms) -> Terms {
    let patience = Patience::Retries(between(1..=5));
    Terms { patience, ..terms }
}

fn wait(plan: &Plan, terms: Terms) -> Terms {
    let patience = Patience::Wait(between(0..=plan.longest_wait));
    Terms { patience, ..terms }
}

fn forever(_: &Plan, terms: Terms) -> Terms {
    let patience = Patience::Forever;
    Terms { patience, ..terms }
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
