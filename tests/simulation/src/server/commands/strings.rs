//! Strings.

use super::{SYNTAX, integer, next, word};
use crate::simulation::server::command::{Arguments, Command, Keys, READS, WRITES_MORE};
use crate::simulation::server::core::Core;
use crate::simulation::server::keyspace::Value;
use crate::simulation::server::reply::{Answer, Refusal, Reply};

pub(super) const COMMANDS: &[Command] = &[
    Command::new("get", 2, Keys::First, READS, get),
    Command::new("set", -3, Keys::First, WRITES_MORE, set),
];

fn get(core: &mut Core, arguments: &Arguments) -> Answer {
    let value = core.string(&arguments[1])?;
    Ok(value.map_or(Reply::Null, Reply::Bulk))
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "each may be there without the others"
)]
#[derive(Default)]
struct SetOptions {
    only_new: bool,
    only_old: bool,
    keeps_expiry: bool,
    answers_old: bool,
    expires: Option<u64>,
}

fn set(core: &mut Core, arguments: &Arguments) -> Answer {
    let options = set_options(arguments, core.now / 1000)?;
    let key = &arguments[1];
    let old = if options.answers_old {
        Some(core.string(key)?.map_or(Reply::Null, Reply::Bulk))
    } else {
        None
    };
    let found = core.look_up(key);
    if options.only_new && found.is_some() || options.only_old && found.is_none() {
        return Ok(old.unwrap_or(Reply::Null));
    }
    let kept = found.and_then(|stored| stored.expires);
    let expires = if options.keeps_expiry {
        kept
    } else {
        options.expires
    };
    core.put_value(key, Value::String(arguments[2].as_slice().into()), expires);
    Ok(old.unwrap_or(Reply::OK))
}

fn set_options(arguments: &Arguments, now: u64) -> Result<SetOptions, Refusal> {
    let mut options = SetOptions::default();
    let mut times = 0;
    let mut time = None;
    let mut place = 3;
    while let Some(option) = arguments.get(place) {
        match word(option).as_str() {
            "NX" => options.only_new = true,
            "XX" => options.only_old = true,
            "GET" => options.answers_old = true,
            "KEEPTTL" => {
                options.keeps_expiry = true;
                times += 1;
            }
            unit @ ("EX" | "PX" | "PXAT") => {
                time = Some((unit.to_owned(), next(arguments, &mut place)?));
                times += 1;
            }
            _ => return Err(SYNTAX),
        }
        place += 1;
    }
    if times > 1 || options.only_new && options.only_old {
        return Err(SYNTAX);
    }
    if let Some((unit, amount)) = time {
        let amount = integer(amount)?;
        let millis = match unit.as_str() {
            "EX" => amount.checked_mul(1000),
            _ => Some(amount),
        };
        let millis = millis.and_then(|millis| u64::try_from(millis).ok());
        let from = if unit == "PXAT" { 0 } else { now };
        let at = millis
            .filter(|millis| *millis > 0)
            .map(|millis| from + millis);
        let at = at.filter(|at| i64::try_from(*at).is_ok());
        options.expires = Some(at.ok_or("ERR invalid expire time in 'set' command")?);
    }
    Ok(options)
}
