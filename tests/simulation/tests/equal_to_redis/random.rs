//! Random commands of several clients, and our scripts among them.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::cell::RefCell;
use std::fmt;
use std::thread::sleep;
use std::time::Duration;

use crate::pair::{Command, Pair, command, real_server};
use crate::scripts::{BELL, placed, script};

const CLIENTS: usize = 3;

#[derive(Clone)]
struct Step {
    client: usize,
    command: Command,
    /// Behind it. In the shortest, what is left of every time becomes less; in a longer one, what
    /// is given one millisecond expires.
    pause: Duration,
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = self.command.iter().map(|it| String::from_utf8_lossy(it));
        let words: Vec<_> = words
            .map(|it| it.chars().take(50).collect::<String>())
            .collect();
        write!(f, "client {}: {}", self.client, words.join(" "))
    }
}

pub(crate) fn any_of(words: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop::sample::select(words).prop_map(str::to_owned)
}

pub(crate) fn key() -> impl Strategy<Value = String> {
    any_of(&["lock", "lock", "lock", "counter", "other"])
}

pub(crate) fn value() -> impl Strategy<Value = String> {
    any_of(&[
        "a;web",
        "b;web",
        "~a;web",
        "12",
        "1795881856666372",
        "",
        "x",
    ])
}

/// Long ones, and one that is over before the next step.
pub(crate) fn millis() -> impl Strategy<Value = String> {
    any_of(&["30000", "60000", "90000000", "1"])
}

fn words() -> impl Strategy<Value = String> {
    prop_oneof![
        key().prop_map(|key| format!("GET {key}")),
        key().prop_map(|key| format!("PTTL {key}")),
        key().prop_map(|key| format!("EXISTS {key} lock")),
        key().prop_map(|key| format!("TYPE {key}")),
        key().prop_map(|key| format!("DEL {key}")),
        key().prop_map(|key| format!("DEL {key} lock")),
        key().prop_map(|key| format!("PERSIST {key}")),
        key().prop_map(|key| format!("HSET {key} f v")),
        (key(), placed()).prop_map(|(key, value)| format!("ZREM {key} {value}")),
        any_of(&["DEL line", "DEL seats", "DEL successes", "DEL failures"]),
        any_of(&["ZRANGE line 0 -1 WITHSCORES", "ZRANGE lock 0 -1 WITHSCORES"]),
        (key(), value()).prop_map(|(key, value)| format!("SET {key} {value}")),
        (
            key(),
            value(),
            millis(),
            any_of(&[" NX", " XX", "", " GET", " NX GET"])
        )
            .prop_map(|(key, value, millis, how)| format!("SET {key} {value} PX {millis}{how}")),
        (key(), millis(), any_of(&[" NX", " XX", "", " GT", " LT"]))
            .prop_map(|(key, millis, how)| format!("PEXPIRE {key} {millis}{how}")),
        any_of(&[
            "CLIENT TRACKING ON NOLOOP",
            "CLIENT TRACKING ON NOLOOP",
            "CLIENT TRACKING ON",
            "CLIENT TRACKING OFF",
            "HELLO 2",
            "SELECT 0",
            "SELECT 0",
            "SELECT 1",
            "FLUSHALL",
            "FLUSHDB",
            "SCRIPT FLUSH",
            "CLIENT GETNAME",
            "DBSIZE",
        ]),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let command = prop_oneof![words().prop_map(|words| command(&words)), script()];
    (0..CLIENTS, command).prop_map(|(client, command)| Step {
        client,
        pause: if command.iter().any(|part| part == b"1") {
            Duration::from_millis(3)
        } else {
            Duration::from_micros(1100)
        },
        command,
    })
}

/// How many cases there are: `EQUAL_CASES` says so for a long run.
fn cases() -> u32 {
    let wanted = std::env::var("EQUAL_CASES").ok();
    wanted.map_or(100, |wanted| {
        wanted.parse().expect("EQUAL_CASES is a number")
    })
}

#[tokio::test]
async fn random_commands_and_scripts() {
    let Some(server) = real_server().await else {
        return;
    };
    let config = Config {
        cases: cases(),
        failure_persistence: None,
        ..Config::default()
    };
    let told = RefCell::new(0);
    let outcome = TestRunner::new(config).run(&prop::collection::vec(step(), 1..40), |steps| {
        // The last one only listens.
        let mut pair = Pair::new(&server, CLIENTS + 1);
        for client in 0..CLIENTS {
            for words in ["HELLO 3 SETNAME test", "CLIENT TRACKING ON NOLOOP"] {
                pair.ask(client, &command(words));
            }
        }
        for words in ["HELLO 3", &format!("SUBSCRIBE {BELL}")] {
            pair.ask(CLIENTS, &command(words));
        }
        for step in steps {
            let heard = pair.ask(step.client, &step.command);
            let word = b"invalidate";
            let pushes = heard
                .real
                .iter()
                .flat_map(|bytes| bytes.windows(word.len()));
            *told.borrow_mut() += pushes.filter(|it| it == word).count();
            prop_assert!(heard.is_same(), "{step:?}\n{}", heard.story());
            sleep(step.pause);
        }
        Ok(())
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    println!("{} invalidations", told.borrow());
    assert!(*told.borrow() > 0, "nobody was told of a change");
}
