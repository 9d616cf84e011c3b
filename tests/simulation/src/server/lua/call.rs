//! `redis.call` and the rest of the library `redis`.

use std::cell::RefCell;
use std::rc::Rc;

use mlua::{Lua, Table, Value, Variadic};

use super::super::core::Core;
use super::super::reply::Reply;
use super::compiled::sha1_hex;
use super::{convert, errors};

pub(super) fn library(lua: &Lua, core: &Rc<RefCell<Core>>) -> mlua::Result<Table> {
    let redis = lua.create_table()?;
    let own = Rc::clone(core);
    let call = lua.create_function(move |lua, arguments: Variadic<Value>| {
        match command(lua, &own, &arguments)? {
            Reply::Error(words) => Err(errors::raised(words)),
            reply => convert::value(lua, &reply),
        }
    })?;
    redis.set("call", call)?;
    let own = Rc::clone(core);
    let pcall = lua.create_function(move |lua, arguments: Variadic<Value>| {
        convert::value(lua, &command(lua, &own, &arguments)?)
    })?;
    redis.set("pcall", pcall)?;
    let error_reply = lua.create_function(|lua, words: mlua::String| {
        errors::table(lua, &errors::with_code(&words.as_bytes()))
    })?;
    redis.set("error_reply", error_reply)?;
    let status_reply = lua.create_function(|lua, words: mlua::String| {
        let table = lua.create_table()?;
        table.raw_set("ok", words)?;
        Ok(table)
    })?;
    redis.set("status_reply", status_reply)?;
    let sha1hex = |_: &Lua, text: mlua::String| Ok(sha1_hex(&text.as_bytes()));
    redis.set("sha1hex", lua.create_function(sha1hex)?)?;
    Ok(redis)
}

fn command(lua: &Lua, core: &RefCell<Core>, arguments: &[Value]) -> mlua::Result<Reply> {
    if arguments.is_empty() {
        let words = "ERR Please specify at least one argument for this redis lib call";
        return Ok(Reply::error(words));
    }
    let arguments = arguments.iter().map(|it| convert::argument(lua, it));
    let arguments: Option<Vec<_>> = arguments.collect::<mlua::Result<_>>()?;
    Ok(match arguments {
        Some(arguments) => core.borrow_mut().call_from_script(&arguments),
        None => Reply::error("ERR Lua redis lib command arguments must be strings or integers"),
    })
}
