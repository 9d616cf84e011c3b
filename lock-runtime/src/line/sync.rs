//! What `lines` locks with; the trial of all orders brings its own.

pub(super) use std::sync::Mutex;
