//! The value of a lock's key: how one of ours is told from what others wrote.

use crate::kind::Kind;
use crate::token::{TOKEN_LEN, is_token};

/// What stands before the value of a key that was released and is kept.
pub(crate) const KEPT: char = '~';

/// Of an owner, no more characters are shown than this.
const SHOWN: usize = 100;

/// The token and the owner of a value that this library wrote.
#[must_use]
pub fn token_and_owner(value: &str) -> Option<(&str, &str)> {
    let value = value.strip_prefix(KEPT).unwrap_or(value);
    let (token, owner) = value.split_once(';')?;
    let token = place_of(token).map_or(token, |(token, _)| token);
    (is_token(token) && !owner.is_empty()).then_some((token, owner))
}

/// The token in front of the letter that says of a place what it is, and that letter.
fn place_of(token: &str) -> Option<(&str, &str)> {
    let (token, letter) = token.split_at_checked(TOKEN_LEN)?;
    matches!(letter, "p" | "s").then_some((token, letter))
}

/// What a value of this library has, or wants: for giving it back, where the number of permits does
/// not matter.
pub(crate) fn kind_of(value: &str) -> Kind {
    let token = value.split_once(';').map_or("", |(token, _)| token);
    match place_of(token) {
        Some((_, "p")) => Kind::Permits(1),
        Some(_) => Kind::Shared,
        None => Kind::Exclusive,
    }
}

/// The owner of a value that this library wrote, fit for an error, a log or a terminal.
pub(crate) fn owner_of(value: &str) -> Option<String> {
    token_and_owner(value).map(|(_, owner)| shown(owner))
}

/// An owner as it is shown: on one line, without tricks, and not too long.
#[must_use]
pub fn shown(owner: &str) -> String {
    let mut rest = owner.escape_debug();
    let mut shown: String = rest.by_ref().take(SHOWN).collect();
    if rest.next().is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "abcdefghij-_ABCDEFGHIJ";

    #[test]
    fn only_values_of_the_library_are_ours() {
        let value = format!("{TOKEN};web-3:812");
        assert_eq!(token_and_owner(&value), Some((TOKEN, "web-3:812")));
        for letter in ["p", "s"] {
            let value = format!("{TOKEN}{letter};web-3:812");
            assert_eq!(token_and_owner(&value), Some((TOKEN, "web-3:812")));
        }
        let value = format!("~{TOKEN};a;b");
        assert_eq!(token_and_owner(&value), Some((TOKEN, "a;b")));
        for foreign in [
            "",
            ";",
            "~",
            "x;web",
            "~~abcdefghij-_ABCDEFGHIJ;web",
            TOKEN,
            "abcdefghij-_ABCDEFGHIJ;",
            "abcdefghij-_ABCDEFGHI+;web",
            "abcdefghij-_ABCDEFGHIJK;web",
        ] {
            assert_eq!(token_and_owner(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn a_value_says_what_it_has() {
        assert_eq!(kind_of(&format!("{TOKEN};me")), Kind::Exclusive);
        assert_eq!(kind_of(&format!("{TOKEN}p;me")), Kind::Permits(1));
        assert_eq!(kind_of(&format!("{TOKEN}s;me")), Kind::Shared);
    }

    #[test]
    fn an_owner_is_shown_escaped_and_not_too_long() {
        assert_eq!(shown("größe:812"), "größe:812");
        assert_eq!(shown("a\u{1b}[2J\nb\u{202e}"), "a\\u{1b}[2J\\nb\\u{202e}");
        assert_eq!(shown(&"ß".repeat(100)), "ß".repeat(100));
        let cut = shown(&"\u{1f512}".repeat(10_000));
        assert_eq!(cut, "\u{1f512}".repeat(100) + "…");
    }
}
