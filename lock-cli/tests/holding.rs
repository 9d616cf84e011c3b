//! `hold` and `unhold`.

mod common;

use std::process::Stdio;
use std::time::Duration;

use common::{LIMIT, PROGRAM, hold, signal, signal_to, start, tool};
use redis_locked_runtime::{LockError, Locker};
use redis_locked_test_support::{Process, Server, until};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

const TTL: Duration = Duration::from_secs(60);

async fn locker(server: &Server) -> Locker {
    Locker::connect(&server.url()).await.expect("connected")
}

fn args<'a>(more: &[&'a str]) -> Vec<&'a str> {
    [&["hold", "k", "--for", "2h", "--why", "migration"], more].concat()
}

/// Until then it has looked, and waits in the line.
async fn waits(server: &Server, process: &Process) {
    process.wait_for_line("waiting for its turn", LIMIT).await;
    until(LIMIT, "in the line", async || {
        server.zcard("{k}:line").await == 1
    })
    .await;
}

async fn owner(server: &Server) -> String {
    let value = server.get("k").await.expect("held");
    value.split_once(';').expect("one of ours").1.to_owned()
}

#[tokio::test]
async fn a_job_that_is_started_later_is_told_why() {
    let server = Server::start().await;
    let url = server.url();
    let held = tool(&url, &args(&[])).await;
    assert_eq!((held.code, held.err.as_str()), (0, ""));
    assert!(held.out.contains("for: migration"), "{}", held.out);
    // The tool is gone, and the lock stays.
    let left = server.pttl("k").await;
    assert!((7_100_000..=7_200_000).contains(&left), "{left}");
    let locker = locker(&server).await;
    let error = locker.lock("k").acquire().await.expect_err("held");
    let LockError::Busy { owner, .. } = &error else {
        panic!("{error}");
    };
    let owner = owner.as_deref().expect("named");
    assert!(owner.starts_with("held: migration (by "), "{owner}");
    assert!(error.to_string().contains("held: migration"), "{error}");
    let shown = tool(&url, &["show", "k"]).await;
    assert!(shown.out.contains("held: migration (by "), "{}", shown.out);
    // Nor is it held twice.
    let again = tool(&url, &args(&[])).await;
    assert_eq!(again.code, 1);
    assert!(again.err.contains("held: migration"), "{}", again.err);
    let freed = tool(&url, &["unhold", "k"]).await;
    assert_eq!((freed.code, freed.err.as_str()), (0, ""));
    assert!(
        freed.out.contains("it was held: migration"),
        "{}",
        freed.out
    );
    locker.lock("k").run(async {}).await.expect("free");
    let nothing = tool(&url, &["unhold", "k"]).await;
    assert_eq!((nothing.code, nothing.out.as_str()), (1, ""));
}

#[tokio::test]
async fn it_waits_for_its_turn_and_comes_before_those_who_come_later() {
    let server = Server::start().await;
    let locker = locker(&server).await;
    let running = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    let process = start(&server.url(), &args(&[]));
    waits(&server, &process).await;
    let later = tokio::spawn(locker.lock("k").wait(TTL).acquire());
    until(LIMIT, "both wait", async || {
        server.zcard("{k}:line").await == 2
    })
    .await;
    running.release().await.expect("ours");
    assert!(process.wait(LIMIT).await.success());
    assert!(owner(&server).await.starts_with("held: migration"));
    assert!(!later.is_finished());
    assert_eq!(tool(&server.url(), &["unhold", "k"]).await.code, 0);
    let later = later.await.expect("no panic").expect("its turn");
    later.release().await.expect("ours");
}

#[tokio::test]
async fn now_breaks_what_runs() {
    let server = Server::start().await;
    let locker = locker(&server).await;
    let running = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    let held = tool(&server.url(), &args(&["--now"])).await;
    assert_eq!(held.code, 0, "{}", held.err);
    assert!(held.err.contains("freed lock \"k\""), "{}", held.err);
    assert!(owner(&server).await.starts_with("held: migration"));
    assert!(running.release().await.expect_err("broken").is_not_held());
    // A hold as well.
    let again = ["hold", "k", "--for", "1h", "--why", "other", "--now"];
    assert_eq!(tool(&server.url(), &again).await.code, 0);
    assert!(owner(&server).await.starts_with("held: other"));
    // What is no lock of this library stays.
    server.set_px("k", "data", 60_000).await;
    let foreign = tool(&server.url(), &args(&["--now"])).await;
    assert_eq!(foreign.code, 64, "{}", foreign.err);
    assert_eq!(server.get("k").await.as_deref(), Some("data"));
}

