//! The short ways of the line's scripts leave every key as the rest of these scripts would, and say the same.

use std::cell::Cell;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use redis_locked_simulation::simulation::server::{ClientId, Options, Said, Server};
use redis_locked_simulation::simulation::{SHORT_WAYS, source_of};

/// It tells that the script went on behind the short way.
const MARK: &str = "redis.call('SET', 'rest', '1')\n";

const KEYS: &str = "lock line seats counter";
/// Who may wait: each has a connection, on which it hears its bell.
const WAITERS: usize = 6;
/// When it begins, in microseconds since 1970.
const BEGIN: u64 = 1_790_000_000_000_000;

#[derive(Debug, Clone)]
enum Step {
    /// One who waits looks; whoever has the lock comes anew.
    Look {
        who: usize,
        fenced: bool,
        again: bool,
        coalesce: bool,
        has_bell: bool,
    },
    /// A permit's look, with a seat in the same line.
    LookForPlace(usize),
    /// Whoever has the lock gives it back.
    Release {
        keep: u32,
        doubt: u32,
    },
    /// One gives up.
    Leave(usize),
    /// So many milliseconds pass.
    Pass(u64),
    /// A bell is heard no more, or is again.
    Deaf(usize),
    Hears(usize),
    /// A stranger sends a command.
    Foreign(&'static str),
}

fn step() -> impl Strategy<Value = Step> {
    let who = || 0..WAITERS;
    let rarely = || prop::bool::weighted(0.1);
    let look = (who(), rarely(), rarely(), rarely(), rarely());
    let pass = prop_oneof![6 => 1..40_u64, 1 => 900..1_100_u64, 1 => 1_990..2_010_u64, 1 => 7_000..9_000_u64];
    let foreign = prop::sample::select(vec![
        "DEL lock",
        "SET lock x PX 500",
        "SET lock x",
        "DEL seats",
        "DEL line",
        "HDEL seats #row",
        "HSET seats #row garbage",
        "SET seats x",
        "SET line x",
    ]);
    prop_oneof![
        20 => look.prop_map(|(who, fenced, again, coalesce, deaf)| Step::Look {
            who,
            fenced,
            again,
            coalesce,
            has_bell: !deaf,
        }),
        1 => who().prop_map(Step::LookForPlace),
        16 => (prop_oneof![9 => Just(0), 1 => Just(300)], prop_oneof![9 => Just(0), 1 => Just(700)])
            .prop_map(|(keep, doubt)| Step::Release { keep, doubt }),
        1 => who().prop_map(Step::Leave),
        12 => pass.prop_map(Step::Pass),
        1 => who().prop_map(Step::Deaf),
        2 => who().prop_map(Step::Hears),
        1 => foreign.prop_map(Step::Foreign),
    ]
}

/// A server that runs scripts with their short way, or without.
struct Side {
    server: Server,
    clients: Vec<ClientId>,
    scripts: [String; 3],
    now: u64,
}

impl Side {
    fn new(short_ways: bool) -> Self {
        let script = |name, short: &str| {
            let source = source_of(name);
            assert_eq!(source.matches(short).count(), 1, "{name} has its short way");
            source.replace(short, &format!("{short}{MARK}"))
        };
        let mut server = Server::new(Options {
            short_ways,
            ..Options::default()
        });
        Self {
            clients: (0..=WAITERS).map(|_| server.open(BEGIN)).collect(),
            server,
            scripts: [
                script("look", SHORT_WAYS[0]),
                script("release", SHORT_WAYS[1]),
                source_of("acquire place").to_owned(),
            ],
            now: BEGIN,
        }
    }

    /// Its bell is heard no more.
    fn hang_up(&mut self, who: usize) {
        self.server.close(self.clients[who]);
    }

