//! Makes mistakes in the sources, one at a time, and has the simulation find them.
//!
//! Seeds of busy worlds are left out: nothing goes wrong in them, and they take the longest. Of what
//! needs a line, places, records and the like, only seeds of worlds with many of these are looked at.
//!
//! `scripts/breaks.sh` compiles, tests and runs it, in a copy of the tree. The list's form is told at its head.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};
use std::{env, io};

const PACKAGE: &str = "redis-locked-simulation";
/// Faster to build than what is built for a million sections.
const QUICK: &str = "profile.dev.package.redis-locked-simulation.opt-level=1";
/// With a mistake, a process may never come to rest.
const LIMIT: Duration = Duration::from_secs(600);
const BUILD_LIMIT: Duration = Duration::from_secs(1800);
const LOG: &str = "breaks.log";
/// Where a mistaken script is written.
const SCRIPT: &str = "breaks.lua";

#[derive(Debug, PartialEq)]
struct Break {
    name: String,
    file: String,
    finder: Finder,
    effect: String,
    now: String,
    mistake: String,
}

/// What has to find it.
#[derive(Debug, Clone, PartialEq)]
enum Finder {
    /// The simulation, within so many seeds.
    Seeds(u64, Worlds),
    /// A test of the package.
    Test(String),
}

/// Which worlds are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Worlds {
    Calmer,
    Line,
    Places,
    Records,
    Doubt,
    Quorum,
    Renewed,
    Taken,
    Arrays,
    Numbers,
}

impl Worlds {
    const ALL: [Self; 10] = [
        Self::Calmer,
        Self::Line,
        Self::Places,
        Self::Records,
        Self::Doubt,
        Self::Quorum,
        Self::Renewed,
        Self::Taken,
        Self::Arrays,
        Self::Numbers,
    ];

    /// As the simulation calls them.
    fn name(self) -> &'static str {
        match self {
            Self::Calmer => "calmer",
            Self::Line => "line",
            Self::Places => "places",
            Self::Records => "records",
            Self::Doubt => "doubt",
            Self::Quorum => "quorum",
            Self::Renewed => "renewed",
            Self::Taken => "taken",
            Self::Arrays => "arrays",
            Self::Numbers => "numbers",
        }
    }
}

/// What came of a run.
#[derive(Debug, PartialEq)]
enum Outcome {
    Found(String),
    /// Some seed does not come to its end.
    Hangs,
    NotFound,
    DoesNotCompile,
}

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let [list, words @ ..] = arguments.as_slice() else {
        eprintln!("usage: breaks LIST [WORD …]");
        return ExitCode::from(2);
    };
    match run(list, words) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("breaks: {error}");
            ExitCode::from(2)
        }
    }
}

/// Answers how many were not found.
fn run(list: &str, words: &[String]) -> Result<usize, String> {
    let text = read(list)?;
    let all = parse(&text)?;
    for it in &all {
        it.mistaken(&read(&it.file)?)?;
    }
    let seeds = match env::var("BREAKS_SEEDS") {
        Ok(seeds) => Some(seeds.parse().map_err(|_| "BREAKS_SEEDS is no number")?),
        Err(_) => None,
    };
    let is_wanted = |it: &&Break| words.is_empty() || words.iter().any(|word| it.name.contains(word));
    let wanted: Vec<_> = all.iter().filter(is_wanted).collect();
    let finders = wanted.iter().map(|it| match (&it.finder, seeds) {
        (Finder::Seeds(_, worlds), Some(seeds)) => Finder::Seeds(seeds, *worlds),
        (finder, _) => finder.clone(),
    });
    let finders: Vec<_> = finders.collect();
    check_without_mistakes(&finders)?;
    let mut missed = 0;
    for (it, finder) in wanted.iter().zip(&finders) {
        let (outcome, took) = it.make_and_find(finder)?;
        let took = took.as_secs_f64();
        let said = match outcome {
            Outcome::Found(how) => format!("found in {took:.1} s: {how}"),
            Outcome::Hangs => format!("found in {took:.1} s: it does not come to an end"),
            Outcome::NotFound => {
                missed += 1;
                format!("NOT FOUND by {finder:?} in {took:.1} s. {}", it.effect)
            }
            Outcome::DoesNotCompile => return Err(format!("{}: it does not compile; see {LOG}", it.name)),
        };
        println!("{}: {said}", it.name);
    }
    println!("{} of {} found", wanted.len() - missed, wanted.len());
    Ok(missed)
}

