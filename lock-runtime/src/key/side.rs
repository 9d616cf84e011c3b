//! The keys beside a lock's own.

/// The fencing counter's key: in the slot of the lock's, so that one script may use both.
///
/// Redis hashes what stands between the first `{` and the next `}`, if anything does, else the
/// whole key (<https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>).
#[must_use]
pub fn counter_key(key: &str) -> Option<String> {
    let has_tag = key.find('{').is_some_and(|open| {
        let end = key[open + 1..].find('}');
        end.is_some_and(|length| length > 0)
    });
    if has_tag {
        Some(format!("{key}:fence"))
    } else if key.contains('}') {
        None
    } else {
        Some(format!("{{{key}}}:fence"))
    }
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
        }
    }
}