#[tokio::test]
async fn who_gives_up_waiting_leaves_nothing_behind() {
    let server = Server::start().await;
    hold(&server, "k", "web-1:5").await;
    let process = start(&server.url(), &args(&[]));
    waits(&server, &process).await;
    signal(&process, "INT");
    assert_eq!(process.wait(LIMIT).await.code(), Some(130));
    assert_eq!(server.zcard("{k}:line").await, 0);
    // It is no hold, and not to be freed as one.
    let nothing = tool(&server.url(), &["unhold", "k"]).await;
    assert_eq!(nothing.code, 1, "{}", nothing.err);
    assert_eq!(owner(&server).await, "web-1:5");
}

#[tokio::test]
async fn any_text_is_a_reason() {
    let server = Server::start().await;
    let locker = locker(&server).await;
    for why in [
        "a;b~c",
        "größe\n\u{202e}x",
        "held: held:",
        "-v",
        &"x".repeat(300),
    ] {
        let why = format!("--why={why}");
        let held = tool(&server.url(), &["hold", "k", "--for", "1m", &why]).await;
        assert_eq!(held.code, 0, "{}", held.err);
        assert_eq!(held.out.lines().count(), 1, "{}", held.out);
        let error = locker.lock("k").acquire().await.expect_err("held");
        assert!(error.to_string().contains(": held: "), "{error}");
        assert_eq!(error.to_string().lines().count(), 1, "{error}");
        assert_eq!(tool(&server.url(), &["unhold", "k"]).await.code, 0, "{why}");
    }
    let blank = tool(&server.url(), &["hold", "k", "--for", "1m", "--why", " "]).await;
    assert_eq!(blank.code, 64, "{}", blank.err);
}

#[tokio::test]
async fn where_several_may_hold_it_waits_for_all_of_them_or_breaks_each() {
    let server = Server::start().await;
    let locker = locker(&server).await;
    let place = || locker.lock("k").permits(3).ttl(TTL).acquire();
    let (first, second) = (place().await.expect("free"), place().await.expect("free"));
    let process = start(&server.url(), &args(&[]));
    waits(&server, &process).await;
    first.release().await.expect("ours");
    second.release().await.expect("ours");
    assert!(process.wait(LIMIT).await.success());
    assert!(owner(&server).await.starts_with("held: migration"));
    assert!(place().await.expect_err("held").is_busy());
    assert_eq!(tool(&server.url(), &["unhold", "k"]).await.code, 0);
    let broken = [place().await.expect("free"), place().await.expect("free")];
    let held = tool(&server.url(), &args(&["--now"])).await;
    assert_eq!(held.code, 0, "{}", held.err);
    assert!(owner(&server).await.starts_with("held: migration"));
    for place in broken {
        assert!(place.release().await.expect_err("broken").is_not_held());
    }
}

/// The tool with a standard input of its own, which ends when that is dropped.
struct Script {
    process: Child,
    input: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
}

impl Script {
    fn start(server: &Server, more: &[&str]) -> Self {
        let mut command = Command::new(PROGRAM);
        command.args(["hold", "k", "--until-eof"]).args(more);
        command.env("REDIS_URL", server.url()).kill_on_drop(true);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut process = command.spawn().expect("started");
        let output = process.stdout.take().expect("a pipe");
        Self {
            input: process.stdin.take(),
            output: BufReader::new(output).lines(),
            process,
        }
    }

    async fn holds(&mut self) {
        let line = timeout(LIMIT, self.output.next_line()).await;
        let line = line.expect("in time").expect("read").expect("it says so");
        assert_eq!(line, "lock \"k\" is held until standard input ends");
    }

    /// Its exit code, and what it said of trouble.
    async fn end(self) -> (Option<i32>, String) {
        let ended = timeout(LIMIT, self.process.wait_with_output()).await;
        let ended = ended.expect("it ends").expect("waited for");
        let errors = String::from_utf8(ended.stderr).expect("text");
        (ended.status.code(), errors)
    }
}

