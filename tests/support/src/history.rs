//! Critical sections as several processes recorded them in one file, and whether they exclude one
//! another.
//!
//! A line is `begin|extend|end key fence holder time_ns [deadline_ns [kind]]`. A begin has a deadline, an
//! extension a later one. The kind is `s` for a section that is shared, `p3` for one of three permits. Times are those of [`monotonic_ns`]. Who wants the order to be judged, too, writes
//! `came key fence holder time_ns token` before the begin.

mod check;
mod journal;
mod order;

pub use check::{Kind, Section, Summary, Violation, check};
pub use journal::{Entry, Journal};
pub use order::{Visit, out_of_turn, seated, visits};

#[cfg(doc)]
use crate::clock::monotonic_ns;