/// What finds something where there is no mistake says nothing of those that are made.
fn check_without_mistakes(finders: &[Finder]) -> Result<(), String> {
    let mut most = BTreeMap::new();
    for finder in finders {
        if let Finder::Seeds(seeds, worlds) = finder {
            let most = most.entry(*worlds).or_insert(0);
            *most = (*most).max(*seeds);
        }
    }
    let mut each: Vec<_> = most.into_iter().map(|(worlds, seeds)| Finder::Seeds(seeds, worlds)).collect();
    for finder in finders {
        if matches!(finder, Finder::Test(_)) && !each.contains(finder) {
            each.push(finder.clone());
        }
    }
    for finder in &each {
        match attempt(finder, None)? {
            Outcome::NotFound => println!("without a mistake, nothing is found by {finder:?}"),
            other => return Err(format!("without a mistake: {other:?}; see {LOG}")),
        }
    }
    Ok(())
}

fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))
}

fn parse(text: &str) -> Result<Vec<Break>, String> {
    let mut parts = text.split("\n== ");
    parts.next();
    parts.map(parse_one).collect()
}

fn parse_one(text: &str) -> Result<Break, String> {
    let name = text.lines().next().unwrap_or_default();
    let wrong = |what: &str| format!("{name}: {what}");
    let (head, texts) = text.split_once("\n-- now\n").ok_or_else(|| wrong("it has no `-- now`"))?;
    let (now, mistake) = texts
        .split_once("\n-- mistake\n")
        .ok_or_else(|| wrong("it has no `-- mistake`"))?;
    let field = |field: &str| {
        let mut lines = head.lines().skip(1);
        lines
            .find_map(|line| line.strip_prefix(field)?.strip_prefix(": "))
            .map(str::to_owned)
            .ok_or_else(|| wrong(&format!("it has no `{field}`")))
    };
    Ok(Break {
        name: name.to_owned(),
        file: field("file")?,
        finder: match field("test") {
            Ok(test) => Finder::Test(test),
            Err(_) => {
                let seeds = field("seeds")?.parse().map_err(|_| wrong("its seeds are no number"))?;
                let worlds = field("worlds").unwrap_or_else(|_| Worlds::Calmer.name().to_owned());
                let worlds = Worlds::ALL.into_iter().find(|it| it.name() == worlds);
                Finder::Seeds(seeds, worlds.ok_or_else(|| wrong("there are no such worlds"))?)
            }
        },
        effect: field("effect")?,
        now: now.to_owned(),
        mistake: mistake.trim_end_matches('\n').to_owned(),
    })
}

impl Break {
    /// The file with the mistake.
    fn mistaken(&self, source: &str) -> Result<String, String> {
        match source.matches(&self.now).count() {
            1 => Ok(source.replacen(&self.now, &self.mistake, 1)),
            count => Err(format!(
                "{}: its text is in {} {count} times; bring tests/simulation/breaks.txt up to date",
                self.name, self.file
            )),
        }
    }

    /// A mistake in a script is made by the simulated servers, so that nothing has to be built.
    fn make_and_find(&self, finder: &Finder) -> Result<(Outcome, Duration), String> {
        let write = |path: &str, text: &str| {
            fs::write(path, text).map_err(|error| format!("{path}: {error}"))
        };
        let source = read(&self.file)?;
        let mistaken = self.mistaken(&source)?;
        let began = Instant::now();
        if let Finder::Seeds(..) = finder
            && self.file.ends_with(".lua")
        {
            write(SCRIPT, &mistaken)?;
            let outcome = attempt(finder, Some(&self.file))?;
            return Ok((outcome, began.elapsed()));
        }
        write(&self.file, &mistaken)?;
        let outcome = attempt(finder, None);
        write(&self.file, &source)?;
        Ok((outcome?, began.elapsed()))
    }
}

/// Builds what is there now, and looks at it; with the mistaken script in the place of this one, if it is
/// said.
fn attempt(finder: &Finder, script: Option<&str>) -> Result<Outcome, String> {
    let cargo = |what: &str, arguments: &[&str]| {
        let mut command = Command::new("cargo");
        command.args(["--config", QUICK, what, "--package", PACKAGE]).args(arguments);
        command
    };
    let run = |command, limit| within(command, limit).map_err(|error| format!("{PACKAGE}: {error}"));
    let build = match finder {
        Finder::Seeds(..) => cargo("build", &["--bin", PACKAGE]),
        Finder::Test(test) => cargo("test", &["--no-run", "--test", test]),
    };
    if run(build, BUILD_LIMIT)? != Some(true) {
        return Ok(Outcome::DoesNotCompile);
    }
    let ended = match finder {
        Finder::Seeds(seeds, worlds) => {
            let target = env::var("CARGO_TARGET_DIR").unwrap_or_else(|_| "target".to_owned());
            let mut simulation = Command::new(Path::new(&target).join("debug").join(PACKAGE));
            if let Some(script) = script {
                simulation.args(["--instead", &format!("{script},{SCRIPT}")]);
            }
            simulation.args(["--worlds", worlds.name(), "--seeds", &format!("0..{seeds}")]);
            run(simulation, LIMIT.max(Duration::from_secs(2 * seeds)))?
        }
        Finder::Test(test) => run(cargo("test", &["--test", test]), LIMIT)?,
    };
    let log = fs::read(LOG).map_err(|error| format!("{LOG}: {error}"))?;
    Ok(outcome(ended, &String::from_utf8_lossy(&log)))
}

