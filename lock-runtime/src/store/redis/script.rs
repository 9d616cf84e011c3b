//! The Lua scripts, sent by their hash.

use std::sync::OnceLock;

use redis::{Cmd, ErrorKind, RedisError, ServerErrorKind};

pub(super) static ACQUIRE: Script = Script::new(include_str!("../scripts/acquire.lua"));
pub(super) static RELEASE: Script = Script::new(include_str!("../scripts/release.lua"));
pub(super) static EXTEND: Script = Script::new(include_str!("../scripts/extend.lua"));

pub(super) struct Script {
    source: &'static str,
    hash: OnceLock<String>,
}

impl Script {
    const fn new(source: &'static str) -> Self {
        Self {
            source,
            hash: OnceLock::new(),
        }
    }

    pub(super) fn by_hash(&self) -> Cmd {
        let hash = self
            .hash
            .get_or_init(|| redis::Script::new(self.source).get_hash().to_owned());
        let mut command = redis::cmd("EVALSHA");
        command.arg(hash);
        command
    }

    /// For a server that does not know the hash; it does afterwards.
    pub(super) fn by_source(&self) -> Cmd {
        let mut command = redis::cmd("EVAL");
        command.arg(self.source);
        command
    }

    pub(super) fn is_unknown(error: &RedisError) -> bool {
        error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
    }
}
