//! What an attempt to acquire finds at the key.

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// Our value already.
    Ours,
    /// Nothing, or another's value.
    NotOurs,
}

/// The number, if one was drawn, and what was found at the key.
pub(super) type Drawn = (Option<u64>, Found);
