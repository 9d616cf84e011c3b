//! The table of kinds.

use super::super::checker::COALESCE;
use super::super::plan::Plan;
use super::super::testimony::Terms;
use super::deeds::Deed;
use super::terms::{
    any, array, array_of_places, fenced, finish, forever, max_hold, min_hold, once_per, patient,
    permits, plain, record, renew, retries, shared, wait,
};

/// A kind of request, and what is done with it.
pub(in super::super) struct Kind {
    pub(in super::super) name: &'static str,
    /// Changes the terms of a plain request.
    pub(super) ask: fn(&Plan, Terms) -> Terms,
    pub(super) deed: Deed,
    pub(in super::super) family: Family,
    /// Not on a quorum.
    pub(in super::super) is_of_one_server: bool,
}

/// What a kind is about: not all are in each world.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Family {
    Whole,
    Places,
    Records,
    Arrays,
}

const fn kind(
    name: &'static str,
    family: Family,
    ask: fn(&Plan, Terms) -> Terms,
    deed: Deed,
) -> Kind {
    Kind {
        name,
        ask,
        deed,
        family,
        is_of_one_server: matches!(family, Family::Places | Family::Records),
    }
}

impl Kind {
    const fn of_one_server(self) -> Self {
        Self {
            is_of_one_server: true,
            ..self
        }
    }
}

pub(in super::super) static KINDS: &[Kind] = &[
    kind("plain", Family::Whole, plain, Deed::Run),
    kind("retries", Family::Whole, retries, Deed::Run),
    kind("wait", Family::Whole, wait, Deed::Run),
    kind("forever", Family::Whole, forever, Deed::Run),
    kind("renew", Family::Whole, renew, Deed::Run),
    kind("max_hold", Family::Whole, max_hold, Deed::Run),
    kind("min_hold", Family::Whole, min_hold, Deed::Run),
    kind("min_hold by hand", Family::Whole, min_hold, Deed::ByHand),
    kind("finish", Family::Whole, finish, Deed::Run),
    kind("extend", Family::Whole, wait, Deed::Extend),
    kind("drop", Family::Whole, any, Deed::DropAfterPolls),
    kind("leave", Family::Whole, any, Deed::LeaveInTime),
    kind("hand", Family::Whole, any, Deed::ByHand),
    kind("skip", Family::Whole, plain, Deed::Skip),
    kind("shutdown", Family::Whole, wait, Deed::ShutDown),
    kind(COALESCE, Family::Whole, patient, Deed::Run).of_one_server(),
    kind("fenced", Family::Whole, fenced, Deed::Run).of_one_server(),
    kind("permits", Family::Places, permits, Deed::Run),
    kind("permits by hand", Family::Places, permits, Deed::ByHand),
    kind(
        "permits, dropped",
        Family::Places,
        permits,
        Deed::DropAfterPolls,
    ),
    kind("permits, extended", Family::Places, permits, Deed::Extend),
    kind("shared", Family::Places, shared, Deed::Run),
    kind("shared by hand", Family::Places, shared, Deed::ByHand),
    kind("shared, left", Family::Places, shared, Deed::LeaveInTime),
    kind("shared, extended", Family::Places, shared, Deed::Extend),
    kind("once_per", Family::Records, once_per, Deed::Run),
    kind("once_per by hand", Family::Records, once_per, Deed::ByHand),
    kind(
        "once_per, left",
        Family::Records,
        once_per,
        Deed::LeaveInTime,
    ),
    kind("record", Family::Records, record, Deed::Run),
    kind(
        "record, dropped",
        Family::Records,
        record,
        Deed::DropAfterPolls,
    ),
    kind("array", Family::Arrays, array, Deed::Run),
    kind("array by hand", Family::Arrays, array, Deed::ByHand),
    kind(
        "array, dropped",
        Family::Arrays,
        array,
        Deed::DropAfterPolls,
    ),
    kind("array, left", Family::Arrays, array, Deed::LeaveInTime),
    kind("array, extended", Family::Arrays, array, Deed::Extend),
    kind(
        "array of places",
        Family::Arrays,
        array_of_places,
        Deed::Run,
    )
    .of_one_server(),
    kind(
        "array of places by hand",
        Family::Arrays,
        array_of_places,
        Deed::ByHand,
    )
    .of_one_server(),
];
