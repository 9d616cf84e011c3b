//! The table of commands, and what is checked before one is carried out.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::LazyLock;

use super::commands;
use super::core::Core;
use super::mood::Traits;
use super::reply::{Answer, Refusal};

/// The name and the arguments.
pub(super) type Arguments = [Vec<u8>];

/// One row of the table.
pub(super) struct Command {
    /// In small letters; with the subcommand behind a `|`, if it has one.
    pub(super) name: &'static str,
    /// How many arguments it has with its name; when negative, at least so many.
    pub(super) arity: i32,
    pub(super) keys: Keys,
    pub(super) traits: Traits,
    pub(super) run: Run,
}

/// Where its keys are.
#[derive(Clone, Copy)]
pub(super) enum Keys {
    None,
    First,
    All,
    /// As many as the third argument says, behind it.
    Numbered,
}

#[derive(Clone, Copy)]
pub(super) enum Run {
    Plain(fn(&mut Core, &Arguments) -> Answer),
    /// A script, by its source or by its hash.
    Script(commands::scripting::Given),
    /// What scripts the server knows.
    Scripts(commands::scripting::About),
}

pub(super) const NO_TRAITS: Traits = Traits {
    reads: false,
    writes: false,
    needs_memory: false,
    while_loading: false,
    while_busy: false,
    outside_of_scripts: false,
};
pub(super) const READS: Traits = Traits {
    reads: true,
    ..NO_TRAITS
};
pub(super) const WRITES: Traits = Traits {
    writes: true,
    ..NO_TRAITS
};
pub(super) const WRITES_MORE: Traits = Traits {
    needs_memory: true,
    ..WRITES
};
pub(super) const ANY_TIME: Traits = Traits {
    while_loading: true,
    ..NO_TRAITS
};
/// Of connections.
pub(super) const OF_CLIENTS: Traits = Traits {
    outside_of_scripts: true,
    ..ANY_TIME
};
pub(super) const OUTSIDE: Traits = Traits {
    outside_of_scripts: true,
    ..NO_TRAITS
};
pub(super) const ALWAYS: Traits = Traits {
    while_busy: true,
    ..OF_CLIENTS
};

impl Command {
    pub(super) const fn new(
        name: &'static str,
        arity: i32,
        keys: Keys,
        traits: Traits,
        run: fn(&mut Core, &Arguments) -> Answer,
    ) -> Self {
        Self {
            name,
            arity,
            keys,
            traits,
            run: Run::Plain(run),
        }
    }

    fn takes(&self, count: usize) -> bool {
        let least = usize::try_from(self.arity.unsigned_abs()).expect("it is small");
        count == least || self.arity < 0 && count > least
    }

    pub(super) fn keys_of<'a>(
        &self,
        arguments: &'a Arguments,
    ) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let (from, count) = match self.keys {
            Keys::None => (0, 0),
            Keys::First => (1, 1),
            Keys::All => (1, usize::MAX),
            Keys::Numbered => {
                let count = arguments.get(2).and_then(|it| str::from_utf8(it).ok());
                (3, count.and_then(|it| it.parse().ok()).unwrap_or(0))
            }
        };
        arguments.iter().skip(from).take(count).map(Vec::as_slice)
    }
}

static TABLE: LazyLock<HashMap<&str, &Command>> = LazyLock::new(|| {
    let all = commands::ALL.iter().copied().flatten();
    all.map(|command| (command.name, command)).collect()
});

/// Those that are nothing without a subcommand.
const CONTAINERS: [&str; 4] = ["client", "cluster", "pubsub", "script"];

/// Why no command is found.
pub(super) enum NotFound {
    Unknown(Refusal),
    WrongNumber(Refusal),
}

/// The command that is called so, if it takes so many arguments.
pub(super) fn find(arguments: &Arguments) -> Result<&'static Command, NotFound> {
    let lower = |bytes: &[u8]| String::from_utf8_lossy(bytes).to_ascii_lowercase();
    let mut name = lower(&arguments[0]);
    if CONTAINERS.contains(&name.as_str()) {
        let Some(subcommand) = arguments.get(1) else {
            return Err(NotFound::WrongNumber(wrong_number(&name)));
        };
        let container = name.to_uppercase();
        name = format!("{name}|{}", lower(subcommand));
        if !TABLE.contains_key(name.as_str()) {
            let subcommand = String::from_utf8_lossy(subcommand);
            let words =
                format!("ERR unknown subcommand '{subcommand:.128}'. Try {container} HELP.");
            return Err(NotFound::Unknown(words.into()));
        }
    }
    let Some(command) = TABLE.get(name.as_str()) else {
        return Err(NotFound::Unknown(unknown(arguments)));
    };
    if !command.takes(arguments.len()) {
        return Err(NotFound::WrongNumber(wrong_number(&name)));
    }
    Ok(command)
}

impl From<NotFound> for Refusal {
    fn from(not_found: NotFound) -> Self {
        let (NotFound::Unknown(words) | NotFound::WrongNumber(words)) = not_found;
        words
    }
}

fn unknown(arguments: &Arguments) -> Refusal {
    let mut shown = String::new();
    for argument in &arguments[1..] {
        if shown.len() >= 128 {
            break;
        }
        let room = 128 - shown.len();
        let argument = String::from_utf8_lossy(argument);
        write!(shown, "'{argument:.room$}' ").expect("a string takes all");
    }
    let name = String::from_utf8_lossy(&arguments[0]);
    format!("ERR unknown command '{name:.128}', with args beginning with: {shown}").into()
}

pub(super) fn wrong_number(name: &str) -> Refusal {
    format!("ERR wrong number of arguments for '{name}' command").into()
}
