//! Runs that are not recorded, since something else is where their record would be kept.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// So many keys are remembered at most. Who has more such locks is told again.
const REMEMBERED: usize = 1000;

/// The keys of records that hold something else. The log hears of each once, and again only after a run
/// was recorded there in between.
#[derive(Debug, Default)]
pub(super) struct Unkept(Mutex<HashSet<String>>);

impl Unkept {
    /// The store has begun a run, and keeps its record at this key or not.
    pub(super) fn heard(&self, key: &str, is_kept: bool) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if is_kept {
            told.remove(key);
            return;
        }
        if told.contains(key) {
            return;
        }
        if told.len() >= REMEMBERED {
            told.clear();
        }
        told.insert(key.to_owned());
        drop(told);
        tracing::warn!(
            key,
            "runs are not recorded: this key, where their record would be kept, holds something \
             else; delete it if nobody needs it, or name the lock in another way"
        );
    }
}
