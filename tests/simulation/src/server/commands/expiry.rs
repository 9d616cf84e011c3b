//! When keys expire.

use super::{integer, word};
use crate::simulation::server::command::{Arguments, Command, Keys, READS, WRITES};
use crate::simulation::server::core::Core;
use crate::simulation::server::keyspace::Stored;
use crate::simulation::server::reply::{Answer, Refusal, Reply};

pub(super) const COMMANDS: &[Command] = &[
    Command::new("pttl", 2, Keys::First, READS, |core, arguments| {
        left(core, arguments, 1)
    }),
    Command::new("ttl", 2, Keys::First, READS, |core, arguments| {
        left(core, arguments, 1000)
    }),
    Command::new("pexpire", -3, Keys::First, WRITES, |core, arguments| {
        expire(core, arguments, "pexpire", 1)
    }),
    Command::new("expire", -3, Keys::First, WRITES, |core, arguments| {
        expire(core, arguments, "expire", 1000)
    }),
    Command::new("pexpireat", -3, Keys::First, WRITES, |core, arguments| {
        let conditions = Conditions::of(&arguments[3..])?;
        let at = integer(&arguments[2])?;
        expire_at(core, &arguments[1], at, &conditions)
    }),
    Command::new("persist", 2, Keys::First, WRITES, persist),
];

fn left(core: &mut Core, arguments: &Arguments, unit: u64) -> Answer {
    let now = core.now / 1000;
    Ok(Reply::Integer(match core.look_up(&arguments[1]) {
        None => -2,
        Some(Stored { expires: None, .. }) => -1,
        Some(Stored {
            expires: Some(expires),
            ..
        }) => {
            let left = expires.saturating_sub(now);
            ((left + unit / 2) / unit).cast_signed()
        }
    }))
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "each may be there without the others"
)]
#[derive(Default)]
struct Conditions {
    none_yet: bool,
    one_already: bool,
    later: bool,
    earlier: bool,
}

impl Conditions {
    fn of(options: &Arguments) -> Result<Self, Refusal> {
        let mut found = Self::default();
        for option in options {
            match word(option).as_str() {
                "NX" => found.none_yet = true,
                "XX" => found.one_already = true,
                "GT" => found.later = true,
                "LT" => found.earlier = true,
                _ => {
                    let option = String::from_utf8_lossy(option);
                    return Err(format!("ERR Unsupported option {option}").into());
                }
            }
        }
        if found.none_yet && (found.one_already || found.later || found.earlier) {
            let words = "ERR NX and XX, GT or LT options at the same time are not compatible";
            return Err(words.into());
        }
        if found.later && found.earlier {
            return Err("ERR GT and LT options at the same time are not compatible".into());
        }
        Ok(found)
    }

    fn allow(&self, before: Option<u64>, after: i64) -> bool {
        let is_later = before.is_some_and(|before| after > before.cast_signed());
        let is_earlier = before.is_none_or(|before| after < before.cast_signed());
        !(self.none_yet && before.is_some()
            || self.one_already && before.is_none()
            || self.later && !is_later
            || self.earlier && !is_earlier)
    }
}

fn expire(core: &mut Core, arguments: &Arguments, name: &str, unit: i64) -> Answer {
    let conditions = Conditions::of(&arguments[3..])?;
    let now = (core.now / 1000).cast_signed();
    let amount = integer(&arguments[2])?.checked_mul(unit);
    let Some(at) = amount.and_then(|amount| amount.checked_add(now)) else {
        return Err(format!("ERR invalid expire time in '{name}' command").into());
    };
    expire_at(core, &arguments[1], at, &conditions)
}

fn expire_at(core: &mut Core, key: &[u8], at: i64, conditions: &Conditions) -> Answer {
    let now = (core.now / 1000).cast_signed();
    let Some(stored) = core.look_up(key).cloned() else {
        return Ok(Reply::Integer(0));
    };
    if !conditions.allow(stored.expires, at) {
        return Ok(Reply::Integer(0));
    }
    let expires = u64::try_from(at).ok().filter(|_| at > now);
    let after = expires.map(|at| Stored {
        expires: Some(at),
        ..stored
    });
    core.put(key, after);
    Ok(Reply::Integer(1))
}

fn persist(core: &mut Core, arguments: &Arguments) -> Answer {
    let key = &arguments[1];
    let stored = core.look_up(key).cloned();
    let Some(stored) = stored.filter(|stored| stored.expires.is_some()) else {
        return Ok(Reply::Integer(0));
    };
    core.put_value(key, stored.value, None);
    Ok(Reply::Integer(1))
}
