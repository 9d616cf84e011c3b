//! What callers do: the kinds of requests, each a row of [`KINDS`]. What is promised of a kind is a rule in
//! the checker.

mod body;
mod caller;
mod deeds;
mod errand;
mod kinds;
mod recorded;
mod terms;

pub(super) use caller::Caller;
pub(super) use kinds::{Family, KINDS, Kind};