    /// Its bell is heard from now on.
    fn listen(&mut self, who: usize) {
        self.hang_up(who);
        self.clients[who] = self.server.open(self.now);
        for words in ["HELLO 3".to_owned(), format!("SUBSCRIBE bell-{who}")] {
            let parts: Vec<_> = words.split(' ').map(str::to_owned).collect();
            let heard = &self.ask(who, &parts)[who];
            assert!(
                heard.starts_with(b"%") || heard.starts_with(b">"),
                "{words}"
            );
        }
    }

    /// What each client hears after that.
    fn ask(&mut self, client: usize, parts: &[String]) -> Vec<Vec<u8>> {
        let mut bytes = format!("*{}\r\n", parts.len()).into_bytes();
        for part in parts {
            bytes.extend_from_slice(format!("${}\r\n{part}\r\n", part.len()).as_bytes());
        }
        self.server.hear(self.clients[client], &bytes, self.now);
        let mut heard = vec![Vec::new(); self.clients.len()];
        for (id, said) in self.server.said() {
            let client = self.clients.iter().position(|it| *it == id);
            let Said::Bytes(bytes) = said else {
                panic!("it hangs up");
            };
            heard[client.expect("one of these")].extend(bytes);
        }
        heard
    }

    fn run(&mut self, script: usize, arguments: &[String]) -> Vec<Vec<u8>> {
        let mut parts = vec![
            "EVAL".to_owned(),
            self.scripts[script].clone(),
            "4".to_owned(),
        ];
        parts.extend(KEYS.split(' ').map(str::to_owned));
        parts.extend_from_slice(arguments);
        self.ask(WAITERS, &parts)
    }

    fn get(&mut self, key: &str) -> Option<String> {
        let heard = self.ask(WAITERS, &["GET".to_owned(), key.to_owned()]);
        let answer = String::from_utf8_lossy(&heard[WAITERS]).into_owned();
        let value = answer.strip_prefix('$')?.split("\r\n").nth(1)?;
        (!value.is_empty()).then(|| value.to_owned())
    }

    /// Whether the script went on behind its short way, where it has one.
    fn took_the_rest(&mut self) -> bool {
        let answer = self.ask(WAITERS, &["DEL".to_owned(), "rest".to_owned()]);
        answer[WAITERS] == b":1\r\n"
    }
}

/// How often each short way was taken.
#[derive(Default)]
struct Taken([Cell<u32>; 2]);

struct Pair<'taken> {
    sides: [Side; 2],
    /// How often each has come.
    visits: [u32; WAITERS],
    taken: &'taken Taken,
}

