//! What commands answer as values of Lua, and what scripts answer as replies.

use mlua::{Function, Lua, Table, Value};

use super::super::reply::Reply;
use super::errors;

/// Whole numbers below have at most the seventeen digits that Redis writes of any.
const SHORT: u64 = 100_000_000_000_000_000;

/// A command's argument, if it can be one.
pub(super) fn argument(lua: &Lua, value: &Value) -> mlua::Result<Option<Vec<u8>>> {
    Ok(match value {
        Value::String(text) => Some(text.as_bytes().to_vec()),
        Value::Integer(number) if number.unsigned_abs() < SHORT => {
            Some(number.to_string().into_bytes())
        }
        Value::Integer(_) | Value::Number(_) => {
            let format: Function = lua.globals().get::<Table>("string")?.get("format")?;
            let text: mlua::String = format.call(("%.17g", value))?;
            Some(text.as_bytes().to_vec())
        }
        _ => None,
    })
}

pub(super) fn value(lua: &Lua, reply: &Reply) -> mlua::Result<Value> {
    Ok(match reply {
        Reply::Status(words) => {
            let table = lua.create_table()?;
            table.raw_set("ok", words.as_ref())?;
            Value::Table(table)
        }
        Reply::Error(words) => Value::Table(errors::table(lua, words)?),
        #[expect(clippy::cast_precision_loss, reason = "Lua 5.1 has no other numbers")]
        Reply::Integer(number) => Value::Number(*number as f64),
        Reply::Double(number) => Value::String(lua.create_string(number.to_string())?),
        Reply::Bulk(bytes) => Value::String(lua.create_string(bytes)?),
        Reply::Text(text) => Value::String(lua.create_string(text)?),
        Reply::Null => Value::Boolean(false),
        Reply::Array(items) | Reply::Push(items) => {
            let items = items.iter().map(|item| value(lua, item));
            let items = items.collect::<mlua::Result<Vec<_>>>()?;
            Value::Table(lua.create_sequence_from(items)?)
        }
        Reply::Map(fields) => {
            let table = lua.create_table()?;
            for (name, field) in fields {
                table.raw_push(*name)?;
                table.raw_push(value(lua, field)?)?;
            }
            Value::Table(table)
        }
    })
}

pub(super) fn reply(value: &Value) -> mlua::Result<Reply> {
    Ok(match value {
        Value::String(text) => Reply::bulk(text.as_bytes()),
        Value::Integer(number) => Reply::Integer(*number),
        #[expect(clippy::cast_possible_truncation, reason = "as Redis does it")]
        Value::Number(number) => Reply::Integer(*number as i64),
        Value::Boolean(true) => Reply::Integer(1),
        Value::Table(table) => {
            if let Value::String(words) = table.raw_get("err")? {
                return Ok(Reply::Error(words.as_bytes().to_vec()));
            }
            if let Value::String(words) = table.raw_get("ok")? {
                return Ok(Reply::Status(words.to_string_lossy().into()));
            }
            let mut items = Vec::new();
            loop {
                match table.raw_get(items.len() + 1)? {
                    Value::Nil => return Ok(Reply::Array(items)),
                    item => items.push(reply(&item)?),
                }
            }
        }
        _ => Reply::Null,
    })
}
