//! What commands answer as values of Lua, and what scripts answer as replies.

use mlua::{Lua, Value};

use super::super::reply::Reply;
use super::errors;

/// Beyond these, not every whole number is one of Lua's.
const WHOLE: f64 = 9_007_199_254_740_992.0;

/// A command's argument.
pub(super) fn argument(value: &Value) -> Option<Vec<u8>> {
    match value {
        Value::String(text) => Some(text.as_bytes().to_vec()),
        Value::Integer(number) => Some(number.to_string().into_bytes()),
        #[expect(
            clippy::cast_possible_truncation,
            reason = "it was asked whether it is whole"
        )]
        Value::Number(number) if number.trunc() == *number && number.abs() < WHOLE => {
            Some((*number as i64).to_string().into_bytes())
        }
        Value::Number(number) => Some(number.to_string().into_bytes()),
        _ => None,
    }
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
