//! Who has a key that is not ours.

use std::time::Duration;

/// Who has a key that is not ours.
#[derive(Debug, Clone)]
pub(crate) struct Holder {
    /// The owner's name, fit to be shown, or the names of several; `None` when the key holds what this
    /// library did not write.
    pub(crate) owner: Option<String>,
    /// How many have places of the key; 0 when it is held by one alone.
    pub(crate) places: u32,
    /// How long the key still lives, or until there could be room; `None` when it has no expiry.
    pub(crate) left: Option<Duration>,
    /// Whether the key's alert rings when it is freed.
    pub(crate) rings: bool,
    /// Our seat in the store's line.
    pub(crate) seat: Option<Seat>,
    /// How many others wait in the store's line, where that is known.
    pub(crate) waiting: Option<u64>,
    /// One who waits will run after this was asked, so that who coalesces need not.
    pub(crate) is_owed: bool,
}

/// A place in the store's line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seat {
    /// How many are before it.
    pub(crate) rank: u64,
    /// What names the place.
    pub(crate) place: u64,
    /// We had none, or had lost it.
    pub(crate) is_new: bool,
    /// The key is left to those who are in no line, for so long.
    pub(crate) open: Option<Duration>,
    /// How long the seat, and then a lock that is passed on to it, may last unseen.
    pub(crate) lasts: Duration,
}

impl Holder {
    /// One of whom nothing more is known.
    pub(crate) fn new(owner: Option<String>, left: Option<Duration>) -> Self {
        Self {
            owner,
            places: 0,
            left,
            rings: false,
            seat: None,
            waiting: None,
            is_owed: false,
        }
    }

    /// So many who have places of a key, of whom these are some.
    pub(crate) fn of_places(
        count: u32,
        some: impl IntoIterator<Item = String>,
        left: Option<Duration>,
    ) -> Self {
        Self {
            places: count,
            ..Self::new(names(count, some), left)
        }
    }

    /// Whether several may have the key.
    pub(crate) fn are_several(&self) -> bool {
        self.places > 0
    }
}

/// The names of these, who are some of so many.
fn names(count: u32, some: impl IntoIterator<Item = String>) -> Option<String> {
    let mut named: Vec<(String, u32)> = Vec::new();
    let mut more = count;
    for name in some {
        more = more.saturating_sub(1);
        match named.iter_mut().find(|(known, _)| *known == name) {
            Some((_, places)) => *places += 1,
            None => named.push((name, 1)),
        }
    }
    let mut parts: Vec<_> = named
        .into_iter()
        .map(|(name, places)| match places {
            1 => name,
            _ => format!("{name} ({places} places)"),
        })
        .collect();
    if more > 0 && !parts.is_empty() {
        parts.push(format!("{more} more"));
    }
    let last = parts.pop()?;
    Some(if parts.is_empty() {
        last
    } else {
        format!("{} and {last}", parts.join(", "))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(count: u32, some: &[&str]) -> Option<String> {
        names(count, some.iter().map(|name| (*name).to_owned()))
    }

    #[test]
    fn holders_are_named_once_each_and_the_rest_is_counted() {
        for (count, some, text) in [
            (1, &["a"][..], "a"),
            (2, &["a", "b"], "a and b"),
            (3, &["a", "b", "c"], "a, b and c"),
            (7, &["a", "b", "c"], "a, b, c and 4 more"),
            (3, &["a", "a", "a"], "a (3 places)"),
            (5, &["a", "b", "a"], "a (2 places), b and 2 more"),
        ] {
            assert_eq!(named(count, some).as_deref(), Some(text));
        }
        assert_eq!(named(2, &[]), None);
    }
}
