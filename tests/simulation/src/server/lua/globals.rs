//! What scripts may use of Lua.

use mlua::{Lua, MultiValue, Table, Value};

use super::errors;

/// The rest would reach out of the script, or bring in chance that no seed rules.
const ALLOWED: [&str; 22] = [
    "_VERSION",
    "assert",
    "collectgarbage",
    "error",
    "gcinfo",
    "getmetatable",
    "ipairs",
    "math",
    "next",
    "pairs",
    "pcall",
    "rawequal",
    "rawget",
    "rawset",
    "select",
    "setmetatable",
    "string",
    "table",
    "tonumber",
    "tostring",
    "type",
    "unpack",
];

pub(super) fn of_scripts(lua: &Lua) -> mlua::Result<Table> {
    lua.globals()
        .get::<Table>("math")?
        .set("random", Value::Nil)?;
    // An error of Redis comes through `pcall` as the table that it is for scripts.
    let plain = lua.create_function(errors::plain)?;
    let pcall: Value = lua
        .load("local pcall, plain = ... return function(...) return plain(pcall(...)) end")
        .call((lua.globals().get::<Value>("pcall")?, plain))?;
    lua.globals().set("pcall", pcall)?;
    let globals = lua.create_table()?;
    for name in ALLOWED {
        globals.raw_set(name, lua.globals().get::<Value>(name)?)?;
    }
    Ok(globals)
}

/// The same, with only what is there, and not to be changed.
pub(super) fn guard(lua: &Lua, globals: &Table) -> mlua::Result<Table> {
    for library in ["math", "redis", "string", "table"] {
        globals.raw_set(library, locked(lua, globals.raw_get(library)?)?)?;
    }
    let missing = lua.create_function(|lua, (_, name): (Value, mlua::String)| {
        let name = name.to_string_lossy();
        let words = format!("Script attempted to access nonexistent global variable '{name}'");
        errors::raise::<()>(lua, &words)
    })?;
    let rules = lua.create_table()?;
    rules.set("__index", missing)?;
    globals.set_metatable(Some(rules))?;
    locked(lua, globals.clone())
}

/// What reads like this table, and can't be changed.
fn locked(lua: &Lua, table: Table) -> mlua::Result<Table> {
    let refuse = lua.create_function(|lua, _: MultiValue| {
        errors::raise::<()>(lua, "Attempt to modify a readonly table")
    })?;
    let rules = lua.create_table()?;
    rules.set("__index", table)?;
    rules.set("__newindex", refuse)?;
    let locked = lua.create_table()?;
    locked.set_metatable(Some(rules))?;
    Ok(locked)
}