impl Pair<'_> {
    fn value(&self, who: usize) -> String {
        format!(
            "{:022};w{who}",
            self.visits[who] * 10 + u32::try_from(who).expect("few")
        )
    }

    /// Both are asked the same and answer the same.
    fn ask(&mut self, what: &mut dyn FnMut(&mut Side) -> Vec<Vec<u8>>) -> Result<(), String> {
        let [one, other] = self.sides.each_mut().map(what);
        if one == other {
            return Ok(());
        }
        let show = |heard: &[Vec<u8>]| {
            let heard = heard.iter().map(|bytes| bytes.escape_ascii().to_string());
            heard.collect::<Vec<_>>().join("\n    ")
        };
        Err(format!(
            "the short way says:\n    {}\nthe rest says:\n    {}",
            show(&one),
            show(&other)
        ))
    }

    fn run(&mut self, script: usize, arguments: &[String]) -> Result<(), String> {
        self.ask(&mut |side| side.run(script, arguments))?;
        let [with, without] = self.sides.each_mut().map(Side::took_the_rest);
        if let Some(taken) = self.taken.0.get(script)
            && without
            && !with
        {
            taken.set(taken.get() + 1);
        }
        Ok(())
    }

    fn look(&mut self, step: &Step) -> Result<(), String> {
        let Step::Look {
            who,
            fenced,
            again,
            coalesce,
            has_bell,
        } = *step
        else {
            return Ok(());
        };
        let place = if again { "5" } else { "" };
        let bell = if has_bell {
            format!("bell-{who}")
        } else {
            String::new()
        };
        let number = |wanted: bool| u8::from(wanted).to_string();
        let value = self.value(who);
        // Who has the lock comes again with another value.
        if self.sides[0].get("lock").as_ref() == Some(&value) {
            self.visits[who] += 1;
        }
        let arguments = [
            self.value(who),
            "30000".to_owned(),
            "60000".to_owned(),
            number(fenced),
            bell,
            "7".to_owned(),
            "2000".to_owned(),
            "8000".to_owned(),
            place.to_owned(),
            number(coalesce),
        ];
        self.run(0, &arguments)
    }

    fn take(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Look { .. } => self.look(step)?,
            Step::LookForPlace(who) => {
                let value = format!("{who:022}p;w{who}");
                let bell = format!("bell-{who}");
                let rest = [
                    "30000", "60000", "0", &bell, "7", "2000", "8000", "", "0", "2",
                ];
                let arguments = [value.as_str()].into_iter().chain(rest).map(str::to_owned);
                let arguments: Vec<_> = arguments.collect();
                self.run(2, &arguments)?;
            }
            Step::Release { keep, doubt } => {
                let Some(value) = self.sides[0].get("lock") else {
                    return Ok(());
                };
                let arguments = [
                    value,
                    keep.to_string(),
                    "60000".to_owned(),
                    doubt.to_string(),
                ];
                self.run(1, &arguments)?;
            }
            Step::Leave(who) => {
                let arguments = [
                    self.value(*who),
                    "0".to_owned(),
                    "60000".to_owned(),
                    "0".to_owned(),
                ];
                self.run(1, &arguments)?;
            }
            Step::Pass(millis) => {
                for side in &mut self.sides {
                    side.now += millis * 1_000 + 137;
                    side.server.tick(side.now);
                }
            }
            Step::Deaf(who) => self.sides.iter_mut().for_each(|side| side.hang_up(*who)),
            Step::Hears(who) => self.sides.iter_mut().for_each(|side| side.listen(*who)),
            Step::Foreign(words) => {
                let parts: Vec<_> = words.split(' ').map(str::to_owned).collect();
                self.ask(&mut |side| side.ask(WAITERS, &parts))?;
            }
        }
        let [one, other] = self
            .sides
            .each_ref()
            .map(|side| format!("{:?}", side.server.data()));
        if one == other {
            Ok(())
        } else {
            Err(format!(
                "the short way leaves {one}\nthe rest leaves {other}"
            ))
        }
    }
}

fn compare(steps: &[Step], taken: &Taken) -> Result<(), String> {
    let mut pair = Pair {
        sides: [Side::new(true), Side::new(false)],
        visits: [0; WAITERS],
        taken,
    };
    for side in &mut pair.sides {
        (0..WAITERS).for_each(|who| side.listen(who));
    }
    for step in steps {
        pair.take(step)
            .map_err(|what| format!("{step:?}: {what}"))?;
    }
    Ok(())
}

#[test]
fn they_leave_what_the_rest_would() {
    let config = Config {
        cases: 600,
        failure_persistence: None,
        ..Config::default()
    };
    let taken = Taken::default();
    let outcome = TestRunner::new(config).run(&prop::collection::vec(step(), 1..120), |steps| {
        compare(&steps, &taken).map_err(TestCaseError::fail)
    });
    if let Err(error) = outcome {
        panic!("{error}");
    }
    let [looks, releases] = taken.0.map(Cell::into_inner);
    println!("{looks} looks and {releases} releases went the short way");
    assert!(
        looks > 500 && releases > 500,
        "{looks} looks, {releases} releases"
    );
}

/// Of a real server, in microseconds: for a script that was sent since the statistics were reset, or for `SET`.
fn micros_a_call(connection: &mut redis::Connection, command: &str) -> f64 {
    let info: String = redis::cmd("INFO")
        .arg("commandstats")
        .query(connection)
        .expect("it tells");
    let mut stats = info.lines().filter_map(|line| line.strip_prefix(command));
    let each = stats.find_map(|stats| {
        let mut stats = stats.split(',');
        stats.find_map(|stat| stat.strip_prefix("usec_per_call="))
    });
    each.expect("it was sent").parse().expect("a number")
}

