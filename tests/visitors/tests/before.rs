//! Processes of the version before the line, and new ones, on one key: nobody is lost or starves. The
//! old program is built of an old commit by `scripts/before.sh`; where the history is not there, as in a shallow
//! clone, these tests say so and end.

mod common;

use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use common::{LIMIT, Place};
use redis_locked_test_support::history::Visit;
use redis_locked_test_support::{Process, Server, until};

/// The old program's path.
static OLD: LazyLock<Option<String>> = LazyLock::new(|| {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/before.sh");
    let output = Command::new(script).output().expect("bash");
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => Some(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
        Some(3) => {
            eprintln!("skipped: {said}");
            None
        }
        _ => panic!("{said}"),
    }
});

/// Those that visit a few times are all served while the others come again and again.
async fn are_served_among(few: (&str, &[&str]), many: (&str, &[&str])) {
    let server = Server::start().await;
    let place = Place::at("one", &[server.url()]);
    let start = |(program, words): (&str, &[&str])| {
        let launch = place.built_as(program, words);
        launch.env("HOLD_US", "1000").start()
    };
    let many = start(many);
    many.wait_for_line("ready", LIMIT).await;
    until(LIMIT, "the many come and go", async || {
        let calls = server.command_calls().await;
        calls.get("set").is_some_and(|count| *count > 10)
    })
    .await;
    let few = start(few);
    place.all_well(std::slice::from_ref(&few)).await;
    many.kill();
    assert!(many.errors().is_empty(), "{:?}", many.errors());
    assert_eq!(many.lines(), ["ready"]);
    let (_, visits) = place.judged();
    let longest = |process: &Process| {
        let id = process.id().to_string();
        let of_process = visits.iter().filter(|visit| visit.process() == id);
        let longest = of_process.clone().map(Visit::waited).max().unwrap_or(0);
        (of_process.count(), Duration::from_nanos(longest))
    };
    let (few, many) = (longest(&few), longest(&many));
    println!("{few:?} beside {many:?}");
    // How often is chance: a process of the version before asks when the key is free, and so may be late.
    assert!(many.0 > 0, "they never met");
    // They are told when the key is free: looks that nobody is told of are 5 s apart.
    assert!(few.1 < Duration::from_secs(5), "{few:?}");
    assert!(many.1 < LIMIT, "{many:?}");
}

fn new() -> &'static str {
    env!("CARGO_BIN_EXE_visitors")
}

#[tokio::test]
async fn old_processes_are_served_beside_many_new_ones() {
    let Some(old) = OLD.as_deref() else { return };
    let few: &[&str] = &["visit", "2", "2", "2"];
    are_served_among((old, few), (new(), &["visit", "6", "1", "1000000"])).await;
}

#[tokio::test]
async fn new_processes_are_served_beside_many_old_ones() {
    let Some(old) = OLD.as_deref() else { return };
    let few: &[&str] = &["visit", "1", "1", "20"];
    are_served_among((new(), few), (old, &["visit", "6", "1", "1000000"])).await;
}

#[tokio::test]
async fn old_and_new_in_equal_numbers_are_all_served() {
    let Some(old) = OLD.as_deref() else { return };
    let server = Server::start().await;
    let place = Place::at("one", &[server.url()]);
    let words = ["visit", "4", "2", "20"];
    let processes = [old, new(), old, new()].map(|program| place.built_as(program, &words).start());
    place.all_well(&processes).await;
    let (summary, _) = place.judged();
    assert_eq!(summary.sections, 4 * 4 * 2 * 20);
    assert_eq!(summary.unfinished, 0);
}
