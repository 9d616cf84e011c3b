//! `run`: what it does with the command, and what it ends with.

mod common;

use std::process::Command;
use std::time::Duration;

use common::{LIMIT, PROGRAM, TOKEN, held, hold, signal, start, tool};
use redis_locked_runtime::Locker;
use redis_locked_test_support::process::Launch;
use redis_locked_test_support::{Directory, Process, Server, until};

/// What a shell does until a trap ends it.
const LOOP: &str = "while :; do sleep 0.01; done";

/// The arguments of a run of a shell script.
fn script<'a>(options: &[&'a str], script: &'a str) -> Vec<&'a str> {
    let run = ["run", "--key", "k", "--ttl", "10s"];
    [&run, options, &["--", "sh", "-c", script]].concat()
}

#[tokio::test]
async fn the_command_has_the_lock_and_its_exit_code_is_passed_on() {
    let server = Server::start().await;
    let url = server.url();
    let ended = tool(&url, &script(&[], "echo out; echo err >&2; exit 7")).await;
    assert_eq!(ended.code, 7);
    assert_eq!((ended.out.as_str(), ended.err.as_str()), ("out\n", "err\n"));
    assert!(!server.exists("k").await);
    let run = start(
        &url,
        &script(&["--owner", "cron-1"], "echo begun; sleep 60"),
    );
    assert_eq!(run.line(LIMIT).await, "begun");
    assert!(held(&server, "k").await.ends_with(";cron-1"));
    assert!(server.pttl("k").await > 0);
}

#[tokio::test]
async fn a_line_for_the_shell_is_run_by_it() {
    let server = Server::start().await;
    let run = [
        "run",
        "-k",
        "k",
        "--ttl",
        "10s",
        "-c",
        "echo $((6 * 7)) | cat; exit 3",
    ];
    let ended = tool(&server.url(), &run).await;
    assert_eq!((ended.code, ended.out.as_str()), (3, "42\n"), "{ended:?}");
    let both = [&run[..], &["--", "true"]].concat();
    assert_eq!(tool(&server.url(), &both).await.code, 64);
}

#[tokio::test]
async fn a_command_knows_its_lock() {
    let server = Server::start().await;
    let line = "echo $REDIS_LOCKED_PREFIX $REDIS_LOCKED_KEY $REDIS_LOCKED_TOKEN";
    let run = [
        "run", "-k", "k", "--prefix", "jobs:", "--ttl", "10s", "-c", line,
    ];
    let ended = tool(&server.url(), &run).await;
    let words: Vec<_> = ended.out.split_whitespace().collect();
    assert_eq!(words[..2], ["jobs:", "k"], "{ended:?}");
    assert_eq!(words[2].len(), 22, "{ended:?}");
}

/// It would wait until its own ttl is over.
#[tokio::test]
async fn a_run_inside_of_a_run_does_not_wait_for_the_lock_around_it() {
    let server = Server::start().await;
    let run =
        |key: &str, rest: &str| format!("{PROGRAM} run -k {key} --ttl 10s --wait 15s -c '{rest}'");
    let run_whole = |line: String| {
        let url = server.url();
        async move { tool(&url, &["run", "-k", "a", "--ttl", "20s", "-c", &line]).await }
    };
    let inner = run_whole(run("a", "echo ran")).await;
    assert_eq!((inner.code, inner.out.as_str()), (64, ""), "{inner:?}");
    assert!(inner.err.contains("would wait for itself"), "{inner:?}");
    let other = run_whole(run("b", "echo ran")).await;
    assert_eq!((other.code, other.out.as_str()), (0, "ran\n"), "{other:?}");
    // With another lock between.
    let line = format!("{PROGRAM} run -k b --ttl 10s -- {}", run("a", "echo ran"));
    let inner = run_whole(line).await;
    assert_eq!((inner.code, inner.out.as_str()), (64, ""), "{inner:?}");
}

