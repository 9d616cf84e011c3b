//! `CLIENT TRACKING`.

use super::{SYNTAX, word};
use crate::simulation::server::command::{Arguments, Command, Keys, OF_CLIENTS};
use crate::simulation::server::core::Core;
use crate::simulation::server::reply::{Answer, Reply};
use crate::simulation::server::tracking::Wishes;

pub(super) const COMMANDS: &[Command] = &[Command::new(
    "client|tracking",
    -3,
    Keys::None,
    OF_CLIENTS,
    tracking,
)];

fn tracking(core: &mut Core, arguments: &Arguments) -> Answer {
    let mut wishes = Wishes::default();
    for option in &arguments[3..] {
        match word(option).as_str() {
            "NOLOOP" => wishes.no_loop = true,
            _ => return Err(SYNTAX),
        }
    }
    core.client().tracking = match word(&arguments[2]).as_str() {
        "ON" => Some(wishes),
        "OFF" => None,
        _ => return Err(SYNTAX),
    };
    Ok(Reply::OK)
}
