//! `run`: a command that is stopped where no shell would continue it.
#![cfg(target_os = "linux")]

mod common;

use std::time::Duration;

use common::{LIMIT, is_stopped, signal, signal_to, start};
use redis_locked_test_support::{Process, Server, until};

/// What a shell does until a trap ends it.
const LOOP: &str = "while :; do sleep 0.01; done";

/// Runs a script, and stops its shell alone when it has told its id.
async fn stopped(server: &Server, ttl: &str, traps: &str, then: &str) -> (Process, u32) {
    let run = ["run", "-k", "k", "--renew", "--ttl", ttl, "--", "sh", "-c"];
    let script = format!("{traps} echo $$; {then}");
    let run = start(&server.url(), &[&run[..], &[&script]].concat());
    let shell = run.line(LIMIT).await.parse().expect("an id");
    signal_to(shell, "STOP");
    until(LIMIT, "it is stopped", async || is_stopped(shell)).await;
    (run, shell)
}

#[tokio::test]
async fn a_signal_that_ends_reaches_what_is_stopped() {
    let server = Server::start().await;
    for name in ["INT", "TERM", "HUP", "QUIT"] {
        let trap = format!("trap 'echo got it; exit 9' {name};");
        let (run, _) = stopped(&server, "60s", &trap, LOOP).await;
        signal(&run, name);
        assert_eq!(run.wait(LIMIT).await.code(), Some(9), "{name}");
        assert!(!server.exists("k").await);
    }
}

#[tokio::test]
async fn a_signal_that_does_not_end_leaves_it_stopped() {
    let server = Server::start().await;
    let traps = "trap 'echo got it' USR1 USR2; trap 'exit 9' TERM;";
    let (run, shell) = stopped(&server, "60s", traps, LOOP).await;
    signal(&run, "USR1");
    // Signals are passed on one after the other.
    signal(&run, "USR2");
    for _ in 0..50 {
        tokio::time::sleep(Duration::from_millis(2)).await;
        assert!(is_stopped(shell));
    }
    signal(&run, "TERM");
    assert_eq!(run.wait(LIMIT).await.code(), Some(9));
}

#[tokio::test]
async fn the_lock_of_a_command_that_is_stopped_is_not_extended_for_ever() {
    let server = Server::start().await;
    let (run, _) = stopped(&server, "6s", "", "exec sleep 60").await;
    assert_eq!(run.wait(LIMIT).await.code(), Some(76));
    let told = run.lines().join("\n");
    assert!(told.contains("stopped for as long as its ttl"), "{told}");
    assert!(!server.exists("k").await);
}

#[tokio::test]
async fn a_command_that_was_continued_in_time_has_its_lock_as_before() {
    let server = Server::start().await;
    let (run, shell) = stopped(&server, "6s", "", "sleep 8; echo done").await;
    signal_to(shell, "CONT");
    assert_eq!(run.wait(LIMIT).await.code(), Some(0));
    assert_eq!(run.lines()[1..], ["done"]);
}
