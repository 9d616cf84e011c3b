//! Our scripts, and random arguments for them.

use proptest::prelude::*;
use redis_locked_simulation::simulation::source_of;

use crate::pair::Command;
use crate::random::{any_of, key, millis, value};

/// Somebody listens on it; on any other, nobody does.
pub(crate) const BELL: &str = "bell";

/// Of runs that succeed. How long ago a success was is not told of it: that differs by the time that
/// passes between the two servers.
const SUCCESSES: &str = "successes";
/// Of runs that do not.
const FAILURES: &str = "failures";
/// When a run began, in milliseconds since 1970; and the length of a period, so that it did not end lately
/// and does not soon.
const LONG_AGO: &str = "1000000000000";

/// One who wants a place, or has it. Permits have a `p` behind the token, shared places an `s`.
pub(crate) fn placed() -> impl Strategy<Value = String> {
    any_of(&[
        "aaaaaaaaaaaaaaaaaaaaaap;web",
        "bbbbbbbbbbbbbbbbbbbbbbp;web",
        "ccccccccccccccccccccccp;web",
        "dddddddddddddddddddddds;web",
        "eeeeeeeeeeeeeeeeeeeeees;web",
    ])
}

/// The lock's key, and the line's beside it; or a counter at most.
fn keys() -> impl Strategy<Value = Vec<String>> {
    let beside = prop::sample::select(&[
        &["line", "seats", "counter"] as &[&str],
        &["line", "seats", "counter"],
        &["other", "seats", "counter"],
        &["counter"],
        &[],
    ]);
    (key(), beside).prop_map(|(key, beside)| {
        let beside = beside.iter().copied().map(str::to_owned);
        [key].into_iter().chain(beside).collect()
    })
}

fn record() -> impl Strategy<Value = String> {
    any_of(&[SUCCESSES, FAILURES, "other"])
}

fn plain_or(one: impl Strategy<Value = String> + 'static) -> BoxedStrategy<String> {
    prop_oneof![value(), one].boxed()
}

/// Of `acquire`: the value, its ttl, and how long the counter lives.
fn to_acquire() -> impl Strategy<Value = Vec<String>> {
    (value(), millis(), millis()).prop_map(|(value, ttl, lives)| vec![value, ttl, lives])
}

/// Of `look` and of `acquire_place`. What lasts for long does for longer than a test.
fn to_look(value: BoxedStrategy<String>) -> impl Strategy<Value = Vec<String>> {
    let wishes = (any_of(&["0", "1"]), any_of(&[BELL, BELL, "unheard", ""]));
    let place = any_of(&["", "", "5"]);
    (value, millis(), wishes, place, any_of(&["0", "0", "1"])).prop_map(
        |(value, ttl, (fenced, bell), place, coalesce)| {
            let (stamp, long) = ("7".to_owned(), "30000".to_owned());
            let lives = "60000".to_owned();
            vec![
                value,
                ttl,
                lives,
                fenced,
                bell,
                stamp,
                long.clone(),
                long,
                place,
                coalesce,
            ]
        },
    )
}

/// Of `release` and of `release_place`: how long the key stays, and how long a doubt.
fn to_release(value: BoxedStrategy<String>) -> impl Strategy<Value = Vec<String>> {
    let (keep, doubt) = (any_of(&["0", "20000"]), any_of(&["0", "0", "30000"]));
    (value, keep, doubt).prop_map(|(value, keep, doubt)| {
        let lives = "60000".to_owned();
        vec![value, keep, lives, doubt]
    })
}

/// What `record_begin` is given.
fn to_begin(record: &str) -> BoxedStrategy<String> {
    let plain = "0 0 60000".to_owned();
    if record == SUCCESSES {
        Just(plain).boxed()
    } else {
        prop_oneof![Just(plain), Just(format!("{LONG_AGO} 500 60000"))].boxed()
    }
}

/// What `record_end` is given.
fn to_end(record: &str) -> BoxedStrategy<String> {
    let outcome = if record == SUCCESSES { "ok" } else { "error" };
    let period = any_of(&["0", LONG_AGO]);
    prop_oneof![
        period.prop_map(move |period| format!("{LONG_AGO} {period} - {outcome} 60000")),
        Just(String::new()),
    ]
    .boxed()
}

