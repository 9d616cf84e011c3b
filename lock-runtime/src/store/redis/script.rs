//! The Lua scripts, sent by their hash, and other commands.

use std::io::Write as _;
use std::sync::OnceLock;
use std::time::Duration;

use redis::{Arg, Cmd, RedisWrite, ToRedisArgs};

use crate::key::SideKey;

/// These files as one.
macro_rules! lua {
    ($($file:literal)*) => {
        concat!($(include_str!(concat!("../scripts/", $file, ".lua"))),*)
    };
}

/// The scripts that acquire and release, the shortest way first, where there is one.
macro_rules! acquire {
    () => {
        lua!("holders" "acquire")
    };
}
macro_rules! look {
    () => {
        lua!("look" "short_look" "holders" "clock" "places" "pass_on" "sit" "look_in_line")
    };
}
macro_rules! release {
    () => {
        lua!("release" "short_release" "holders" "clock" "places" "pass_on" "open_door" "release_in_line")
    };
}

/// What `record_begin.lua` calls.
macro_rules! function {
    ($name:literal $($body:expr)*) => {
        concat!("local function ", $name, "()\n", $($body,)* "end\n")
    };
}
/// The release, for a script that acquires: with the line's keys where it has them.
macro_rules! give_back {
    () => {
        function!("give_back"
            "local KEYS = #KEYS == 4 and KEYS or {KEYS[1]}\n\
             local ARGV = {ARGV[1], '0', ARGV[3], '0'}\n"
            release!())
    };
}

pub(super) static ACQUIRE: Script = Script::new(acquire!());
pub(super) static RELEASE: Script = Script::new(release!());
pub(super) static LOOK: Script = Script::new(look!());
/// Those three, with a record around them.
pub(super) static ACQUIRE_AND_BEGIN: Script = Script::new(concat!(
    lua!("with_record"),
    function!("plain" acquire!()),
    give_back!(),
    lua!("record_begin"),
));
pub(super) static LOOK_AND_BEGIN: Script = Script::new(concat!(
    lua!("with_record"),
    function!("plain" look!()),
    give_back!(),
    lua!("record_begin"),
));
pub(super) static END_AND_RELEASE: Script = Script::new(concat!(
    lua!("with_record"),
    function!("plain" release!()),
    lua!("record_end"),
));
pub(super) static ACQUIRE_PLACE: Script = Script::new(
    lua!("holders" "acquire_place" "clock" "places" "pass_on" "sit" "acquire_place_in_line"),
);
pub(super) static RELEASE_PLACE: Script = Script::new(
    lua!("release_place" "holders" "clock" "places" "pass_on" "open_door" "release_place_in_line"),
);
pub(super) static EXTEND_PLACE: Script =
    Script::new(lua!("holders" "clock" "places" "extend_place"));
pub(super) static WATCH: Script = Script::new(lua!("watch"));
pub(super) static EXTEND: Script = Script::new(lua!("extend"));
pub(super) static LIST_HOLDERS: Script = Script::new(lua!("holders" "list_holders"));
pub(super) static LAST_RUN: Script = Script::new(lua!("last_run"));

static ALL: [&Script; 13] = [
    &ACQUIRE,
    &RELEASE,
    &EXTEND,
    &LOOK,
    &WATCH,
    &ACQUIRE_AND_BEGIN,
    &LOOK_AND_BEGIN,
    &END_AND_RELEASE,
    &LAST_RUN,
    &ACQUIRE_PLACE,
    &RELEASE_PLACE,
    &EXTEND_PLACE,
    &LIST_HOLDERS,
];

/// What stands in front of the rest in two of them, and does what that would do, only sooner.
#[cfg(simulation)]
pub const SHORT_WAYS: [&str; 2] = [lua!("short_look"), lua!("short_release")];

/// What the simulation sends with arguments of its own.
///
/// # Panics
///
/// When no script is called so.
#[cfg(simulation)]
#[must_use]
pub fn source_of(name: &str) -> &'static str {
    let script = match name {
        "acquire" => &ACQUIRE,
        "acquire and begin" => &ACQUIRE_AND_BEGIN,
        "acquire place" => &ACQUIRE_PLACE,
        "end and release" => &END_AND_RELEASE,
        "extend" => &EXTEND,
        "extend place" => &EXTEND_PLACE,
        "last run" => &LAST_RUN,
        "list holders" => &LIST_HOLDERS,
        "look" => &LOOK,
        "look and begin" => &LOOK_AND_BEGIN,
        "release" => &RELEASE,
        "release place" => &RELEASE_PLACE,
        "watch" => &WATCH,
        other => panic!("no script is called {other:?}"),
    };
    script.source
}

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

    fn of_hash(hash: &[u8]) -> Option<&'static Self> {
        let mut all = ALL.into_iter();
        all.find(|script| script.hash().as_bytes() == hash)
    }

    fn hash(&self) -> &str {
        self.hash
            .get_or_init(|| redis::Script::new(self.source).get_hash().to_owned())
    }

    pub(super) fn by_hash(&self) -> Cmd {
        let mut command = command("EVALSHA", 12);
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
    pub(super) fn command_of(error: &str) -> Option<&'static str> {
        let (_, place) = error.split_once("script: ")?;
        let (hash, place) = place.split_once(',')?;
        let (_, line) = place.split_once("@user_script:")?;
        let digits = line.find(|c: char| !c.is_ascii_digit());
        let line: usize = line[..digits.unwrap_or(line.len())].parse().ok()?;
        let source = Self::of_hash(hash.as_bytes())?.source;
        let (_, call) = source.lines().nth(line - 1)?.split_once("redis.call('")?;
        call.split_once('\'').map(|(command, _)| command)
    }
}

/// The same command, with the script's source for its hash.
pub(super) fn by_source(command: &Cmd) -> Cmd {
    let script = argument(command, 0).filter(|name| *name == b"EVALSHA");
    let script = script.and_then(|_| Script::of_hash(argument(command, 1)?));
    let Some(script) = script else {
        return command.clone();
    };
    let mut by_source = script.by_source();
    for number in 2..command.args_iter().len() {
        by_source.arg(argument(command, number));
    }
    by_source
}

pub(super) fn argument(command: &Cmd, number: usize) -> Option<&[u8]> {
    match command.args_iter().nth(number) {
        Some(Arg::Simple(argument)) => Some(argument),
        _ => None,
    }
}

/// A command with room for so many arguments, a lock's key and value among them, unless the key is
/// long. Else it would be allocated anew several times while its arguments are added.
pub(super) fn command(name: &str, arguments: usize) -> Cmd {
    let mut command = Cmd::with_capacity(arguments, 160);
    command.arg(name);
    command
}

impl ToRedisArgs for SideKey<'_> {
    fn write_redis_args<W: ?Sized + RedisWrite>(&self, out: &mut W) {
        let mut writer = out.writer_for_next_arg();
        for part in self.parts() {
            writer
                .write_all(part.as_bytes())
                .expect("there is room in memory");
        }
    }
}

/// Milliseconds as Redis takes them: whole ones, rounded up, so that a deadline computed from the
/// duration never lies behind the key's expiry, and a positive duration is never zero.
pub(super) fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}
