//! The line of this process's callers, one per key, first come first served.
//!
//! A data structure that knows nothing of locks: `lines` is built by itself, too, where every order
//! of what threads may do is tried (`tests/lines`).

use crate::kind;

mod lines;
mod sync;
#[cfg(test)]
mod tests;

pub(crate) use lines::{Before, Instruction, Lines, Ticket};
