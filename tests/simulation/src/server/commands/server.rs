//! What concerns the whole server.

use super::{SYNTAX, integer, word};
use crate::simulation::server::command::{
    ANY_TIME, Arguments, Command, Keys, NO_TRAITS, OUTSIDE, READS, WRITES,
};
use crate::simulation::server::core::Core;
use crate::simulation::server::mood::Mood;
use crate::simulation::server::reply::{Answer, Refusal, Reply};

pub(super) const COMMANDS: &[Command] = &[
    Command::new("time", 1, Keys::None, ANY_TIME, time),
    Command::new("info", -1, Keys::None, ANY_TIME, info),
    Command::new("dbsize", 1, Keys::None, READS, |core, _| {
        let database = core.client().database;
        let count = core.keyspace.keys(Some(database)).len();
        Ok(Reply::Integer(i64::try_from(count).expect("it is small")))
    }),
    Command::new("cluster|slots", 2, Keys::None, NO_TRAITS, |_, _| {
        Err("ERR This instance has cluster support disabled".into())
    }),
    Command::new("flushall", -1, Keys::None, WRITES, |core, arguments| {
        check_flush(arguments)?;
        core.flush(None);
        Ok(Reply::OK)
    }),
    Command::new("flushdb", -1, Keys::None, WRITES, |core, arguments| {
        check_flush(arguments)?;
        let database = core.client().database;
        core.flush(Some(database));
        Ok(Reply::OK)
    }),
    Command::new("wait", 3, Keys::None, OUTSIDE, wait),
];

fn check_flush(arguments: &Arguments) -> Result<(), Refusal> {
    match &arguments[1..] {
        [] => Ok(()),
        [how] if matches!(word(how).as_str(), "SYNC" | "ASYNC") => Ok(()),
        _ => Err(SYNTAX),
    }
}

fn time(core: &mut Core, _: &Arguments) -> Answer {
    let (seconds, micros) = (core.now / 1_000_000, core.now % 1_000_000);
    Ok(Reply::Array(vec![
        Reply::bulk(seconds.to_string()),
        Reply::bulk(micros.to_string()),
    ]))
}

/// Answers how many replicas have all that was written, but not before so many have, or the time
/// is over.
fn wait(core: &mut Core, arguments: &Arguments) -> Answer {
    if core.mood == Mood::ReadOnly {
        let words = "ERR WAIT cannot be used with replica instances. Please also note that since \
                     Redis 4.0 if a replica is configured to be writable (which is not the \
                     default) writes to replicas are just local and are not propagated.";
        return Err(words.into());
    }
    let wanted = integer(&arguments[1])?;
    let millis =
        integer(&arguments[2]).map_err(|_| "ERR timeout is not an integer or out of range")?;
    let millis = u64::try_from(millis).map_err(|_| "ERR timeout is negative")?;
    if i64::from(core.replicas) < wanted {
        let until = core.now.saturating_add(millis.saturating_mul(1000));
        core.client().waits_for = Some((wanted, (millis > 0).then_some(until)));
    }
    Ok(Reply::Integer(core.replicas.into()))
}

fn info(core: &mut Core, arguments: &Arguments) -> Answer {
    let sections: Vec<_> = arguments[1..].iter().map(|name| word(name)).collect();
    let wants = |name: &str| {
        let every = ["ALL", "DEFAULT", "EVERYTHING"];
        sections.is_empty()
            || sections
                .iter()
                .any(|section| section == name || every.contains(&section.as_str()))
    };
    let mut parts = Vec::new();
    if wants("SERVER") {
        parts.push(format!(
            "# Server\r\nredis_version:{}\r\nredis_mode:standalone\r\nrun_id:{}\r\n\
             server_time_usec:{}\r\n",
            core.options.version, core.options.run_id, core.now
        ));
    }
    if wants("REPLICATION") {
        let role = match core.mood {
            Mood::ReadOnly => "slave",
            _ => "master",
        };
        parts.push(format!(
            "# Replication\r\nrole:{role}\r\nconnected_slaves:{}\r\n",
            core.replicas
        ));
    }
    if wants("CLUSTER") {
        parts.push("# Cluster\r\ncluster_enabled:0\r\n".to_owned());
    }
    Ok(Reply::Text(parts.join("\r\n")))
}