/// As of a daemon that was started under it.
#[tokio::test]
async fn a_variable_of_a_lock_that_has_ended_hinders_nobody() {
    let server = Server::start().await;
    let run = ["run", "-k", "k", "--ttl", "10s", "--", "echo", "ran"];
    for (holder, tokens, code) in [
        (None, TOKEN, 0),
        (Some("ABCDEFGHIJ-_abcdefghij;web"), TOKEN, 75),
        (Some("~abcdefghij-_ABCDEFGHIJ;web"), TOKEN, 75),
        (Some("abcdefghij-_ABCDEFGHIJ;web"), "", 75),
        (Some("abcdefghij-_ABCDEFGHIJ;web"), TOKEN, 64),
    ] {
        match holder {
            Some(value) => server.set_px("k", value, 60_000).await,
            None => drop(server.del("k").await),
        }
        let mut command = Command::new(PROGRAM);
        command.args(run).env("REDIS_URL", server.url());
        command.env("REDIS_LOCKED_TOKENS", tokens);
        let ended = common::end(command).await;
        assert_eq!(ended.code, code, "{holder:?}: {ended:?}");
    }
}

#[tokio::test]
async fn a_max_hold_that_is_short_leaves_time_to_run() {
    let server = Server::start().await;
    let options = ["--ttl", "10m", "--renew", "--max-hold", "8s"];
    let run = [&["run", "-k", "k"], &options[..], &["--", "echo", "ran"]].concat();
    let ended = tool(&server.url(), &run).await;
    assert_eq!((ended.code, ended.out.as_str()), (0, "ran\n"), "{ended:?}");
}

#[tokio::test]
async fn a_command_that_a_signal_ended_is_told_as_shells_do() {
    let server = Server::start().await;
    let ended = tool(&server.url(), &script(&[], "kill -KILL $$")).await;
    assert_eq!((ended.code, ended.err.as_str()), (128 + 9, ""));
}

#[tokio::test]
async fn a_busy_lock_runs_nothing() {
    let server = Server::start().await;
    hold(&server, "k", "web-3:812").await;
    let url = server.url();
    let ended = tool(&url, &script(&[], "echo ran")).await;
    assert_eq!((ended.code, ended.out.as_str()), (75, ""));
    for told in ["\"k\"", "busy", "web-3:812"] {
        assert!(ended.err.contains(told), "{}", ended.err);
    }
    let ended = tool(&url, &script(&["--busy-exit", "3"], "echo ran")).await;
    assert_eq!((ended.code, ended.out.as_str()), (3, ""));
    let ended = tool(&url, &script(&["--skip"], "echo ran")).await;
    assert_eq!(
        (ended.code, ended.out.as_str(), ended.err.as_str()),
        (0, "", "")
    );
    let ended = tool(&url, &script(&["--skip", "-v"], "echo ran")).await;
    assert_eq!((ended.code, ended.out.as_str()), (0, ""));
    assert_eq!(
        ended.err,
        "redis-locked: skipped: web-3:812 has lock \"k\"; nothing was run\n"
    );
    let options = ["--retries", "2", "--backoff", "1ms..5ms"];
    let ended = tool(&url, &script(&options, "echo ran")).await;
    assert_eq!((ended.code, ended.out.as_str()), (75, ""));
    assert!(ended.err.contains("tried 3 times"), "{}", ended.err);
}

#[tokio::test]
async fn waiting_ends_when_the_lock_is_released() {
    let server = Server::start().await;
    hold(&server, "k", "web-3:812").await;
    let run = start(&server.url(), &script(&["--wait", "20s"], "echo ran"));
    until(LIMIT, "it waits", async || server.connections().await >= 2).await;
    server.del("k").await;
    assert_eq!(run.wait(LIMIT).await.code(), Some(0));
    assert_eq!(run.lines(), ["ran"]);
    hold(&server, "k", "web-3:812").await;
    let ended = tool(&server.url(), &script(&["--wait", "50ms"], "echo ran")).await;
    assert_eq!((ended.code, ended.out.as_str()), (75, ""));
}

