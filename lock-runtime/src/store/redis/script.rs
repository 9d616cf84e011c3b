//! The Lua scripts, sent by their hash.

use std::sync::OnceLock;

use redis::{Cmd, ErrorKind, RedisError, ServerErrorKind};

pub(super) static ACQUIRE: Script = Script::new(include_str!("../scripts/acquire.lua"));
pub(super) static RELEASE: Script = Script::new(include_str!("../scripts/release.lua"));
pub(super) static EXTEND: Script = Script::new(include_str!("../scripts/extend.lua"));

pub(crate) struct Script {
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

    fn hash(&self) -> &str {
        self.hash
            .get_or_init(|| redis::Script::new(self.source).get_hash().to_owned())
    }

    pub(super) fn by_hash(&self) -> Cmd {
        let mut command = command("EVALSHA");
        command.arg(self.hash());
        command
    }

    /// For a server that does not know the hash; it does afterwards.
    pub(super) fn by_source(&self) -> Cmd {
        let mut command = redis::cmd("EVAL");
        command.arg(self.source);
        command
    }

    /// The command of a script that failed, by the place that Redis' error names: Redis 7 does not
    /// name the command when the user has no right to it.
    pub(crate) fn command_of(error: &str) -> Option<&'static str> {
        let (_, place) = error.split_once("script: ")?;
        let (hash, place) = place.split_once(',')?;
        let (_, line) = place.split_once("@user_script:")?;
        let digits = line.find(|c: char| !c.is_ascii_digit());
        let line: usize = line[..digits.unwrap_or(line.len())].parse().ok()?;
        let script = [&ACQUIRE, &RELEASE, &EXTEND]
            .into_iter()
            .find(|script| script.hash() == hash)?;
        let (_, call) = script
            .source
            .lines()
            .nth(line - 1)?
            .split_once("redis.call('")?;
        call.split_once('\'').map(|(command, _)| command)
    }

    pub(super) fn is_unknown(error: &RedisError) -> bool {
        error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
    }
}

/// A command with room for a lock's key and value and all that is sent with them, unless the key is
/// long. Else it would be allocated anew several times while its arguments are added.
pub(super) fn command(name: &str) -> Cmd {
    let mut command = Cmd::with_capacity(8, 256);
    command.arg(name);
    command
}
