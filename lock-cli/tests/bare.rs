//! Where there is no /proc, as in a chroot or a small container.
#![cfg(target_os = "linux")]

mod common;

use std::process::Command;

use common::{LIMIT, PROGRAM, signal};
use redis_locked_test_support::process::Launch;
use redis_locked_test_support::{Process, Server};

const HIDE: &str = "mount -t tmpfs none /proc && exec \"$@\"";

/// What starts a program without /proc; `None`, with a message, where that is not allowed.
fn hidden() -> Option<Vec<&'static str>> {
    for flags in ["--mount", "--mount --map-root-user"] {
        let mut start = vec!["unshare"];
        start.extend(flags.split(' '));
        start.extend(["sh", "-c", HIDE, "sh"]);
        let tried = Command::new(start[0])
            .args(&start[1..])
            .args(["test", "!", "-e", "/proc/self"])
            .status();
        if tried.is_ok_and(|status| status.success()) {
            return Some(start);
        }
    }
    eprintln!("skipped: no /proc can be hidden here");
    None
}

/// Runs a script after another one has prepared for it.
fn run(server: &Server, before: &str, tool: &str, script: &str) -> Option<Process> {
    let before = format!("{before} exec \"$@\" 2>&1");
    let launch = ["-c", &before, "sh"]
        .iter()
        .fold(Process::program("sh"), Launch::arg);
    let launch = hidden()?.iter().fold(launch, Launch::arg);
    let run = ["run", "-k", "k", "--ttl", "10s", "--", "sh", "-c", script];
    let launch = run.iter().fold(launch.arg(tool), Launch::arg);
    Some(launch.env("REDIS_URL", server.url()).start())
}

#[tokio::test]
async fn without_proc_the_command_is_started_all_the_same() {
    let server = Server::start().await;
    let directory = std::path::Path::new(PROGRAM).parent().expect("a path");
    let on_path = format!("PATH={}:$PATH;", directory.display());
    for (before, tool) in [("", PROGRAM), (&on_path, "redis-locked")] {
        let Some(run) = run(&server, before, tool, "echo ran; exit 7") else {
            return;
        };
        assert_eq!(run.wait(LIMIT).await.code(), Some(7), "{:?}", run.lines());
        assert_eq!(run.lines(), ["ran"]);
    }
}

#[tokio::test]
async fn without_proc_a_hangup_is_left_to_nohup_and_else_passed_on() {
    let server = Server::start().await;
    let script = "echo begun; sleep 0.5; echo done";
    for (before, code) in [("trap '' HUP;", 0), ("", 128 + 1)] {
        let Some(run) = run(&server, before, PROGRAM, script) else {
            return;
        };
        assert_eq!(run.line(LIMIT).await, "begun");
        signal(&run, "HUP");
        let status = run.wait(LIMIT).await;
        assert_eq!(status.code(), Some(code), "{:?}", run.lines());
    }
}