/// It is passed on for 2 s, and a command is left a quarter of its ttl to end.
#[tokio::test]
async fn a_lock_that_is_passed_on_lasts_as_long_as_one_that_is_taken() {
    let server = Server::start().await;
    let locker = Locker::connect(&server.url()).await.expect("connected");
    let held = locker.lock("k").acquire().await.expect("free");
    let waiting = ["run", "-k", "k", "--ttl", "30s", "--wait", "20s"];
    let run = start(
        &server.url(),
        &[&waiting[..], &["--", "echo", "ran"]].concat(),
    );
    until(LIMIT, "it is in line", async || {
        server.exists("{k}:line").await
    })
    .await;
    held.release().await.expect("ours");
    assert_eq!(run.wait(LIMIT).await.code(), Some(0), "{:?}", run.lines());
    assert_eq!(run.lines(), ["ran"]);
}

#[tokio::test]
async fn a_redis_that_cannot_be_asked_runs_nothing_and_is_not_busy() {
    let server = Server::start().await;
    let url = server.url();
    server.kill();
    let ended = tool(&url, &script(&["--skip"], "echo ran")).await;
    assert_eq!((ended.code, ended.out.as_str()), (69, ""), "{ended:?}");
    server.restart().await;
    server.set_read_only(true).await;
    let ended = tool(&url, &script(&["--skip"], "echo ran")).await;
    assert_eq!((ended.code, ended.out.as_str()), (69, ""), "{ended:?}");
}

#[tokio::test]
async fn what_cannot_be_meant_is_64_and_sends_nothing() {
    let wrong = [
        &["--max-hold", "1h"][..],
        &["--retries", "1", "--wait", "1s"],
        &["--skip", "--busy-exit", "1"],
        &["--grace", "10s"],
        &["--grace", "2s", "--renew", "--max-hold", "3s"],
        &["--busy-exit", "256"],
        &["--wait", "soon"],
        &["--min-hold", "11s"],
        &["--nonsense"],
    ];
    let server = Server::start().await;
    for options in wrong {
        let ended = tool(&server.url(), &script(options, "echo ran")).await;
        assert_eq!((ended.code, ended.out.as_str()), (64, ""), "{ended:?}");
    }
    assert!(!server.command_calls().await.contains_key("set"));
    let short = ["run", "-k", "k", "--ttl", "500ms", "--", "true"];
    assert_eq!(tool(&server.url(), &short).await.code, 64);
}

#[tokio::test]
async fn a_command_that_does_not_exist_is_127_and_frees_the_lock() {
    let server = Server::start().await;
    let run = ["run", "-k", "k", "--ttl", "10s", "--"];
    let ended = tool(&server.url(), &[&run[..], &["no-such-command"]].concat()).await;
    assert_eq!(ended.code, 127);
    assert!(ended.err.contains("no-such-command"), "{}", ended.err);
    let ended = tool(&server.url(), &[&run[..], &["/"]].concat()).await;
    assert_eq!(ended.code, 126);
    assert!(!server.exists("k").await);
}

