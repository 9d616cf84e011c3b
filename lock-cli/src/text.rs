//! Values as text for people.

use std::fmt::Write as _;
use std::time::Duration;

use redis_locked_runtime::private::shown;

use crate::lock::{Lock, Share};

/// Keys and values are others' text: no control character of theirs reaches the terminal, nothing turns
/// the direction of the text around, and what is escaped can be told from what was written so.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_control() || c == '\\' || turns_direction(c) {
            let _ = write!(plain, "{}", c.escape_default());
        } else {
            plain.push(c);
        }
    }
    plain
}

/// The marks and overrides of Unicode's bidirectional algorithm.
fn turns_direction(c: char) -> bool {
    matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
    )
}

/// A time left in a sentence.
pub(crate) fn with_left(time: Option<Duration>) -> String {
    match time {
        Some(_) => format!("with {} left", left(time)),
        None => "without an expiry".into(),
    }
}

/// A time left, short: tenths while they matter.
pub(crate) fn left(left: Option<Duration>) -> String {
    let Some(left) = left else {
        return "for ever".into();
    };
    let seconds = left.as_secs();
    match seconds {
        0..60 => format!("{}.{}s", seconds, left.subsec_millis() / 100),
        60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        3600..86_400 => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
        _ => format!("{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
    }
}

/// How many columns the terminal has, if there is one.
pub(crate) fn terminal_width() -> Option<usize> {
    let (columns, _) = ratatui::crossterm::terminal::size().ok()?;
    Some(usize::from(columns)).filter(|columns| *columns > 0)
}

/// Cut in the middle: keys differ at their ends, and so do owners.
pub(crate) fn cut(text: &str, width: usize) -> String {
    let count = text.chars().count();
    if count <= width {
        return text.to_owned();
    }
    let kept = width.saturating_sub(1);
    let tail = kept / 2;
    let head: String = text.chars().take(kept - tail).collect();
    let tail: String = text.chars().skip(count - tail).collect();
    format!("{head}…{tail}")
}

pub(crate) fn owner(lock: &Lock) -> String {
    named(lock.owner.as_deref())
}

/// An owner's name, if the value has one.
pub(crate) fn named(owner: Option<&str>) -> String {
    owner.map_or_else(|| "(foreign)".into(), shown)
}

pub(crate) fn fence(fence: Option<u64>) -> String {
    fence.map_or_else(|| "-".into(), |fence| fence.to_string())
}

pub(crate) fn waiting(waiting: Option<usize>) -> String {
    waiting.map_or_else(|| "-".into(), |waiting| waiting.to_string())
}

pub(crate) fn share(share: Share) -> String {
    format!("{}/{}", share.holding, share.of)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_cannot_play_tricks_on_the_terminal() {
        assert_eq!(plain("a\u{1b}[2Jb\nc"), "a\\u{1b}[2Jb\\nc");
        assert_eq!(plain("größe 'a' \"b\""), "größe 'a' \"b\"");
        assert_eq!(plain("a\\u{1b}"), "a\\\\u{1b}");
        for mark in ['\u{61c}', '\u{200f}', '\u{202e}', '\u{2066}'] {
            let shown = plain(&format!("a{mark}b"));
            assert_eq!(shown, format!("a\\u{{{:x}}}b", u32::from(mark)));
        }
    }

    #[test]
    fn a_time_left_is_short() {
        let text = |millis| left(Some(Duration::from_millis(millis)));
        assert_eq!(text(49), "0.0s");
        assert_eq!(text(59_999), "59.9s");
        assert_eq!(text(61_000), "1m01s");
        assert_eq!(text(3_600_000), "1h00m");
        assert_eq!(text(90_000_000), "1d01h");
        assert_eq!(left(None), "for ever");
    }
}
