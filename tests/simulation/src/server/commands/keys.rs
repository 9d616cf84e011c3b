//! Keys of every type.

use crate::simulation::server::command::{Arguments, Command, Keys, READS, WRITES};
use crate::simulation::server::core::Core;
use crate::simulation::server::reply::{Answer, Reply};

pub(super) const COMMANDS: &[Command] = &[
    Command::new("del", -2, Keys::All, WRITES, del),
    Command::new("unlink", -2, Keys::All, WRITES, del),
    Command::new("exists", -2, Keys::All, READS, exists),
    Command::new("type", 2, Keys::First, READS, kind),
];

fn del(core: &mut Core, arguments: &Arguments) -> Answer {
    let mut count = 0;
    for key in &arguments[1..] {
        if core.look_up(key).is_some() {
            core.put(key, None);
            count += 1;
        }
    }
    Ok(Reply::Integer(count))
}

fn exists(core: &mut Core, arguments: &Arguments) -> Answer {
    let mut count = 0;
    for key in &arguments[1..] {
        count += i64::from(core.look_up(key).is_some());
    }
    Ok(Reply::Integer(count))
}

fn kind(core: &mut Core, arguments: &Arguments) -> Answer {
    let found = core.look_up(&arguments[1]);
    let kind = found.map_or("none", |stored| stored.value.kind());
    Ok(Reply::Status(kind.into()))
}
