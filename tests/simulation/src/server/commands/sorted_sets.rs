//! Sorted sets, with whole numbers for scores.

use std::collections::BTreeMap;

use super::{SYNTAX, integer, word};
use crate::simulation::server::command::{Arguments, Command, Keys, READS, WRITES, WRITES_MORE};
use crate::simulation::server::core::{Core, WRONG_TYPE};
use crate::simulation::server::keyspace::{Bytes, Value};
use crate::simulation::server::reply::{Answer, Refusal, Reply};

pub(super) const COMMANDS: &[Command] = &[
    Command::new("zadd", -4, Keys::First, WRITES_MORE, add),
    Command::new("zcard", 2, Keys::First, READS, |core, arguments| {
        let (members, _) = set(core, &arguments[1])?;
        Ok(count(members.len()))
    }),
    Command::new("zrange", -4, Keys::First, READS, range),
    Command::new("zrank", 3, Keys::First, READS, rank),
    Command::new("zrem", -3, Keys::First, WRITES, remove),
    Command::new("zscore", 3, Keys::First, READS, score),
];

type Members = BTreeMap<Bytes, i64>;

/// The members of a set, and when it expires.
fn set(core: &mut Core, key: &[u8]) -> Result<(Members, Option<u64>), Refusal> {
    match core.look_up(key) {
        None => Ok((Members::new(), None)),
        Some(stored) => match &stored.value {
            Value::Set(members) => Ok((members.clone(), stored.expires)),
            _ => Err(WRONG_TYPE.into()),
        },
    }
}

fn count(number: usize) -> Reply {
    Reply::Integer(i64::try_from(number).expect("it is small"))
}

fn in_order(members: Members) -> Vec<(i64, Bytes)> {
    let members = members.into_iter().map(|(member, score)| (score, member));
    let mut members: Vec<_> = members.collect();
    members.sort_unstable();
    members
}

fn add(core: &mut Core, arguments: &Arguments) -> Answer {
    let (pairs, []) = arguments[2..].as_chunks() else {
        return Err(SYNTAX);
    };
    let mut scored = Vec::new();
    for [score, member] in pairs {
        let score = integer(score).map_err(|_| "ERR value is not a valid float")?;
        scored.push((score, member));
    }
    let (mut members, expires) = set(core, &arguments[1])?;
    let before = members.clone();
    for (score, member) in scored {
        members.insert(member.as_slice().into(), score);
    }
    let added = members.len() - before.len();
    if members != before {
        core.put_value(&arguments[1], Value::Set(members), expires);
    }
    Ok(count(added))
}

fn range(core: &mut Core, arguments: &Arguments) -> Answer {
    let with_scores = match &arguments[4..] {
        [] => false,
        [option] if word(option) == "WITHSCORES" => true,
        _ => return Err(SYNTAX),
    };
    let (from, to) = (integer(&arguments[2])?, integer(&arguments[3])?);
    let (members, _) = set(core, &arguments[1])?;
    let members = in_order(members);
    let length = i64::try_from(members.len()).expect("it is small");
    let place = |index: i64| if index < 0 { index + length } else { index };
    let (from, to) = (place(from).max(0), place(to));
    let protocol = core.client().protocol;
    let in_script = core.running.is_some();
    let mut answer = Vec::new();
    for (index, (score, member)) in (0..).zip(members) {
        if index < from || index > to {
            continue;
        }
        let member = Reply::Bulk(member);
        if !with_scores {
            answer.push(member);
        } else if in_script || protocol.number() == 2 {
            answer.push(member);
            answer.push(Reply::bulk(score.to_string()));
        } else {
            answer.push(Reply::Array(vec![member, Reply::Double(score)]));
        }
    }
    Ok(Reply::Array(answer))
}

fn rank(core: &mut Core, arguments: &Arguments) -> Answer {
    let (members, _) = set(core, &arguments[1])?;
    let mut members = in_order(members).into_iter();
    let found = members.position(|(_, member)| *member == *arguments[2]);
    Ok(found.map_or(Reply::Null, count))
}

fn score(core: &mut Core, arguments: &Arguments) -> Answer {
    let (members, _) = set(core, &arguments[1])?;
    let in_script = core.running.is_some();
    let protocol = core.client().protocol;
    let score = members.get(arguments[2].as_slice());
    Ok(match score {
        None => Reply::Null,
        Some(score) if in_script || protocol.number() == 2 => Reply::bulk(score.to_string()),
        Some(score) => Reply::Double(*score),
    })
}

fn remove(core: &mut Core, arguments: &Arguments) -> Answer {
    let (mut members, expires) = set(core, &arguments[1])?;
    let before = members.len();
    members.retain(|member, _| !arguments[2..].iter().any(|gone| **gone == **member));
    let gone = before - members.len();
    if members.is_empty() && gone > 0 {
        core.put(&arguments[1], None);
    } else if gone > 0 {
        core.put_value(&arguments[1], Value::Set(members), expires);
    }
    Ok(count(gone))
}
