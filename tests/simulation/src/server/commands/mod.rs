//! The commands, a file for each kind. What is in `ALL` is in the table.
#![expect(
    clippy::unnecessary_wraps,
    reason = "a command that can't fail has the form of all others"
)]

mod channels;
mod connection;
mod expiry;
mod hashes;
mod keys;
pub(super) mod scripting;
mod server;
mod sorted_sets;
mod strings;
mod tracking;

use super::command::{Arguments, Command};
use super::reply::Refusal;

pub(super) const ALL: &[&[Command]] = &[
    channels::COMMANDS,
    connection::COMMANDS,
    expiry::COMMANDS,
    hashes::COMMANDS,
    keys::COMMANDS,
    scripting::COMMANDS,
    server::COMMANDS,
    sorted_sets::COMMANDS,
    strings::COMMANDS,
    tracking::COMMANDS,
];

const SYNTAX: Refusal = Refusal::Borrowed("ERR syntax error");
const NOT_AN_INTEGER: Refusal = Refusal::Borrowed("ERR value is not an integer or out of range");

/// As Redis reads numbers: nothing before, nothing behind, no plus and no zeros in front.
fn integer(bytes: &[u8]) -> Result<i64, Refusal> {
    let text = str::from_utf8(bytes).map_err(|_| NOT_AN_INTEGER)?;
    let number: i64 = text.parse().map_err(|_| NOT_AN_INTEGER)?;
    if number.to_string() == text {
        Ok(number)
    } else {
        Err(NOT_AN_INTEGER)
    }
}

/// An option, in capitals.
fn word(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).to_ascii_uppercase()
}

/// The argument behind the one at this place.
fn next<'a>(arguments: &'a Arguments, place: &mut usize) -> Result<&'a [u8], Refusal> {
    *place += 1;
    arguments.get(*place).map(Vec::as_slice).ok_or(SYNTAX)
}
