//! How scripts are given to the server; [`super::super::lua`] runs them.

use super::{NOT_AN_INTEGER, integer};
use crate::simulation::server::command::{Arguments, Command, Keys, NO_TRAITS, OUTSIDE, Run};
use crate::simulation::server::mood::Traits;
use crate::simulation::server::reply::Refusal;

/// What names a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::simulation::server) enum Given {
    Source,
    Hash,
}

/// What the server is asked of its scripts.
#[derive(Debug, Clone, Copy)]
pub(in crate::simulation::server) enum About {
    Load,
    Exists,
    Flush,
}

pub(super) const COMMANDS: &[Command] = &[
    scripting("eval", -3, Keys::Numbered, Run::Script(Given::Source)),
    scripting("evalsha", -3, Keys::Numbered, Run::Script(Given::Hash)),
    scripting("script|load", 3, Keys::None, Run::Scripts(About::Load)),
    scripting("script|exists", -3, Keys::None, Run::Scripts(About::Exists)),
    scripting("script|flush", -2, Keys::None, Run::Scripts(About::Flush)),
    Command {
        traits: Traits {
            while_busy: true,
            ..OUTSIDE
        },
        ..Command::new("script|kill", 2, Keys::None, NO_TRAITS, |_, _| {
            Err("NOTBUSY No scripts in execution right now.".into())
        })
    },
];

const fn scripting(name: &'static str, arity: i32, keys: Keys, run: Run) -> Command {
    Command {
        name,
        arity,
        keys,
        traits: OUTSIDE,
        run,
    }
}

/// The keys and the other arguments of a script.
pub(in crate::simulation::server) fn parts(
    arguments: &Arguments,
) -> Result<(&Arguments, &Arguments), Refusal> {
    let count = integer(&arguments[2]).map_err(|_| NOT_AN_INTEGER)?;
    let count = usize::try_from(count).map_err(|_| "ERR Number of keys can't be negative")?;
    let parts = arguments[3..].split_at_checked(count);
    parts.ok_or_else(|| "ERR Number of keys can't be greater than number of args".into())
}
