//! What is wrong on the command line is said in one line, with the mend.

mod common;

use std::process::{Command, Stdio};

use common::{PROGRAM, hold, tool};
use redis_locked_test_support::{Directory, Server};

#[tokio::test]
async fn a_mistake_is_answered_with_its_mend() {
    let server = Server::start().await;
    for (arguments, told) in [
        (
            "run -k k --ttl 5s ./nightly.sh",
            "write `--` before the command, as in `redis-locked run … -- ./nightly.sh`",
        ),
        (
            "run --kye k --ttl 5s -- true",
            "there is no option --kye; did you mean --key? Or see `",
        ),
        (
            "run -k k --ttl 5 -- true",
            "--ttl \"5\": it has no unit; write 5s, 5m or 5h",
        ),
        ("run -k k -- true", "give --ttl"),
        ("run -k k --ttl 5s", "give `--` and a command"),
        (
            "run -k k --ttl 5s --retries 1 --wait 1s -- true",
            "exclude each other: give one of them",
        ),
        (
            "run -k k --wait -- true",
            "--wait needs a value: --wait <DURATION>",
        ),
        (
            "run -k k --ttl 5s --retries often -- true",
            "--retries \"often\": it is no whole number; give one, such as 3",
        ),
        (
            "run -k k --ttl 5s --max-hold 1m -- true",
            "--max-hold needs --renew",
        ),
        (
            "run -k k --ttl 5s --permits 0 -- true",
            "--permits \"0\": let in 1 at a time, which is a plain lock, up to 1000",
        ),
        (
            "run -k k --ttl 5s --permits 2 --once-per 1d -- true",
            "leave out --once-per and --record, or --permits and --shared",
        ),
        (
            "run -k k --ttl 5s --once-per daily -- true",
            "write a number and a unit, such as 30s, 1m 30s or 1d",
        ),
        (
            "--prefix jobs: list",
            "--prefix stands behind the command, as in `redis-locked list --prefix …`",
        ),
        (
            "run -k k --ttl 5s --min-hold 6s -- true",
            "--min-hold is over --ttl of 5s; raise --ttl, or use --renew",
        ),
        (
            "lst",
            "there is no command \"lst\"; did you mean `list` or `last`?",
        ),
        ("hold k --for 2h", "give --why"),
        ("hold k --why migration", "give --for"),
        ("last --older-than 26", "write 26s, 26m or 26h"),
        ("forget", "give <KEY>"),
        (
            "list --sort size",
            "--sort is none of key, owner, left, fence",
        ),
        (
            "list --url http://localhost",
            "a URL or certificate cannot be used",
        ),
        (
            "list --url localhost",
            "a URL or certificate cannot be used",
        ),
        ("break k", "give --owner or --token"),
        ("break", "give a key with --owner or --token"),
    ] {
        let words: Vec<_> = arguments.split(' ').collect();
        let ended = tool(&server.url(), &words).await;
        assert_eq!((ended.code, ended.out.as_str()), (64, ""), "{ended:?}");
        assert!(ended.err.contains(told), "{arguments}: {}", ended.err);
        assert!(ended.err.starts_with("redis-locked: "), "{}", ended.err);
        assert_eq!(ended.err.lines().count(), 1, "{}", ended.err);
        for library in ["`ttl`", "`renew`", "its min_hold", "`shared`"] {
            assert!(!ended.err.contains(library), "{}", ended.err);
        }
    }
    let ended = tool("", &["list"]).await;
    let told = "give --url, or set REDIS_URL";
    assert!(ended.err.contains(told), "{}", ended.err);
}

#[tokio::test]
async fn the_help_has_what_installs_the_tool_whole() {
    let help = tool("", &["--help"]).await;
    assert_eq!(help.code, 0, "{help:?}");
    for command in ["man", "completions"] {
        assert!(
            help.out.contains(&format!("\n  {command} ")),
            "{}",
            help.out
        );
    }
    let none = tool("", &[]).await;
    assert_eq!(none.code, 64, "{none:?}");
}

#[tokio::test]
async fn pages_show_values_and_what_stands_before_a_command() {
    let directory = Directory::new();
    let path = directory.path().to_str().expect("text");
    let written = tool("", &["man", path]).await;
    assert_eq!((written.code, written.err.as_str()), (0, ""));
    let page = std::fs::read_to_string(directory.path().join("redis-locked-run.1"));
    let page = page.expect("a page of `run`").replace("\\-", "-");
    let part = "redis-locked run [OPTIONS] --key KEY --ttl DURATION -- COMMAND";
    assert!(page.contains(part), "{page}");
    let page = std::fs::read_to_string(directory.path().join("redis-locked-show.1"));
    let page = page.expect("a page of `show`");
    assert!(page.contains("<KEY>"), "{page}");
}

/// As in `redis-locked completions bash | head -1`.
#[tokio::test]
async fn a_reader_that_has_gone_is_no_panic() {
    let server = Server::start().await;
    for number in 0..2_000 {
        hold(&server, &format!("lock:{number}"), "web").await;
    }
    let url = server.url();
    let gone = |arguments: &[&str]| {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).env("REDIS_URL", &url);
        let started = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut started = started.expect("started");
        drop(started.stdout.take());
        let ended = started.wait_with_output().expect("it ends");
        (
            ended.status.code(),
            String::from_utf8_lossy(&ended.stderr).into_owned(),
        )
    };
    for shell in ["bash", "zsh", "fish"] {
        assert_eq!(gone(&["completions", shell]), (Some(74), String::new()));
    }
    assert_eq!(gone(&["list"]), (Some(74), String::new()));
    let (_, told) = gone(&["run", "--help"]);
    assert_eq!(told, "");
}