fn outcome(ended: Option<bool>, log: &str) -> Outcome {
    let broken = log.lines().filter_map(|line| {
        let (seed, promise) = line.strip_prefix("broken seed ")?.split_once(": ")?;
        Some((seed.parse::<u64>().ok()?, promise))
    });
    let failed = |line: &&str| line.starts_with("Test failed: ") || line.contains("panicked at");
    match (broken.min(), ended) {
        (Some((seed, promise)), _) => Outcome::Found(format!("at seed {seed}: {promise}")),
        (None, None) => Outcome::Hangs,
        (None, Some(true)) => Outcome::NotFound,
        (None, Some(false)) => {
            let line = log.lines().find(failed).unwrap_or("it fails");
            Outcome::Found(line.chars().take(300).collect())
        }
    }
}

/// Whether the command succeeds, if it ends in time. What it writes goes into the log.
fn within(mut command: Command, limit: Duration) -> io::Result<Option<bool>> {
    let log = File::create(LOG)?;
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    let mut child = command.spawn()?;
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status.success()));
        }
        if began.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        sleep(Duration::from_millis(20));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "Words.\n\n== a\nfile: f.rs\nseeds: 7\neffect: It fails.\n-- now\none\ntwo\n-- mistake\nthree\n\n\
                        == b\nfile: g.rs\ntest: t\neffect: It fails.\n-- now\nfour\n-- mistake\n";

    #[test]
    fn a_list_is_read() {
        let all = parse(LIST).unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!((all[0].name.as_str(), all[0].file.as_str()), ("a", "f.rs"));
        assert_eq!(all[0].finder, Finder::Seeds(7, Worlds::Calmer));
        assert_eq!(all[1].finder, Finder::Test("t".to_owned()));
        assert_eq!((all[0].now.as_str(), all[0].mistake.as_str()), ("one\ntwo", "three"));
        assert_eq!((all[1].now.as_str(), all[1].mistake.as_str()), ("four", ""));
    }

    #[test]
    fn a_mistake_may_need_a_line() {
        let of = |worlds: &str| LIST.replace("seeds: 7\n", &format!("seeds: 7\nworlds: {worlds}\n"));
        assert_eq!(parse(&of("line")).unwrap()[0].finder, Finder::Seeds(7, Worlds::Line));
        assert_eq!(parse(&of("other")), Err("a: there are no such worlds".to_owned()));
    }

    #[test]
    fn what_is_missing_is_named() {
        let text = "x\n== a\nfile: f\neffect: e\n-- now\na\n-- mistake\nb\n";
        assert_eq!(parse(text), Err("a: it has no `seeds`".to_owned()));
        assert!(parse("x\n== a\nfile: f\n").is_err());
    }

    #[test]
    fn a_text_that_is_gone_or_there_twice_is_an_error() {
        let it = &parse(LIST).unwrap()[0];
        assert_eq!(it.mistaken("zero\none\ntwo\n").unwrap(), "zero\nthree\n");
        assert!(it.mistaken("one\n").is_err());
        assert!(it.mistaken("one\ntwo\none\ntwo\n").is_err());
    }

    #[test]
    fn the_first_seed_counts() {
        let log = "a story\nbroken seed 9: late\nbroken seed 3: two holders\n5 seeds\n";
        let found = Outcome::Found("at seed 3: two holders".to_owned());
        assert_eq!(outcome(Some(false), log), found);
        assert_eq!(outcome(None, "nothing"), Outcome::Hangs);
        assert_eq!(outcome(Some(true), "5 seeds"), Outcome::NotFound);
        let failed = "running\nthread 'x' panicked at y\n";
        assert_eq!(outcome(Some(false), failed), Outcome::Found("thread 'x' panicked at y".to_owned()));
    }
}
