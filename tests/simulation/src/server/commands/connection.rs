//! What concerns one connection.

use super::{NOT_AN_INTEGER, SYNTAX, integer, next, word};
use crate::simulation::server::command::{
    ALWAYS, ANY_TIME, Arguments, Command, Keys, NO_TRAITS, OF_CLIENTS, wrong_number,
};
use crate::simulation::server::core::Core;
use crate::simulation::server::mood::Mood;
use crate::simulation::server::reply::{Answer, Protocol, Refusal, Reply};

pub(super) const COMMANDS: &[Command] = &[
    Command::new("auth", -2, Keys::None, ALWAYS, auth),
    Command::new("hello", -1, Keys::None, ALWAYS, hello),
    Command::new("quit", -1, Keys::None, ALWAYS, quit),
    Command::new("ping", -1, Keys::None, NO_TRAITS, ping),
    Command::new("echo", 2, Keys::None, ANY_TIME, |_, arguments| {
        Ok(Reply::bulk(&arguments[1]))
    }),
    Command::new("select", 2, Keys::None, ANY_TIME, select),
    Command::new("client|id", 2, Keys::None, OF_CLIENTS, |core, _| {
        let id = core.current.map_or(0, |id| id.0);
        Ok(Reply::Integer(id.cast_signed()))
    }),
    Command::new(
        "client|setname",
        3,
        Keys::None,
        OF_CLIENTS,
        |core, arguments| {
            set_name(core, &arguments[2])?;
            Ok(Reply::OK)
        },
    ),
    Command::new("client|getname", 2, Keys::None, OF_CLIENTS, |core, _| {
        let name = &core.client().name;
        Ok(if name.is_empty() {
            Reply::Null
        } else {
            Reply::bulk(name)
        })
    }),
    Command::new(
        "client|no-evict",
        3,
        Keys::None,
        OF_CLIENTS,
        |_, arguments| match word(&arguments[2]).as_str() {
            "ON" | "OFF" => Ok(Reply::OK),
            _ => Err(SYNTAX),
        },
    ),
];

fn auth(core: &mut Core, arguments: &Arguments) -> Answer {
    match &arguments[1..] {
        [password] => {
            if core.options.password.is_none() {
                let words = "ERR AUTH <password> called without any password configured for the \
                             default user. Are you sure your configuration is correct?";
                return Err(words.into());
            }
            log_in(core, b"default", password)?;
        }
        [user, password] => log_in(core, user, password)?,
        _ => return Err(SYNTAX),
    }
    Ok(Reply::OK)
}

fn log_in(core: &mut Core, user: &[u8], password: &[u8]) -> Result<(), Refusal> {
    let wanted = core.options.password.as_ref();
    let is_right = wanted.is_none_or(|wanted| wanted.as_bytes() == password);
    if user != b"default" || !is_right {
        return Err("WRONGPASS invalid username-password pair or user is disabled.".into());
    }
    core.client().is_authenticated = true;
    Ok(())
}

fn hello(core: &mut Core, arguments: &Arguments) -> Answer {
    let mut protocol = None;
    if let Some(version) = arguments.get(1) {
        protocol = Some(match integer(version) {
            Ok(2) => Protocol::Resp2,
            Ok(3) => Protocol::Resp3,
            Ok(_) => return Err("NOPROTO unsupported protocol version".into()),
            Err(_) => {
                let words = "ERR Protocol version is not an integer or out of range";
                return Err(words.into());
            }
        });
    }
    let (mut login, mut name) = (None, None);
    let mut place = 2;
    while let Some(option) = arguments.get(place) {
        match word(option).as_str() {
            "AUTH" if arguments.len() > place + 2 => {
                let user = next(arguments, &mut place)?;
                login = Some((user, next(arguments, &mut place)?));
            }
            "SETNAME" if arguments.len() > place + 1 => name = Some(next(arguments, &mut place)?),
            _ => {
                let option = String::from_utf8_lossy(option);
                return Err(format!("ERR Syntax error in HELLO option '{option}'").into());
            }
        }
        place += 1;
    }
    if let Some((user, password)) = login {
        log_in(core, user, password)?;
    }
    if !core.client().is_authenticated {
        let words = "NOAUTH HELLO must be called with the client already authenticated, otherwise \
                     the HELLO AUTH <user> <pass> option can be used to authenticate the \
                     client and select the RESP protocol version at the same time";
        return Err(words.into());
    }
    if let Some(name) = name {
        set_name(core, name)?;
    }
    if let Some(protocol) = protocol {
        core.client().protocol = protocol;
    }
    Ok(description(core))
}

fn description(core: &mut Core) -> Reply {
    let is_replica = core.mood == Mood::ReadOnly;
    let id = core.current.map_or(0, |id| id.0);
    let protocol = core.client().protocol;
    Reply::Map(vec![
        ("server", Reply::bulk("redis")),
        ("version", Reply::bulk(&core.options.version)),
        ("proto", Reply::Integer(protocol.number())),
        ("id", Reply::Integer(id.cast_signed())),
        ("mode", Reply::bulk("standalone")),
        (
            "role",
            Reply::bulk(if is_replica { "replica" } else { "master" }),
        ),
        ("modules", Reply::Array(Vec::new())),
    ])
}

fn set_name(core: &mut Core, name: &[u8]) -> Result<(), Refusal> {
    if !name.iter().all(|byte| matches!(byte, b'!'..=b'~')) {
        let words = "ERR Client names cannot contain spaces, newlines or special characters.";
        return Err(words.into());
    }
    core.client().name = name.to_vec();
    Ok(())
}

fn quit(core: &mut Core, _: &Arguments) -> Answer {
    core.client().is_closing = true;
    Ok(Reply::OK)
}

fn ping(_: &mut Core, arguments: &Arguments) -> Answer {
    match &arguments[1..] {
        [] => Ok(Reply::Status("PONG".into())),
        [text] => Ok(Reply::bulk(text)),
        _ => Err(wrong_number("ping")),
    }
}

fn select(core: &mut Core, arguments: &Arguments) -> Answer {
    let number = integer(&arguments[1]).map_err(|_| NOT_AN_INTEGER)?;
    let database = usize::try_from(number).ok().filter(|it| *it < 16);
    core.client().database = database.ok_or("ERR DB index is out of range")?;
    Ok(Reply::OK)
}