/// With a record around it.
fn recorded(
    script: &'static str,
    given: impl Strategy<Value = (Vec<String>, Vec<String>)>,
    with: fn(&str) -> BoxedStrategy<String>,
) -> impl Strategy<Value = Command> {
    let record = record().prop_flat_map(move |record| (with(&record), Just(record)));
    (given, record, by_hash()).prop_map(
        move |((mut keys, mut arguments), (of_record, record), by_hash)| {
            keys.push(record);
            arguments.push(of_record);
            run(script, by_hash, &keys, &arguments)
        },
    )
}

fn by_hash() -> impl Strategy<Value = bool> {
    prop::bool::ANY
}

/// A script, with keys and arguments that belong together.
fn plain(
    script: &'static str,
    given: impl Strategy<Value = (Vec<String>, Vec<String>)>,
) -> impl Strategy<Value = Command> {
    (given, by_hash())
        .prop_map(move |((keys, arguments), by_hash)| run(script, by_hash, &keys, &arguments))
}

fn one_key() -> impl Strategy<Value = Vec<String>> {
    key().prop_map(|key| vec![key])
}

fn extended(value: BoxedStrategy<String>) -> impl Strategy<Value = Vec<String>> {
    (value, millis()).prop_map(|(value, ttl)| vec![value, ttl])
}

/// Of one key or two.
fn few_keys() -> impl Strategy<Value = Vec<String>> {
    (key(), prop::option::of(key()))
        .prop_map(|(key, other)| [Some(key), other].into_iter().flatten().collect())
}

/// The run that a record says is under way.
fn begun() -> impl Strategy<Value = Command> {
    (record(), plain_or(placed())).prop_map(|(record, value)| {
        let run = format!("{LONG_AGO} 0 - {value}");
        ["HSET", &record, "run", &run]
            .map(|part| part.as_bytes().to_vec())
            .to_vec()
    })
}

/// A period that is done, and its success.
fn done() -> impl Strategy<Value = Command> {
    Just(
        [
            "HSET",
            FAILURES,
            "done",
            LONG_AGO,
            "success_at",
            LONG_AGO,
            "success_by",
            "web",
        ]
        .map(|part| part.as_bytes().to_vec())
        .to_vec(),
    )
}

pub(crate) fn script() -> impl Strategy<Value = Command> {
    let value = || value().boxed();
    let placed = || plain_or(placed());
    let place = (to_look(placed()), any_of(&["1", "2", "2", ""])).prop_map(|(mut all, number)| {
        all.push(number);
        all
    });
    let free = Just(Vec::<String>::new());
    let last = (key(), record()).prop_map(|(key, record)| vec![key, record]);
    let of_locks = prop_oneof![
        plain("acquire", (few_keys(), to_acquire())),
        plain("extend", (one_key(), extended(value()))),
        plain("look", (keys(), to_look(value()))),
        plain("release", (keys(), to_release(value()))),
    ];
    let of_places = prop_oneof![
        2 => plain("acquire place", (keys(), place)),
        1 => plain("release place", (keys(), to_release(placed()))),
        1 => plain("extend place", (one_key(), extended(placed()))),
        1 => plain("list holders", (one_key(), free.clone())),
    ];
    let of_records = prop_oneof![
        recorded("acquire and begin", (few_keys(), to_acquire()), to_begin),
        recorded("look and begin", (keys(), to_look(value())), to_begin),
        recorded("end and release", (keys(), to_release(value())), to_end),
        plain("last run", (last, free)),
        begun(),
        done(),
    ];
    prop_oneof![2 => of_locks, 3 => of_places, 2 => of_records]
}

fn run(script: &str, by_hash: bool, keys: &[String], arguments: &[String]) -> Command {
    let source = source_of(script);
    let hash = redis::Script::new(source).get_hash().to_owned();
    let (name, script) = if by_hash {
        ("EVALSHA", hash.as_str())
    } else {
        ("EVAL", source)
    };
    let count = keys.len().to_string();
    let head = [name, script, &count].into_iter();
    let rest = keys.iter().chain(arguments).map(String::as_str);
    head.chain(rest)
        .map(|part| part.as_bytes().to_vec())
        .collect()
}
