//! How a key is held: alone, or by several.

/// What a request wants of its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The whole key, alone.
    Exclusive,
    /// One of the key's places, as long as fewer than so many are taken.
    Permits(u32),
    /// A place beside all others that are shared, however many.
    Shared,
}

impl Kind {
    /// What stands behind the token in a value of this kind.
    pub(crate) fn letter(self) -> &'static str {
        match self {
            Self::Exclusive => "",
            Self::Permits(_) => "p",
            Self::Shared => "s",
        }
    }

    /// Whether one of this kind may have the key while one of the other has it.
    pub(crate) fn stands_beside(self, other: Self) -> bool {
        matches!(
            (self, other),
            (Self::Permits(_), Self::Permits(_)) | (Self::Shared, Self::Shared)
        )
    }

    /// Whether one who waits for this may be given what a holder of the other has, as it is.
    ///
    /// A permit goes to one who asked for the same number only: nobody counts when it is passed on.
    /// A shared place goes to nobody: who waits for one waits behind somebody who comes first.
    pub(crate) fn takes_over(self, other: Self) -> bool {
        self == other && self != Self::Shared
    }
}

#[cfg(test)]
mod tests {
    use super::Kind::{Exclusive, Permits, Shared};

    #[test]
    fn kinds_never_mix() {
        let all = [Exclusive, Permits(2), Permits(3), Shared];
        for one in all {
            for other in all {
                let beside = one.letter() == other.letter() && one != Exclusive;
                assert_eq!(one.stands_beside(other), beside, "{one:?}, {other:?}");
                let taken_over = one == other && one != Shared;
                assert_eq!(one.takes_over(other), taken_over, "{one:?}, {other:?}");
            }
        }
    }
}
