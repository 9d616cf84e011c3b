//! What callers do: the kinds of requests, each a row.
//!
//! The next kind (keys in arrays) is one more row of
//! [`KINDS`], and what is promised of it one more rule in the checker.

mod body;
mod caller;
mod deeds;
mod kinds;
mod recorded;

pub(super) use caller::Caller;
pub(super) use kinds::{Family, KINDS, Kind};
