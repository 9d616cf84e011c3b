//! Errors of scripts, in Redis' words and with the place that it names.

use mlua::{Error, Lua, MultiValue, Table, Value};

use super::super::reply::{Refusal, Reply};

/// An error on its way through Lua.
#[derive(Debug)]
struct Raised(Vec<u8>);

impl std::fmt::Display for Raised {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.0))
    }
}

impl std::error::Error for Raised {}

pub(super) fn raised(words: Vec<u8>) -> Error {
    Error::external(Raised(words))
}

/// An error of Lua itself, at the place where our function was called.
pub(super) fn raise<T>(lua: &Lua, words: &str) -> mlua::Result<T> {
    let place = place(lua, 1).and_then(|place| {
        let source = place.source.trim_start_matches('@');
        Some(format!("{source}:{}: ", place.line?))
    });
    let place = place.unwrap_or_default();
    Err(raised(format!("ERR {place}{words}").into_bytes()))
}

pub(super) fn table(lua: &Lua, words: &[u8]) -> mlua::Result<Table> {
    let table = lua.create_table()?;
    table.raw_set("err", lua.create_string(words)?)?;
    Ok(table)
}

/// The words of `redis.error_reply`: the first is the code, if there is more than one.
pub(super) fn with_code(words: &[u8]) -> Vec<u8> {
    let words = words.strip_prefix(b"-").unwrap_or(words).trim_ascii_end();
    let code: &[u8] = if words.contains(&b' ') { b"" } else { b"ERR " };
    [code, words].concat()
}

/// So many functions handle an error above the one that raised it: mlua has one of its own.
const HANDLERS: usize = 2;

struct Place {
    what: &'static str,
    source: String,
    line: Option<usize>,
}

fn place(lua: &Lua, level: usize) -> Option<Place> {
    lua.inspect_stack(level, |frame| {
        let source = frame.source();
        Place {
            what: source.what,
            source: source.source.unwrap_or_default().into_owned(),
            line: frame.current_line(),
        }
    })
}

/// What Redis has every error pass through: it becomes a table with the place.
pub(super) fn locate(lua: &Lua, error: &Value) -> mlua::Result<Table> {
    let table = match error {
        Value::Table(table) => table.clone(),
        Value::Error(error) => table(lua, &words_of(error))?,
        other => {
            let words = other.to_string()?;
            table(lua, &[b"ERR ", words.as_bytes()].concat())?
        }
    };
    let mut found = place(lua, HANDLERS);
    if found.as_ref().is_some_and(|place| place.what == "C") {
        found = place(lua, HANDLERS + 1);
    }
    if let Some(place) = found {
        table.raw_set("source", place.source)?;
        table.raw_set(
            "line",
            place
                .line
                .map_or(Ok(-1), i64::try_from)
                .map_err(Error::external)?,
        )?;
    }
    Ok(table)
}

fn words_of(error: &Error) -> Vec<u8> {
    let mut causes = error.chain();
    match causes.find_map(|cause| cause.downcast_ref::<Raised>()) {
        Some(Raised(words)) => words.clone(),
        None => format!("ERR {error}").into_bytes(),
    }
}

/// What a script's `pcall` answers: of an error of Redis, only the words.
pub(super) fn plain(lua: &Lua, values: MultiValue) -> mlua::Result<MultiValue> {
    let is_done = values.front() == Some(&Value::Boolean(true));
    let plain = |value| match value {
        Value::Error(error) => Ok(Value::String(lua.create_string(words_of(&error))?)),
        Value::Table(table) if !is_done => match table.raw_get("err")? {
            words @ Value::String(_) => Ok(words),
            _ => Ok(Value::Table(table)),
        },
        other => Ok(other),
    };
    values.into_iter().map(plain).collect()
}

/// The reply when a script ended with this error.
pub(super) fn reply(error: &Value, hash: &str) -> mlua::Result<Reply> {
    let Value::Table(error) = error else {
        return Ok(Reply::error("ERR unknown error"));
    };
    let mut words = match error.raw_get("err")? {
        Value::String(words) => words.as_bytes().to_vec(),
        _ => b"ERR unknown error".to_vec(),
    };
    words.extend_from_slice(format!(" script: {hash}").as_bytes());
    let source: Option<mlua::String> = error.raw_get("source")?;
    let line: Option<i64> = error.raw_get("line")?;
    if let (Some(source), Some(line)) = (source, line) {
        words.extend_from_slice(format!(", on {}:{line}", source.to_string_lossy()).as_bytes());
    }
    words.push(b'.');
    Ok(Reply::Error(words))
}

pub(super) fn of_compiling(error: &Error) -> Refusal {
    let words = match error {
        Error::SyntaxError { message, .. } => message.clone(),
        other => other.to_string(),
    };
    format!("ERR Error compiling script (new function): {words}").into()
}
