//! What is wrong with the command line, and how it is mended: in one line, in the tool's own words.

use std::error::Error as _;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, Error};

use crate::exit::{Failure, USAGE};
use crate::options::Cli;

/// Says what is wrong, or shows the help that was asked for.
pub(crate) fn answer(error: &Error) -> Failure {
    let is_help = error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand;
    if is_help || !error.use_stderr() {
        // A reader that has gone is no failure.
        let _ = error.print();
        return Failure::new(if is_help { USAGE } else { 0 }, "");
    }
    let command = std::env::args().nth(1).unwrap_or_default();
    let help = match command.as_str() {
        known @ ("list" | "show" | "watch" | "break" | "run" | "last" | "hold" | "unhold"
        | "forget") => {
            format!("see `redis-locked {known} --help`")
        }
        _ => "see `redis-locked --help`".to_owned(),
    };
    let mend = mend(error, &command);
    if mend.ends_with('?') {
        return Failure::usage(format_args!("{mend} Or {help}"));
    }
    Failure::usage(format_args!("{mend}; {help}"))
}

fn mend(error: &Error, command: &str) -> String {
    let told = |kind| error.get(kind).map(words).unwrap_or_default();
    let (found, value) = (
        told(ContextKind::InvalidArg),
        told(ContextKind::InvalidValue),
    );
    match error.kind() {
        ErrorKind::UnknownArgument if command == "run" && !found.starts_with('-') => format!(
            "{found:?} is no option: write `--` before the command, as in `redis-locked run … -- {found}`"
        ),
        ErrorKind::UnknownArgument if is_of_a_command(&found) && command.starts_with('-') => {
            format!("{found} stands behind the command, as in `redis-locked list {found} …`")
        }
        ErrorKind::UnknownArgument => match nearest(&found, command) {
            None => format!("there is no option or argument {found:?}"),
            Some(near) => format!("there is no option {found}; did you mean --{near}?"),
        },
        ErrorKind::InvalidSubcommand => {
            let found = told(ContextKind::InvalidSubcommand);
            match told(ContextKind::SuggestedSubcommand) {
                near if near.is_empty() => format!("there is no command {found:?}"),
                near => {
                    let near = near.replace(", ", "` or `");
                    format!("there is no command {found:?}; did you mean `{near}`?")
                }
            }
        }
        ErrorKind::MissingRequiredArgument => match (command, found.as_str()) {
            ("break", "--owner") => "give --owner or --token".to_owned(),
            ("break", _) => {
                "give a key with --owner or --token, or --owner alone to free all locks of an owner"
                    .to_owned()
            }
            ("run", "--renew") => "--max-hold needs --renew".to_owned(),
            _ => format!("give {found}"),
        },
        ErrorKind::ArgumentConflict => format!(
            "{found} and {} exclude each other: give one of them",
            told(ContextKind::PriorArg)
        ),
        ErrorKind::InvalidValue if value.is_empty() => {
            let whole = error.get(ContextKind::InvalidArg).map(ToString::to_string);
            format!("{found} needs a value: {}", whole.unwrap_or_default())
        }
        ErrorKind::InvalidValue => format!(
            "{found} is none of {}: {value:?}",
            told(ContextKind::ValidValue)
        ),
        ErrorKind::ValueValidation => {
            let why = error.source().map_or_else(String::new, ToString::to_string);
            let why = match why.as_str() {
                "invalid digit found in string" => "it is no whole number; give one, such as 3",
                why => why,
            };
            format!("{found} {value:?}: {why}")
        }
        _ => first_line(error),
    }
}

/// Whether each command that asks servers has this option.
fn is_of_a_command(found: &str) -> bool {
    let tool = Cli::command();
    let list = tool.find_subcommand("list");
    let mut options = list.into_iter().flat_map(clap::Command::get_arguments);
    let name = found.strip_prefix("--");
    name.is_some() && options.any(|option| option.get_long() == name)
}

/// The option of the command whose name is nearest to what was written.
fn nearest(found: &str, command: &str) -> Option<String> {
    let found = found.strip_prefix("--")?;
    let tool = Cli::command();
    let options = tool.find_subcommand(command)?.get_arguments();
    let names = options.filter_map(|option| option.get_long());
    let distances = names.map(|name| (strsim::osa_distance(found, name), name));
    let near = distances.filter(|(distance, name)| *distance <= name.len().div_ceil(3));
    near.min().map(|(_, name)| name.to_owned())
}

/// Names of options without their values' names.
fn words(value: &ContextValue) -> String {
    let name = |name: &String| {
        let name = name.replace("[--] ", "").replace("...", "");
        match name.split_once(" <") {
            Some((option, _)) if option.starts_with('-') => option.to_owned(),
            _ if name == "<COMMAND>" => "`--` and a command".to_owned(),
            _ => name,
        }
    };
    match value {
        ContextValue::String(text) => name(text),
        ContextValue::Strings(texts) => {
            let texts: Vec<_> = texts.iter().map(name).collect();
            texts.join(", ")
        }
        other => other.to_string(),
    }
}

fn first_line(error: &Error) -> String {
    let text = error.render().to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}
