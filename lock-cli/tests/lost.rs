//! A command whose lock is lost is ended before the key can expire, by the server's clock.

mod common;

use std::os::unix::process::CommandExt as _;
use std::time::Duration;

use common::{LIMIT, held, start};
use redis_locked_test_support::{Event, Monitor, Process, Server, until};

const TTL: Duration = Duration::from_secs(3);

#[test]
#[ignore = "started as a command by the tests below"]
fn beating_child() {
    let Ok(url) = std::env::var("WITNESS") else {
        return;
    };
    let client = redis::Client::open(url).expect("a url");
    let mut witness = client.get_connection().expect("a connection");
    loop {
        let beat: i64 = redis::cmd("INCR")
            .arg("beat")
            .query(&mut witness)
            .expect("a beat");
        assert!(beat > 0);
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A command that beats on another server, and does not end when it is told to.
fn beating(server: &Server, witness: &Server, options: &[&str]) -> Process {
    let this = std::env::current_exe().expect("the path of this binary");
    let this = this.to_str().expect("text");
    let witness = format!("WITNESS={}", witness.url());
    let run = ["run", "-k", "k", "--ttl", "3s"];
    let stubborn = ["--", "sh", "-c", "trap '' TERM; exec \"$@\"", "sh"];
    let child = [
        "env",
        &witness,
        this,
        "--exact",
        "--include-ignored",
        "beating_child",
    ];
    start(
        &server.url(),
        &[&run[..], options, &stubborn, &child].concat(),
    )
}

/// When the server lets the key expire: the latest of what it was told.
fn expiry(events: &[Event]) -> Duration {
    let told = events.iter().filter_map(|event| {
        let arguments = &event.arguments;
        let at = match event.command().as_str() {
            "set" if arguments[1] == "k" => arguments.iter().position(|a| a == "PX")? + 1,
            "pexpire" if arguments[1] == "k" => 2,
            _ => return None,
        };
        let millis = arguments[at].parse().expect("a number");
        Some(event.at + Duration::from_millis(millis))
    });
    told.max().expect("the key was set")
}

async fn last_beat(monitor: &Monitor) -> Duration {
    let beats = monitor.events().await.into_iter();
    let beats = beats.filter(|event| event.is("incr", "beat"));
    beats.map(|event| event.at).max().expect("beats")
}

async fn begun(witness: &Monitor) {
    witness
        .wait_for(|event| event.is("incr", "beat"), LIMIT)
        .await;
}

/// Lets the lock be lost, and returns how long before the key's end the command was dead.
async fn dead_before_the_end(
    options: &[&str],
    lose: impl AsyncFnOnce(&Server),
) -> (Duration, String) {
    let (server, witness) = (Server::start().await, Server::start().await);
    let (monitor, beats) = (server.monitor(), witness.monitor());
    let run = beating(&server, &witness, options);
    begun(&beats).await;
    lose(&server).await;
    let status = run.wait(LIMIT).await;
    server.continue_process();
    let told = run.lines().join("\n");
    assert_eq!(status.code(), Some(76), "{told}");
    let end = expiry(&monitor.seen_so_far());
    let last = last_beat(&beats).await;
    let before = end.checked_sub(last);
    (
        before.unwrap_or_else(|| panic!("a beat at {last:?}, the key's end at {end:?}: {told}")),
        told,
    )
}

#[tokio::test]
async fn when_redis_hangs_the_command_is_dead_before_the_key_expires() {
    let (before, told) = dead_before_the_end(&["--renew"], async |server: &Server| {
        server.stop_process();
    })
    .await;
    assert!(before < TTL / 4, "too soon: {before:?}");
    assert!(told.contains("could not be extended"), "{told}");
    assert!(told.contains("\"k\""), "{told}");
}

#[tokio::test]
async fn when_redis_has_died_the_command_is_dead_before_the_key_would_expire() {
    let (before, told) =
        dead_before_the_end(&["--renew"], async |server: &Server| server.kill()).await;
    assert!(before < TTL / 4, "too soon: {before:?}");
    assert!(told.contains("could not be extended"), "{told}");
}

#[tokio::test]
async fn when_the_key_is_deleted_the_command_is_ended_after_the_next_extension() {
    let (_, told) = dead_before_the_end(&["--renew"], async |server: &Server| {
        server.del("k").await;
    })
    .await;
    assert!(told.contains("its key was deleted"), "{told}");
}

#[tokio::test]
async fn when_the_key_is_taken_over_the_command_is_ended_and_the_key_left_alone() {
    let (server, witness) = (Server::start().await, Server::start().await);
    let beats = witness.monitor();
    let run = beating(&server, &witness, &["--renew"]);
    begun(&beats).await;
    server.set_px("k", "someone else's", 60_000).await;
    assert_eq!(run.wait(TTL).await.code(), Some(76));
    assert_eq!(server.get("k").await.as_deref(), Some("someone else's"));
    let told = run.lines().join("\n");
    assert!(told.contains("someone else has its key"), "{told}");
}

#[tokio::test]
async fn without_renew_the_ttl_is_the_commands_time() {
    let (before, told) = dead_before_the_end(&[], async |_: &Server| {}).await;
    assert!(before < TTL / 4, "too soon: {before:?}");
    assert!(told.contains("--renew"), "{told}");
}

#[tokio::test]
async fn max_hold_is_the_commands_time() {
    let options = ["--renew", "--max-hold", "4s"];
    let (_, told) = dead_before_the_end(&options, async |_: &Server| {}).await;
    assert!(told.contains("--max-hold"), "{told}");
}

#[tokio::test]
async fn a_command_that_ends_when_told_to_is_not_killed() {
    let server = Server::start().await;
    let script = "trap 'echo ending; exit 5' TERM; echo begun; while :; do sleep 0.05; done";
    let run = ["run", "-k", "k", "--ttl", "20s", "--grace", "18s", "--"];
    let run = start(&server.url(), &[&run[..], &["sh", "-c", script]].concat());
    assert_eq!(run.line(LIMIT).await, "begun");
    assert_eq!(run.wait(LIMIT).await.code(), Some(76));
    let told = run.lines().join("\n");
    assert!(
        told.contains("ending") && told.contains("ended with 5"),
        "{told}"
    );
    // Told to end while the lock was held, so that it could be released.
    assert!(!server.exists("k").await);
}

#[tokio::test]
async fn the_grace_decides_when_the_command_is_told_to_end() {
    let server = Server::start().await;
    let script = "trap 'echo ending' TERM; while :; do sleep 0.01; done";
    let run = ["run", "-k", "k", "--ttl", "20s", "--grace", "18s", "--"];
    let run = start(&server.url(), &[&run[..], &["sh", "-c", script]].concat());
    run.wait_for_line("ending", LIMIT).await;
    // By default it would be a quarter of the ttl.
    let left = server.pttl("k").await;
    assert!((10_000..=18_500).contains(&left), "{left} ms");
    run.wait_for_line("told to end", LIMIT).await;
}

#[tokio::test]
async fn a_renewed_lock_lasts_for_as_long_as_the_command_runs() {
    let server = Server::start().await;
    let run = [
        "run", "-k", "k", "--ttl", "1s", "--renew", "--", "sleep", "3",
    ];
    let run = start(&server.url(), &run);
    held(&server, "k").await;
    assert_eq!(run.wait(LIMIT).await.code(), Some(0));
    assert_eq!(run.lines(), [""; 0]);
    assert!(!server.exists("k").await);
}

#[tokio::test]
async fn a_message_that_nobody_reads_holds_up_nothing() {
    let (server, witness) = (Server::start().await, Server::start().await);
    let (monitor, beats) = (server.monitor(), witness.monitor());
    // Its standard error is a pipe that is full.
    let this = std::env::current_exe().expect("the path of this binary");
    let mut full = std::process::Command::new("sh");
    full.arg("-c")
        .arg("{ yes | head -c 65536 >&2; exec \"$@\" </dev/null; } 2>&1 >/dev/null | sleep 60")
        .arg("sh")
        .args([
            env!("CARGO_BIN_EXE_redis-locked"),
            "run",
            "-k",
            "k",
            "--ttl",
            "3s",
        ])
        .args([
            "--",
            "sh",
            "-c",
            "trap '' TERM; exec \"$@\" 2>/dev/null",
            "sh",
        ])
        .arg(this)
        .args(["--exact", "--include-ignored", "beating_child"])
        .env("WITNESS", witness.url())
        .env("REDIS_URL", server.url());
    full.process_group(0);
    let mut shell = full.spawn().expect("a shell");
    begun(&beats).await;
    let end = expiry(&monitor.events().await);
    let mut last = last_beat(&beats).await;
    until(LIMIT, "it beats no more", async || {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let before = std::mem::replace(&mut last, last_beat(&beats).await);
        before == last
    })
    .await;
    let all = format!("-{}", shell.id());
    let kill = std::process::Command::new("kill")
        .args(["-KILL", "--", &all])
        .status();
    assert!(kill.expect("kill").success());
    shell.wait().expect("waited for");
    assert!(last < end, "a beat at {last:?}, the key's end at {end:?}");
}
