//! What Lua makes of a script's source. A thread compiles each source once, for all of its servers.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::OnceLock;

use mlua::{ChunkMode, Function, Lua, Table};

/// What Redis calls every script in errors.
const CHUNK: &str = "@user_script";

pub(super) struct Compiled {
    pub(super) hash: String,
    code: Vec<u8>,
}

thread_local! {
    static KNOWN: RefCell<HashMap<Vec<u8>, Rc<Compiled>>> = RefCell::default();
}

impl Compiled {
    pub(super) fn of(source: &[u8], lua: &Lua) -> mlua::Result<Rc<Self>> {
        let known = KNOWN.with_borrow(|known| known.get(source).cloned());
        if let Some(known) = known {
            return Ok(known);
        }
        let run = mistaken(source);
        let chunk = lua.load(&*run).set_name(CHUNK).set_mode(ChunkMode::Text);
        let compiled = Rc::new(Self {
            hash: sha1_hex(source),
            // With the lines, which errors name.
            code: chunk.into_function()?.dump(false),
        });
        KNOWN.with_borrow_mut(|known| known.insert(source.to_vec(), Rc::clone(&compiled)));
        Ok(compiled)
    }

    pub(super) fn load(&self, lua: &Lua, environment: Table) -> mlua::Result<Function> {
        let chunk = lua.load(&*self.code).set_mode(ChunkMode::Binary);
        chunk.set_environment(environment).into_function()
    }
}

/// A part of all scripts, and what is run instead of it.
static INSTEAD: OnceLock<(Vec<u8>, Vec<u8>)> = OnceLock::new();

/// From now on, every server runs this in the place of a part of its scripts, which keep their hashes: a
/// mistake on purpose, for which nothing has to be built. It is said before there is a server.
///
/// # Panics
///
/// When it was said before.
pub fn run_instead(part: Vec<u8>, mistake: Vec<u8>) {
    INSTEAD.set((part, mistake)).expect("one mistake at a time");
}

fn mistaken(source: &[u8]) -> Cow<'_, [u8]> {
    let Some((part, mistake)) = INSTEAD.get() else {
        return Cow::Borrowed(source);
    };
    let mut places = source.windows(part.len());
    match places.position(|place| place == part) {
        None => Cow::Borrowed(source),
        Some(at) => Cow::Owned([&source[..at], mistake, &source[at + part.len()..]].concat()),
    }
}

pub(super) fn sha1_hex(bytes: &[u8]) -> String {
    let mut hash = sha1_smol::Sha1::new();
    hash.update(bytes);
    hash.digest().to_string()
}
