//! Critical sections as several processes recorded them in one file, and whether they exclude one
//! another.
//!
//! A line is `begin|extend|end key fence holder time_ns [deadline_ns]`. A begin has a deadline, an
//! extension a later one. Times are those of [`monotonic_ns`].

mod check;
mod journal;

pub use check::{Section, Summary, Violation, check};
pub use journal::{Entry, Journal};

#[cfg(doc)]
use crate::clock::monotonic_ns;
