//! Patterns for names: `*` stands for any text, `?` for one character.

/// Whether the pattern stands for the whole text.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<_>, Vec<_>) = (pattern.chars().collect(), text.chars().collect());
    let (mut at, mut seen) = (0, 0);
    // Where the last star stands, and how much of the text it stands for so far.
    let mut star: Option<(usize, usize)> = None;
    while seen < text.len() {
        match (pattern.get(at), star) {
            (Some('*'), _) => {
                star = Some((at, seen));
                at += 1;
            }
            (Some(c), _) if *c == '?' || *c == text[seen] => {
                at += 1;
                seen += 1;
            }
            (_, Some((place, end))) => {
                star = Some((place, end + 1));
                at = place + 1;
                seen = end + 1;
            }
            (_, None) => return false,
        }
    }
    pattern[at..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn a_pattern_stands_for_the_whole_name() {
        for (pattern, text) in [
            ("web-1:*", "web-1:812"),
            ("web-1:*", "web-1:"),
            ("*", ""),
            ("web-?:*", "web-3:8"),
            ("*:8*2", "web-1:8122"),
            ("größe", "größe"),
            ("**a", "bca"),
        ] {
            assert!(matches(pattern, text), "{pattern} {text}");
        }
        for (pattern, text) in [
            ("web-1:*", "web-11:812"),
            ("web-1", "web-1:812"),
            ("", "a"),
            ("?", ""),
            ("*:8*2", "web-1:8123"),
            ("[ab]", "a"),
        ] {
            assert!(!matches(pattern, text), "{pattern} {text}");
        }
    }
}