/// Forty wait for a lock, and whoever has had it comes again.
#[tokio::test]
#[ignore = "prints figures: `cargo test -p redis-locked-simulation --test short_ways -- --ignored --nocapture`"]
async fn how_long_the_server_takes() {
    const WAITING: usize = 40;
    const TURNS: usize = 400;
    let server = redis_locked_test_support::Server::start().await;
    let client = redis::Client::open(server.url()).expect("a URL");
    let mut ears = client.get_connection().expect("it listens");
    let mut ears = ears.as_pubsub();
    for bell in 0..WAITING {
        ears.subscribe(format!("bell-{bell}")).expect("it may");
    }
    let mut connection = client.get_connection().expect("it listens");
    let mut send = |words: &str| {
        let words: Vec<_> = words.split(' ').collect();
        let (name, arguments) = words.split_first().expect("a command");
        let sent = redis::cmd(name).arg(arguments).exec(&mut connection);
        sent.expect("it may");
    };
    send("FLUSHALL");
    let scripts = |name, short: &str| {
        let source = source_of(name);
        [source.to_owned(), source.replace(short, "")].map(|source| redis::Script::new(&source))
    };
    let (looks, ends) = (
        scripts("look", SHORT_WAYS[0]),
        scripts("release", SHORT_WAYS[1]),
    );
    let mut connection = client.get_connection().expect("it listens");
    let value = |visit: usize| format!("{visit:022};w{}", visit % WAITING);
    let look = |script: &redis::Script, visit: usize, connection: &mut redis::Connection| {
        let bell = format!("bell-{}", visit % WAITING);
        let rest = ["30000", "60000", "0", &bell, "7", "2000", "8000", "", "0"];
        let mut asked = script.prepare_invoke();
        KEYS.split(' ').for_each(|key| {
            asked.key(key);
        });
        asked.arg(value(visit)).arg(&rest[..]);
        asked.invoke::<redis::Value>(connection).expect("it may");
    };
    let mut ratios = Vec::new();
    for round in 0..11 {
        let mut micros = [0.0; 2];
        for side in [round % 2, 1 - round % 2] {
            send("FLUSHALL");
            (0..=WAITING).for_each(|visit| look(&looks[side], visit, &mut connection));
            send("CONFIG RESETSTAT");
            for visit in 0..TURNS {
                // Or the key would be left to those who are in no line.
                if visit % 10 == 0 {
                    send("HDEL seats #row");
                }
                let mut asked = ends[side].prepare_invoke();
                KEYS.split(' ').for_each(|key| {
                    asked.key(key);
                });
                asked.arg(value(visit)).arg(&["0", "60000", "0"]);
                let released: i64 = asked.invoke(&mut connection).expect("it may");
                assert_eq!(released, 1, "it was passed on");
                look(&looks[side], visit + WAITING + 1, &mut connection);
            }
            micros[side] = 2.0 * micros_a_call(&mut connection, "cmdstat_evalsha:");
        }
        ratios.push(micros[0] / micros[1]);
        println!("a release and a look: {micros:.1?} µs, with the short ways and without");
    }
    ratios.sort_by(f64::total_cmp);
    println!("the median of the ratios: {:.2}", ratios[ratios.len() / 2]);
    send("FLUSHALL");
    send("CONFIG RESETSTAT");
    for visit in 0..TURNS {
        look(&looks[0], visit, &mut connection);
        send("DEL lock");
        send(&format!("SET lock {} NX PX 30000", value(visit)));
        send("DEL lock");
    }
    let [look, set] =
        ["cmdstat_evalsha:", "cmdstat_set:"].map(|name| micros_a_call(&mut connection, name));
    println!("of a free lock: a look {look:.1} µs, a SET {set:.1} µs");
}
