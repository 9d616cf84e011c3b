//! What `lines` locks with; `tests/lines` brings its own.

pub(super) use std::sync::{Mutex, MutexGuard};
