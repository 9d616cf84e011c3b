//! Hashes.

use std::rc::Rc;

use crate::simulation::server::command::{
    Arguments, Command, Keys, READS, WRITES, WRITES_MORE, wrong_number,
};
use crate::simulation::server::core::{Core, WRONG_TYPE};
use crate::simulation::server::keyspace::{Bytes, Fields, Value};
use crate::simulation::server::reply::{Answer, Refusal, Reply};

pub(super) const COMMANDS: &[Command] = &[
    Command::new("hdel", -3, Keys::First, WRITES, delete),
    Command::new("hget", 3, Keys::First, READS, get),
    Command::new("hmget", -3, Keys::First, READS, get_many),
    Command::new("hset", -4, Keys::First, WRITES_MORE, set),
];

/// The fields of a hash, and when it expires.
fn hash(core: &mut Core, key: &[u8]) -> Result<(Rc<Fields>, Option<u64>), Refusal> {
    match core.look_up(key) {
        None => Ok((Rc::default(), None)),
        Some(stored) => match &stored.value {
            Value::Hash(fields) => Ok((Rc::clone(fields), stored.expires)),
            _ => Err(WRONG_TYPE.into()),
        },
    }
}

fn get(core: &mut Core, arguments: &Arguments) -> Answer {
    let (fields, _) = hash(core, &arguments[1])?;
    let value = fields.get(arguments[2].as_slice());
    Ok(value.map_or(Reply::Null, |value| Reply::Bulk(Bytes::clone(value))))
}

fn get_many(core: &mut Core, arguments: &Arguments) -> Answer {
    let (fields, _) = hash(core, &arguments[1])?;
    let value = |name: &Vec<u8>| {
        let value = fields.get(name.as_slice());
        value.map_or(Reply::Null, |value| Reply::Bulk(Bytes::clone(value)))
    };
    Ok(Reply::Array(arguments[2..].iter().map(value).collect()))
}

fn delete(core: &mut Core, arguments: &Arguments) -> Answer {
    let (mut fields, expires) = hash(core, &arguments[1])?;
    let before = fields.len();
    Rc::make_mut(&mut fields).retain(|name, _| !arguments[2..].iter().any(|gone| **gone == **name));
    let gone = before - fields.len();
    if fields.is_empty() && gone > 0 {
        core.put(&arguments[1], None);
    } else if gone > 0 {
        core.put_value(&arguments[1], Value::Hash(fields), expires);
    }
    Ok(Reply::Integer(i64::try_from(gone).expect("it is small")))
}

fn set(core: &mut Core, arguments: &Arguments) -> Answer {
    let (pairs, []) = arguments[2..].as_chunks() else {
        return Err(wrong_number("hset"));
    };
    let (mut fields, expires) = hash(core, &arguments[1])?;
    let before = fields.len();
    let changed = Rc::make_mut(&mut fields);
    for [name, value] in pairs {
        changed.insert(name.as_slice().into(), value.as_slice().into());
    }
    let added = changed.len() - before;
    core.put_value(&arguments[1], Value::Hash(fields), expires);
    Ok(Reply::Integer(i64::try_from(added).expect("it is small")))
}
