//! The locks of loom, which tries every order in which they can be taken.

pub(super) use loom::sync::{Mutex, MutexGuard};