#[tokio::test]
async fn a_lock_is_held_for_a_part_of_a_script_until_its_input_ends() {
    let server = Server::start().await;
    let locker = locker(&server).await;
    let mut script = Script::start(&server, &[]);
    script.holds().await;
    let error = locker.lock("k").acquire().await.expect_err("held");
    let pid = script.process.id().expect("it runs").to_string();
    assert!(error.to_string().contains(&pid), "{error}");
    // What is written there means nothing, and an operator's hold it is not.
    let input = script.input.as_mut().expect("open");
    input
        .write_all(b"some lines\nof text\n")
        .await
        .expect("written");
    assert_eq!(tool(&server.url(), &["unhold", "k"]).await.code, 1);
    assert!(server.pttl("k").await > 20_000);
    let waits = tokio::spawn(locker.lock("k").wait(TTL).acquire());
    until(LIMIT, "it waits", async || {
        server.zcard("{k}:line").await == 1
    })
    .await;
    assert!(!waits.is_finished());
    script.input = None;
    assert_eq!(script.end().await, (Some(0), String::new()));
    let guard = waits.await.expect("no panic").expect("its turn");
    guard.release().await.expect("ours");
}

#[tokio::test]
async fn a_script_that_dies_or_a_signal_frees_it_at_once() {
    let server = Server::start().await;
    let locker = locker(&server).await;
    // bash closes it for what it starts; and the kernel, when it is killed.
    let lines = format!(
        "coproc LOCK {{ {PROGRAM} hold k --until-eof; }}; read -r line <&${{LOCK[0]}} || exit 1; \
         echo \"has: $line\"; read -r"
    );
    let mut bash = Command::new("bash");
    bash.arg("-c").arg(lines).env("REDIS_URL", server.url());
    bash.stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    let mut bash = bash.spawn().expect("bash");
    let mut lines = BufReader::new(bash.stdout.take().expect("a pipe")).lines();
    let line = timeout(LIMIT, lines.next_line()).await.expect("in time");
    assert_eq!(
        line.expect("read").as_deref(),
        Some("has: lock \"k\" is held until standard input ends")
    );
    assert!(
        locker
            .lock("k")
            .acquire()
            .await
            .expect_err("held")
            .is_busy()
    );
    bash.kill().await.expect("killed");
    until(LIMIT, "it is free", async || !server.exists("k").await).await;

    let mut script = Script::start(&server, &["--why", "ledger"]);
    script.holds().await;
    assert!(owner(&server).await.starts_with("held: ledger (by "));
    signal_to(script.process.id().expect("it runs"), "TERM");
    let open = script.input.take();
    assert_eq!(script.end().await, (Some(128 + 15), String::new()));
    assert!(!server.exists("k").await);
    drop(open);
}

#[tokio::test]
async fn a_script_is_told_that_its_lock_is_lost() {
    let server = Server::start().await;
    let mut script = Script::start(&server, &[]);
    script.holds().await;
    server.set_px("k", "somebody else's", 60_000).await;
    // It is told at its next extension, or, once it has extended, at once.
    let (code, said) = script.end().await;
    assert_eq!(code, Some(76), "{said}");
    assert!(
        said.contains("lock \"k\" was lost: someone else has its key now"),
        "{said}"
    );
    assert_eq!(server.get("k").await.as_deref(), Some("somebody else's"));
}

#[tokio::test]
async fn a_script_that_ends_while_it_waits_holds_nothing() {
    let server = Server::start().await;
    hold(&server, "k", "web-1:5").await;
    let mut script = Script::start(&server, &[]);
    until(LIMIT, "in the line", async || {
        server.zcard("{k}:line").await == 1
    })
    .await;
    script.input = None;
    let (code, said) = script.end().await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("standard input ended before"), "{said}");
    assert_eq!(owner(&server).await, "web-1:5");
    assert_eq!(server.zcard("{k}:line").await, 0);
}

#[tokio::test]
async fn either_a_time_or_the_end_of_the_input() {
    let server = Server::start().await;
    for (args, mend) in [
        (&["hold", "k", "--why", "x"][..], "--for"),
        (&["hold", "k", "--for", "1m"], "--why"),
        (
            &["hold", "k", "--for", "1m", "--until-eof"],
            "exclude each other",
        ),
    ] {
        let refused = tool(&server.url(), args).await;
        assert_eq!(refused.code, 64, "{}", refused.err);
        assert!(refused.err.contains(mend), "{}", refused.err);
    }
    assert!(!server.exists("k").await);
}