#[tokio::test]
async fn a_process_that_cannot_be_started_is_71_and_frees_the_lock() {
    let server = Server::start().await;
    hold(&server, "k", "web-3:812").await;
    let directory = Directory::new();
    let program = directory.path().join("redis-locked");
    let program = program.to_str().expect("text");
    // By a process, so that none of ours has it open for writing while it is started.
    let copied = Command::new("cp").args([PROGRAM, program]).status();
    assert!(copied.expect("cp").success());
    let launch = Process::program("sh")
        .arg("-c")
        .arg("exec \"$@\" 2>&1")
        .arg("sh");
    let launch = launch.arg(program).env("REDIS_URL", server.url());
    let wait = script(&["--wait", "forever"], "echo ran");
    let run = wait.iter().fold(launch, Launch::arg).start();
    until(LIMIT, "it waits", async || server.connections().await >= 2).await;
    // Its command begins as another process of the same program.
    let forbidden = Command::new("chmod").args(["a-x", program]).status();
    assert!(forbidden.expect("chmod").success());
    server.del("k").await;
    assert_eq!(run.wait(LIMIT).await.code(), Some(71));
    let told = run.lines().join("\n");
    assert!(told.contains("the command could not be started"), "{told}");
    assert!(!told.contains("ran"), "{told}");
    assert!(!server.exists("k").await);
}

#[tokio::test]
async fn the_number_is_in_the_environment_unless_it_is_not_wanted() {
    let server = Server::start().await;
    let url = server.url();
    let echo = "echo ${REDIS_LOCKED_FENCE-none}";
    let told = async |options: &[&str]| tool(&url, &script(options, echo)).await.out;
    let number = async || told(&[]).await.trim().parse::<u64>().expect("a number");
    let first = number().await;
    let second = number().await;
    assert!(second > first, "{first}, {second}");
    server.del("{k}:fence").await;
    assert_eq!(told(&["--no-fence"]).await, "none\n");
    assert!(!server.exists("{k}:fence").await);
    let program = env!("CARGO_BIN_EXE_redis-locked");
    let inner = format!("exec {program} run -k other --ttl 10s --no-fence -- sh -c '{echo}'");
    let ended = tool(&url, &script(&[], &inner)).await;
    assert_eq!(ended.out, "none\n", "that of a lock around it");
}

#[tokio::test]
async fn a_key_that_allows_no_counter_has_no_number() {
    let server = Server::start().await;
    for (key, prefix) in [("a}b", ""), ("b", "a}")] {
        let run = ["run", "-k", key, "--prefix", prefix, "--ttl", "10s", "--"];
        let command = ["sh", "-c", "echo ${REDIS_LOCKED_FENCE-none}"];
        let ended = tool(&server.url(), &[&run[..], &command].concat()).await;
        assert_eq!((ended.code, ended.out.as_str()), (0, "none\n"), "{ended:?}");
    }
}

#[tokio::test]
async fn min_hold_keeps_the_key_after_a_command_that_was_soon_done() {
    let server = Server::start().await;
    let ended = tool(&server.url(), &script(&["--min-hold", "9s"], "true")).await;
    assert_eq!(ended.code, 0);
    assert!((5_000..9_000).contains(&server.pttl("k").await));
}

#[tokio::test]
async fn signals_reach_the_command() {
    let server = Server::start().await;
    for name in ["INT", "TERM", "HUP", "QUIT", "USR1", "USR2"] {
        // Nothing in the background: a shell's child loses signals until it has dropped the traps.
        let trap = format!("trap 'echo got {name}; exit 9' {name}; echo begun; {LOOP}");
        let run = start(&server.url(), &script(&[], &trap));
        assert_eq!(run.line(LIMIT).await, "begun");
        signal(&run, name);
        // Beside what the shell says of the sleep that the signal ended.
        run.wait_for_line(&format!("got {name}"), LIMIT).await;
        assert_eq!(run.wait(LIMIT).await.code(), Some(9), "{name}");
        assert!(!server.exists("k").await);
    }
}

#[tokio::test]
async fn a_signal_reaches_what_the_command_has_started() {
    let server = Server::start().await;
    let deaf = format!("trap '' TERM; (trap 'echo got it; exit' TERM; echo begun; {LOOP}); exit 6");
    let run = start(&server.url(), &script(&[], &deaf));
    assert_eq!(run.line(LIMIT).await, "begun");
    signal(&run, "TERM");
    assert_eq!(run.wait(LIMIT).await.code(), Some(6));
}

