//! `hold` and `unhold`.

mod common;

use std::time::Duration;

use common::{LIMIT, hold, signal, start, tool};
use redis_locked_runtime::{LockError, Locker};
use redis_locked_test_support::{Process, Server, until};

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
