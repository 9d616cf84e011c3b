//! The keys beside a lock's own.

/// What a side key's name ends with: the fencing counter's, and those that later versions keep.
const ENDINGS: [&str; 4] = [":fence", ":line", ":seats", ":last"];

/// A key beside a lock's, in parts. Each release names three: they are never put together where they
/// need not be.
#[derive(Debug, Clone, Copy)]
pub struct SideKey<'a>([&'a str; 4]);

impl SideKey<'_> {
    /// The parts, one after the other.
    #[must_use]
    pub fn parts(&self) -> [&str; 4] {
        self.0
    }

    fn whole(self) -> String {
        self.0.concat()
    }
}

/// The fencing counter's key: in the slot of the lock's, so that one script may use both.
#[must_use]
pub fn counter_key(key: &str) -> Option<String> {
    Some(side_key(key)?(":fence").whole())
}

/// The keys of a lock's line: the line, its seats, and the counter from which numbers are drawn for
/// those whom the lock is passed on to.
#[must_use]
pub fn line_keys(key: &str) -> Option<[SideKey<'_>; 3]> {
    Some([":line", ":seats", ":fence"].map(side_key(key)?))
}

/// The key of the record of a lock's runs.
#[must_use]
pub fn record_key(key: &str) -> Option<String> {
    Some(side_key(key)?(":last").whole())
}

/// What of a key decides on its slot: what stands between the first `{` and the next `}`, if anything
/// does, else the whole key (<https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>).
#[cfg(feature = "cluster")]
pub(crate) fn tag(key: &str) -> &str {
    own_tag(key).unwrap_or(key)
}

/// Makes the side key with an ending. `None` where none would be in the slot of the lock's.
fn side_key<'a>(key: &'a str) -> Option<impl Fn(&'static str) -> SideKey<'a>> {
    let [open, close] = if own_tag(key).is_some() {
        ["", ""]
    } else if key.contains('}') {
        return None;
    } else {
        ["{", "}"]
    };
    Some(move |ending| SideKey([open, key, close, ending]))
}

/// Whether a key has the form of one that is kept beside a lock's.
#[must_use]
pub fn is_side_key(key: &str) -> bool {
    let mut endings = ENDINGS.iter();
    endings.any(|ending| key.strip_suffix(ending).and_then(own_tag).is_some())
}

fn own_tag(key: &str) -> Option<&str> {
    let (_, rest) = key.split_once('{')?;
    let (tag, _) = rest.split_once('}')?;
    (!tag.is_empty()).then_some(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_in_the_slot_of_its_lock() {
        let names = [
            ("report:42", Some("{report:42}:fence")),
            ("{a}b", Some("{a}b:fence")),
            ("a{b}c{d}", Some("a{b}c{d}:fence")),
            ("a{b", Some("{a{b}:fence")),
            ("a}b", None),
            ("{}x", None),
        ];
        for (key, counter) in names {
            assert_eq!(counter_key(key).as_deref(), counter, "{key}");
            assert!(!is_side_key(key), "{key}");
            assert!(counter.is_none_or(is_side_key), "{key}");
        }
    }

    #[test]
    fn a_side_key_is_known_by_its_form() {
        for key in ["{z}:fence", "{z}:line", "a{z}b:seats", "{a{b}:last"] {
            assert!(is_side_key(key), "{key}");
        }
        for key in [
            "z:fence",
            "{}:line",
            "a}:seats",
            "{z}:lasts",
            "{z}last",
            ":fence",
        ] {
            assert!(!is_side_key(key), "{key}");
        }
    }
}
