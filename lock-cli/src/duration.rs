//! Durations as options give them.

use std::time::Duration;

/// A duration in humantime's form.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write 500ms, 30s or 1m 30s"))
}

/// A duration over zero.
pub(crate) fn positive(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("it is zero; give more".into()),
        more => Ok(more),
    }
}
