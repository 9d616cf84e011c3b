//! What Lua makes of a script's source. A thread compiles each source once, for all of its servers.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::OnceLock;

use mlua::{ChunkMode, Function, Lua, Table};

use crate::store::redis::SHORT_WAYS;

/// What Redis calls every script in errors.
const CHUNK: &str = "@user_script";

pub(super) struct Compiled {
    pub(super) hash: String,
    code: Vec<u8>,
}

/// A source, and whether it has its short ways.
type Key = (Vec<u8>, bool);

thread_local! {
    static KNOWN: RefCell<HashMap<Key, Rc<Compiled>>> = RefCell::default();
}

impl Compiled {
    pub(super) fn of(source: &[u8], short_ways: bool, lua: &Lua) -> mlua::Result<Rc<Self>> {
        let key = (source.to_vec(), short_ways);
        if let Some(known) = KNOWN.with_borrow(|known| known.get(&key).cloned()) {
            return Ok(known);
        }
        let run = if short_ways {
            Cow::Borrowed(source)
        } else {
            without_short_ways(source)
        };
        let run = mistaken(&run);
        let chunk = lua.load(&*run).set_name(CHUNK).set_mode(ChunkMode::Text);
        let compiled = Rc::new(Self {
            hash: sha1_hex(source),
            // With the lines, which errors name.
            code: chunk.into_function()?.dump(false),
        });
        KNOWN.with_borrow_mut(|known| known.insert(key, Rc::clone(&compiled)));
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
    match INSTEAD.get() {
        None => Cow::Borrowed(source),
        Some((part, mistake)) => with(source, part, mistake),
    }
}

fn without_short_ways(source: &[u8]) -> Cow<'_, [u8]> {
    SHORT_WAYS
        .iter()
        .fold(Cow::Borrowed(source), |source, way| {
            Cow::Owned(with(&source, way.as_bytes(), b"").into_owned())
        })
}

/// The source with this instead of a part of it, if it has that.
fn with<'a>(source: &'a [u8], part: &[u8], instead: &[u8]) -> Cow<'a, [u8]> {
    let mut places = source.windows(part.len());
    match places.position(|place| place == part) {
        None => Cow::Borrowed(source),
        Some(at) => Cow::Owned([&source[..at], instead, &source[at + part.len()..]].concat()),
    }
}

pub(super) fn sha1_hex(bytes: &[u8]) -> String {
    let mut hash = sha1_smol::Sha1::new();
    hash.update(bytes);
    hash.digest().to_string()
}
