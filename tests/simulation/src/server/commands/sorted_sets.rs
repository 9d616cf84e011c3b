//! Sorted sets, with whole numbers for scores.

use std::rc::Rc;

use super::{SYNTAX, integer, word};
use crate::simulation::server::command::{Arguments, Command, Keys, READS, WRITES, WRITES_MORE};
use crate::simulation::server::core::{Core, WRONG_TYPE};
use crate::simulation::server::keyspace::{Bytes, Members, Value};
use crate::simulation::server::reply::{Answer, Refusal, Reply};

pub(super) const COMMANDS: &[Command] = &[
    Command::new("zadd", -4, Keys::First, WRITES_MORE, add),
    Command::new("zcard", 2, Keys::First, READS, |core, arguments| {
        let (members, _) = set(core, &arguments[1])?;
        Ok(count(members.len()))
    }),
    Command::new("zcount", 4, Keys::First, READS, |core, arguments| {
        let within = Within::of(&arguments[2], &arguments[3])?;
        let (members, _) = set(core, &arguments[1])?;
        Ok(count(
            members.values().filter(|score| within.has(**score)).count(),
        ))
    }),
    Command::new("zrange", -4, Keys::First, READS, range),
    Command::new("zrangebyscore", -4, Keys::First, READS, range_by_score),
    Command::new("zrank", 3, Keys::First, READS, |core, arguments| {
        rank(core, arguments, |before, _| before)
    }),
    Command::new("zrem", -3, Keys::First, WRITES, remove),
    Command::new(
        "zremrangebyscore",
        4,
        Keys::First,
        WRITES,
        |core, arguments| {
            let within = Within::of(&arguments[2], &arguments[3])?;
            retain(core, &arguments[1], |_, score| !within.has(score))
        },
    ),
    Command::new("zrevrank", 3, Keys::First, READS, |core, arguments| {
        rank(core, arguments, |before, in_all| in_all - 1 - before)
    }),
    Command::new("zscore", 3, Keys::First, READS, score),
];

/// The members of a set, and when it expires.
fn set(core: &mut Core, key: &[u8]) -> Result<(Rc<Members>, Option<u64>), Refusal> {
    match core.look_up(key) {
        None => Ok((Rc::default(), None)),
        Some(stored) => match &stored.value {
            Value::Set(members) => Ok((Rc::clone(members), stored.expires)),
            _ => Err(WRONG_TYPE.into()),
        },
    }
}

fn count(number: usize) -> Reply {
    Reply::Integer(i64::try_from(number).expect("it is small"))
}

fn in_order(members: &Members) -> Vec<(i64, &Bytes)> {
    let members = members.iter().map(|(member, score)| (*score, member));
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
    let (before, expires) = set(core, &arguments[1])?;
    let mut members = Members::clone(&before);
    for (score, member) in scored {
        members.insert(member.as_slice().into(), score);
    }
    let added = members.len() - before.len();
    if members != *before {
        core.put_value(&arguments[1], Value::Set(Rc::new(members)), expires);
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
    let members = in_order(&members);
    let length = i64::try_from(members.len()).expect("it is small");
    let place = |index: i64| if index < 0 { index + length } else { index };
    let (from, to) = (place(from).max(0), place(to));
    let members = (0..).zip(members);
    let members = members.filter(|(index, _)| (from..=to).contains(index));
    Ok(told(core, members.map(|(_, member)| member), with_scores))
}

fn told<'a>(
    core: &mut Core,
    members: impl Iterator<Item = (i64, &'a Bytes)>,
    with_scores: bool,
) -> Reply {
    let protocol = core.client().protocol;
    let in_script = core.running.is_some();
    let mut answer = Vec::new();
    for (score, member) in members {
        let member = Reply::Bulk(Bytes::clone(member));
        if !with_scores {
            answer.push(member);
        } else if in_script || protocol.number() == 2 {
            answer.push(member);
            answer.push(Reply::bulk(score.to_string()));
        } else {
            answer.push(Reply::Array(vec![member, Reply::Double(score)]));
        }
    }
    Reply::Array(answer)
}

/// The scores from one bound to another.
struct Within {
    least: i64,
    most: i64,
}

impl Within {
    fn of(least: &[u8], most: &[u8]) -> Result<Self, Refusal> {
        let bound = |text: &[u8], next: i64| {
            let (text, next) = match text.strip_prefix(b"(") {
                Some(text) => (text, next),
                None => (text, 0),
            };
            match text {
                b"-inf" => Ok(i64::MIN),
                b"+inf" | b"inf" => Ok(i64::MAX),
                text => match integer(text) {
                    Ok(score) => Ok(score.saturating_add(next)),
                    Err(_) => Err(Refusal::from("ERR min or max is not a float")),
                },
            }
        };
        Ok(Self {
            least: bound(least, 1)?,
            most: bound(most, -1)?,
        })
    }

    fn has(&self, score: i64) -> bool {
        (self.least..=self.most).contains(&score)
    }
}

fn range_by_score(core: &mut Core, arguments: &Arguments) -> Answer {
    let (mut with_scores, mut skipped, mut most) = (false, 0, i64::MAX);
    let mut options = &arguments[4..];
    while let [option, rest @ ..] = options {
        options = match (word(option).as_str(), rest) {
            ("WITHSCORES", rest) => {
                with_scores = true;
                rest
            }
            ("LIMIT", [from, count, rest @ ..]) => {
                (skipped, most) = (integer(from)?, integer(count)?);
                rest
            }
            _ => return Err(SYNTAX),
        };
    }
    let within = Within::of(&arguments[2], &arguments[3])?;
    let (members, _) = set(core, &arguments[1])?;
    let members = in_order(&members).into_iter();
    let members = members.filter(|(score, _)| within.has(*score));
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let members: Vec<_> = match usize::try_from(skipped) {
        Ok(skipped) => members.skip(skipped).take(most).collect(),
        Err(_) => Vec::new(),
    };
    Ok(told(core, members.into_iter(), with_scores))
}

/// `place` is what is said of a member, by how many are before it, of how many in all.
fn rank(core: &mut Core, arguments: &Arguments, place: fn(usize, usize) -> usize) -> Answer {
    let (members, _) = set(core, &arguments[1])?;
    let in_all = members.len();
    let mut members = in_order(&members).into_iter();
    let before = members.position(|(_, member)| **member == *arguments[2]);
    Ok(before.map_or(Reply::Null, |before| count(place(before, in_all))))
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
    let gone = &arguments[2..];
    retain(core, &arguments[1], |member, _| {
        !gone.iter().any(|gone| **gone == *member)
    })
}

/// Removes all others. Answers how many there were.
fn retain(core: &mut Core, key: &[u8], keeps: impl Fn(&[u8], i64) -> bool) -> Answer {
    let (mut members, expires) = set(core, key)?;
    let gone = members.iter().filter(|(it, score)| !keeps(it, **score));
    let gone = gone.count();
    if gone > 0 && gone == members.len() {
        core.put(key, None);
    } else if gone > 0 {
        Rc::make_mut(&mut members).retain(|member, score| keeps(member, *score));
        core.put_value(key, Value::Set(members), expires);
    }
    Ok(count(gone))
}