#[tokio::test]
async fn the_lock_is_held_until_the_whole_group_has_ended() {
    let server = Server::start().await;
    let directory = Directory::new();
    let fifo = directory.path().join("fifo");
    let leave = format!(
        "mkfifo {0}; (read x < {0}) & echo left; exit 4",
        fifo.display()
    );
    let run = start(&server.url(), &script(&[], &leave));
    assert_eq!(run.line(LIMIT).await, "left");
    // The command has ended; what it left behind has not.
    for _ in 0..20 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert!(server.exists("k").await);
    }
    std::fs::write(&fifo, "x\n").expect("written");
    assert_eq!(run.wait(LIMIT).await.code(), Some(4));
    assert!(!server.exists("k").await);
}

#[tokio::test]
async fn a_daemon_that_the_command_has_started_keeps_no_lock_that_is_the_commands_only() {
    let server = Server::start().await;
    let leave = "sleep 60 < /dev/null > /dev/null 2>&1 & echo $!; exit 4";
    let ended = tool(&server.url(), &script(&["--command-only"], leave)).await;
    assert_eq!(ended.code, 4, "{ended:?}");
    assert!(!server.exists("k").await);
    let kill = Command::new("kill").arg(ended.out.trim()).status();
    assert!(
        kill.expect("kill").success(),
        "it was ended with the command"
    );
}

#[tokio::test]
async fn a_signal_while_waiting_ends_the_wait_and_leaves_no_key() {
    let server = Server::start().await;
    hold(&server, "k", "web-3:812").await;
    let run = start(&server.url(), &script(&["--wait", "forever"], "echo ran"));
    until(LIMIT, "it waits", async || server.connections().await >= 2).await;
    signal(&run, "USR1");
    signal(&run, "TERM");
    assert_eq!(run.wait(LIMIT).await.code(), Some(128 + 15));
    assert_eq!(run.lines(), [""; 0]);
    server.del("k").await;
    assert!(!server.exists("k").await);
}

#[tokio::test]
async fn under_nohup_a_hangup_is_ignored() {
    let server = Server::start().await;
    let tool = env!("CARGO_BIN_EXE_redis-locked");
    let inner = format!(
        "trap '' HUP; exec {tool} run -k inner --ttl 10s -- sh -c 'echo begun; read x < /dev/null; sleep 0.3; echo done'"
    );
    let run = Process::program("sh")
        .arg("-c")
        .arg(inner)
        .env("REDIS_URL", server.url())
        .start();
    assert_eq!(run.line(LIMIT).await, "begun");
    signal(&run, "HUP");
    assert_eq!(run.wait(LIMIT).await.code(), Some(0));
    assert_eq!(run.lines(), ["begun", "done"]);
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_command_dies_with_the_tool() {
    let server = Server::start().await;
    let run = start(&server.url(), &script(&[], "echo $$; exec sleep 60"));
    let command = run.line(LIMIT).await;
    run.kill();
    until(LIMIT, "the command is dead", async || {
        let stat = std::fs::read_to_string(format!("/proc/{command}/stat"));
        // A zombie, where process 1 buries nobody, is dead enough.
        stat.is_ok_and(|stat| stat.contains(") Z "))
            || !std::path::Path::new(&format!("/proc/{command}")).exists()
    })
    .await;
}

#[tokio::test]
async fn pages_and_completions_are_made() {
    let directory = Directory::new();
    let pages = directory.path().join("man");
    let ended = tool("", &["man", pages.to_str().expect("text")]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let page = std::fs::read_to_string(pages.join("redis-locked-run.1")).expect("a page");
    assert!(page.contains("flock"), "{page}");
    assert!(pages.join("redis-locked.1").exists());
    for shell in ["bash", "zsh", "fish"] {
        let ended = tool("", &["completions", shell]).await;
        assert!(ended.out.contains("busy-exit"), "{shell}");
    }
}
