//! The keys of a request.

use std::borrow::Cow;
use std::slice;

use crate::error::LockError;

/// Who needs more has to lock something larger: each key is a command of its own.
const MOST_KEYS: usize = 64;

#[derive(Debug)]
pub(super) enum Keys {
    One(String),
    /// Several, or what duplicates have left of them.
    Array(Vec<String>),
}

impl Keys {
    /// In the order of their bytes, each once: of two who ask for the same keys in this order, neither has one that
    /// the other needs next.
    pub(super) fn array(mut keys: Vec<String>) -> Self {
        keys.sort_unstable();
        keys.dedup();
        Self::Array(keys)
    }

    pub(super) fn is_array(&self) -> bool {
        matches!(self, Self::Array(_))
    }

    fn all(&self) -> &[String] {
        match self {
            Self::One(key) => slice::from_ref(key),
            Self::Array(keys) => keys,
        }
    }

    /// What errors are about that concern all.
    pub(super) fn first(&self) -> &str {
        self.all().first().map_or("", String::as_str)
    }

    pub(super) fn others(&self) -> &[String] {
        self.all().get(1..).unwrap_or_default()
    }

    /// All, with commas between.
    pub(super) fn shown(&self) -> Cow<'_, str> {
        match self {
            Self::One(key) => key.into(),
            Self::Array(keys) => keys.join(",").into(),
        }
    }

    pub(super) fn check(&self) -> Result<(), LockError> {
        match self.all().len() {
            0 => Err(LockError::nameless(
                "nothing was asked for: a request for several keys names none; name what is locked",
            )),
            1..=MOST_KEYS => Ok(()),
            count => Err(LockError::invalid(
                self.first(),
                format!(
                    "it is one of {count} keys, and {MOST_KEYS} can be locked at once; lock fewer, or one key that \
                     stands for all"
                ),
            )),
        }
    }
}
