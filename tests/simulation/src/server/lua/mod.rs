//! Runs Lua scripts as Redis does: each is compiled once, and found by its hash from then on.

mod call;
mod compiled;
mod convert;
mod errors;
mod globals;

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use mlua::{Function, Lua, LuaOptions, StdLib, Table, Value};

use super::command::Arguments;
use super::commands::scripting::{About, Given, parts};
use super::core::{Core, Running};
use super::reply::{Answer, Refusal, Reply};
use compiled::Compiled;
pub use compiled::run_instead;

const HASH_LENGTH: usize = 40;
/// The garbage is looked for when there is so much more than was used, in percent. There is hardly any: by
/// default, Lua looks all the time.
const GARBAGE: i32 = 1_000;
const NO_SCRIPT: &str = "NOSCRIPT No matching script. Please use EVAL.";

pub(super) struct Scripts {
    lua: Lua,
    /// What a script sees beside its own variables.
    environment: Table,
    globals: Table,
    xpcall: Function,
    on_error: Function,
    by_hash: HashMap<String, Function>,
    short_ways: bool,
}

impl Scripts {
    pub(super) fn new(core: &Rc<RefCell<Core>>) -> Self {
        Self::with(core).expect("Lua has room for its functions")
    }

    fn with(core: &Rc<RefCell<Core>>) -> mlua::Result<Self> {
        let libraries = StdLib::MATH | StdLib::STRING | StdLib::TABLE;
        // A panic of ours is none of the script's errors.
        let options = LuaOptions::new().catch_rust_panics(false);
        let lua = Lua::new_with(libraries, options)?;
        lua.gc_set_pause(GARBAGE);
        let globals = globals::of_scripts(&lua)?;
        globals.raw_set("redis", call::library(&lua, core)?)?;
        Ok(Self {
            environment: globals::guard(&lua, &globals)?,
            globals,
            xpcall: lua.globals().get("xpcall")?,
            on_error: lua.create_function(|lua, error| errors::locate(lua, &error))?,
            lua,
            by_hash: HashMap::new(),
            short_ways: core.borrow().options.short_ways,
        })
    }

    pub(super) fn run(
        &mut self,
        core: &RefCell<Core>,
        given: Given,
        arguments: &Arguments,
    ) -> Answer {
        if given == Given::Hash && arguments[1].len() != HASH_LENGTH {
            return Err(NO_SCRIPT.into());
        }
        let (keys, others) = parts(arguments)?;
        let (hash, script) = match given {
            Given::Source => self.compile(&arguments[1])?,
            Given::Hash => {
                let hash = String::from_utf8_lossy(&arguments[1]).to_ascii_lowercase();
                let script = self.by_hash.get(&hash).ok_or(NO_SCRIPT)?;
                (hash, script.clone())
            }
        };
        core.borrow_mut().running = Some(Running {
            keys: keys.to_vec(),
            has_written: false,
        });
        let reply = self.reply(&hash, &script, keys, others);
        core.borrow_mut().running = None;
        Ok(reply.expect("Lua has room for what scripts are given and answer"))
    }

    fn reply(
        &self,
        hash: &str,
        script: &Function,
        keys: &Arguments,
        others: &Arguments,
    ) -> mlua::Result<Reply> {
        for (name, values) in [("KEYS", keys), ("ARGV", others)] {
            let values = values.iter().map(|value| self.lua.create_string(value));
            let values = values.collect::<mlua::Result<Vec<_>>>()?;
            let table = self.lua.create_sequence_from(values)?;
            self.globals.raw_set(name, table)?;
        }
        let (is_done, value): (bool, Value) = self.xpcall.call((script, &self.on_error))?;
        if is_done {
            convert::reply(&value)
        } else {
            errors::reply(&value, hash)
        }
    }

    pub(super) fn tell(&mut self, about: About, arguments: &Arguments) -> Answer {
        match about {
            About::Load => {
                let (hash, _) = self.compile(&arguments[2])?;
                Ok(Reply::bulk(hash))
            }
            About::Exists => {
                let hashes = arguments[2..].iter().map(|it| String::from_utf8_lossy(it));
                let known = hashes.map(|it| self.by_hash.contains_key(&it.to_ascii_lowercase()));
                Ok(Reply::Array(
                    known.map(|it| Reply::Integer(it.into())).collect(),
                ))
            }
            About::Flush => match &arguments[2..] {
                [] => Ok(self.forget()),
                [how] if how.eq_ignore_ascii_case(b"sync") => Ok(self.forget()),
                [how] if how.eq_ignore_ascii_case(b"async") => Ok(self.forget()),
                _ => Err("ERR SCRIPT FLUSH only support SYNC|ASYNC option".into()),
            },
        }
    }

    pub(super) fn forget(&mut self) -> Reply {
        self.by_hash.clear();
        Reply::OK
    }

    fn compile(&mut self, source: &[u8]) -> Result<(String, Function), Refusal> {
        let compiled = Compiled::of(source, self.short_ways, &self.lua)
            .map_err(|error| errors::of_compiling(&error))?;
        let hash = compiled.hash.clone();
        if let Some(script) = self.by_hash.get(&hash) {
            return Ok((hash, script.clone()));
        }
        let script = compiled.load(&self.lua, self.environment.clone());
        let script = script.expect("what Lua has compiled can be loaded");
        self.by_hash.insert(hash.clone(), script.clone());
        Ok((hash, script))
    }
}
