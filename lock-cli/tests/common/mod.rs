//! The tool as a process.
#![allow(dead_code)] // each test binary uses its own part

use std::ffi::OsStr;
use std::process::{Command, Stdio};
use std::time::Duration;

use redis_locked_test_support::process::Launch;
use redis_locked_test_support::{Process, Server, until_some};

pub(crate) mod terminal;

pub(crate) const LIMIT: Duration = Duration::from_secs(20);
pub(crate) const TOKEN: &str = "abcdefghij-_ABCDEFGHIJ";

/// What a run of the tool came to.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_redis-locked");

/// Runs the tool to its end.
pub(crate) async fn tool(url: &str, arguments: &[&str]) -> Ended {
    let mut command = Command::new(PROGRAM);
    command.args(arguments).env("REDIS_URL", url);
    end(command).await
}

/// Runs a program to its end.
pub(crate) async fn end(mut command: Command) -> Ended {
    command
        .env_remove("REDIS_LOCKED_FENCE")
        .stdin(Stdio::null());
    let running = tokio::task::spawn_blocking(move || command.output().expect("started"));
    let output = tokio::time::timeout(LIMIT, running)
        .await
        .expect("it ends")
        .expect("it was waited for");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    Ended {
        code: output.status.code().expect("an exit code"),
        out: text(output.stdout),
        err: text(output.stderr),
    }
}

/// Starts the tool; what it says is among the lines of its output.
pub(crate) fn start<S: AsRef<OsStr>>(url: &str, arguments: &[S]) -> Process {
    let launch = Process::program("sh")
        .arg("-c")
        .arg("exec \"$@\" 2>&1")
        .arg("sh")
        .arg(PROGRAM)
        .env("REDIS_URL", url);
    let launch = arguments.iter().fold(launch, Launch::arg);
    launch.start()
}

/// Sends a signal by its name, as in `TERM`.
pub(crate) fn signal(process: &Process, name: &str) {
    signal_to(process.id(), name);
}

/// Sends a signal to a process by its id.
pub(crate) fn signal_to(id: u32, name: &str) {
    let id = id.to_string();
    let sent = Command::new("kill").args(["-s", name, &id]).status();
    assert!(sent.expect("kill").success());
}

/// As the kernel tells it: `T` for one that is stopped.
#[cfg(target_os = "linux")]
pub(crate) fn is_stopped(id: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.contains(") T ")
}

/// The value of a key that is held.
pub(crate) async fn held(server: &Server, key: &str) -> String {
    until_some(LIMIT, format!("{key} is held"), async || {
        server.get(key).await
    })
    .await
}

/// Has the key be held by someone with this name.
pub(crate) async fn hold(server: &Server, key: &str, owner: &str) {
    let value = format!("{TOKEN};{owner}");
    server.set_px(key, value.as_str(), 60_000).await;
}

/// Makes a user anew, whose password is `secret`: with these rights and no others.
pub(crate) async fn grant(server: &Server, user: &str, rules: &[&str]) {
    let mut command = redis::cmd("ACL");
    command.arg("SETUSER").arg(user);
    command.arg("reset").arg("on").arg(">secret");
    for rule in rules.iter().flat_map(|rules| rules.split(' ')) {
        command.arg(rule);
    }
    ask(server, &command).await;
}

/// Sends a command.
pub(crate) async fn ask(server: &Server, command: &redis::Cmd) {
    let mut connection = server.connection().await;
    let answer = command.query_async::<redis::Value>(&mut connection).await;
    answer.expect("an answer");
}
