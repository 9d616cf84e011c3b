//! Keys that several hold: listed, shown, watched, broken, and commands that run under a place.

mod common;

use std::process::Command;
use std::time::Duration;

use common::{LIMIT, end, grant, start, tool};
use redis_locked_runtime::{LockGuard, LockRequest, Locker};
use redis_locked_test_support::{Server, until};
use serde_json::Value;

const TTL: Duration = Duration::from_secs(60);

/// A process with this name.
async fn locker(server: &Server, owner: &str) -> Locker {
    let builder = Locker::builder().owner(owner);
    builder.connect(&server.url()).await.expect("connected")
}

fn permit(locker: &Locker) -> LockRequest {
    locker.lock("export").ttl(TTL).permits(3)
}

async fn has(request: LockRequest) -> LockGuard {
    request.acquire().await.expect("room")
}

async fn json(server: &Server, arguments: &[&str]) -> Value {
    let ended = tool(&server.url(), arguments).await;
    serde_json::from_str(&ended.out).expect("json")
}

#[tokio::test]
async fn each_place_is_a_line_of_the_list() {
    let server = Server::start().await;
    let (web, cron) = (
        locker(&server, "web-1:5").await,
        locker(&server, "cron:7").await,
    );
    let _first = has(permit(&web)).await;
    let _second = has(permit(&cron)).await;
    let _whole = has(web.lock("nightly").ttl(TTL)).await;
    let _shared = has(cron.lock("catalogue").ttl(TTL).shared()).await;
    let mut data = redis::cmd("ZADD");
    common::ask(&server, data.arg("scores").arg(1).arg("ann")).await;
    let ended = tool(&server.url(), &["list"]).await;
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    let lines: Vec<Vec<&str>> = ended
        .out
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    let header = ["KEY", "OWNER", "LEFT", "FENCE", "WAIT", "PLACE"];
    assert_eq!(lines[0], header);
    let mut rows: Vec<_> = lines[1..]
        .iter()
        .map(|row| (row[0], row[1], row[5]))
        .collect();
    rows.sort_unstable();
    let expected = [
        ("catalogue", "cron:7", "shared"),
        ("export", "cron:7", "permit"),
        ("export", "web-1:5", "permit"),
        ("nightly", "web-1:5", "-"),
    ];
    assert_eq!(rows, expected);
    let of_one = json(&server, &["list", "--owner", "cron:*", "--json"]).await;
    assert_eq!(of_one.as_array().map(Vec::len), Some(2));
    assert_eq!(of_one[1]["place"], "permit");
    let left = of_one[1]["left_ms"].as_u64().expect("a number");
    assert!((50_000..=60_000).contains(&left), "{left}");
}

#[tokio::test]
async fn all_holders_of_a_key_are_shown_and_who_waits() {
    let server = Server::start().await;
    let (web, cron) = (
        locker(&server, "web-1:5").await,
        locker(&server, "cron:7").await,
    );
    let first = has(permit(&web)).await;
    let second = has(permit(&cron).ttl(TTL * 2)).await;
    let writer = locker(&server, "writer:9").await;
    let waits = tokio::spawn(writer.lock("export").ttl(TTL).wait(LIMIT).acquire());
    until(LIMIT, "it waits", async || {
        let shown = json(&server, &["show", "export", "--json"]).await;
        shown["waiting"] == 1
    })
    .await;
    let shown = json(&server, &["show", "export", "--json"]).await;
    assert_eq!(
        (&shown["place"], &shown["line"][0]["owner"]),
        (&"permit".into(), &"writer:9".into())
    );
    let holders = &shown["holders"];
    for (number, (owner, guard)) in [("web-1:5", &first), ("cron:7", &second)]
        .iter()
        .enumerate()
    {
        assert_eq!(holders[number]["owner"], *owner);
        assert_eq!(holders[number]["token"], guard.token());
    }
    let ended = tool(&server.url(), &["show", "export"]).await;
    assert_eq!(ended.code, 0);
    for line in [
        "permit  held by 2",
        "1. web-1:5  ",
        "2. cron:7  ",
        "1. writer:9  ",
    ] {
        assert!(ended.out.contains(line), "{}", ended.out);
    }
    waits.abort();
}

#[tokio::test]
async fn a_watch_tells_each_place_apart() {
    let server = Server::start().await;
    let web = locker(&server, "web-1:5").await;
    let first = has(permit(&web)).await;
    let watch = start(&server.url(), &["watch", "--json", "--interval", "50ms"]);
    let line = watch.wait_for_line("snapshot", LIMIT).await;
    assert!(line.contains(first.token()), "{line}");
    let second = has(permit(&web)).await;
    let line = watch.wait_for_line(r#""change":"new""#, LIMIT).await;
    assert!(line.contains(second.token()), "{line}");
    let token = first.token().to_owned();
    first.release().await.expect("ours");
    let line = watch.wait_for_line(r#""change":"gone""#, LIMIT).await;
    assert!(line.contains(&token), "{line}");
}

#[tokio::test]
async fn the_places_that_are_meant_are_freed_and_no_others() {
    let server = Server::start().await;
    let (web, cron) = (
        locker(&server, "web-1:5").await,
        locker(&server, "cron:7").await,
    );
    let first = has(permit(&web)).await;
    let second = has(permit(&web)).await;
    let third = has(permit(&cron)).await;
    let url = server.url();
    let ended = tool(&url, &["break", "export", "--token", first.token()]).await;
    assert_eq!(ended.code, 0, "{}", ended.err);
    let text = "freed 1 place of lock \"export\": web-1:5 held it (token ";
    assert!(ended.out.starts_with(text), "{}", ended.out);
    assert!(ended.out.contains("; 2 others stay; "), "{}", ended.out);
    let again = tool(&url, &["break", "export", "--token", first.token()]).await;
    assert_eq!(again.code, 1);
    assert!(
        again.err.contains("it is not the one that was meant"),
        "{}",
        again.err
    );
    let fourth = has(permit(&web)).await;
    let ended = tool(&url, &["break", "export", "--owner", "web-1:5"]).await;
    let text = "freed 2 places of lock \"export\": web-1:5 and 1 more held them; 1 other stays; ";
    assert!(ended.out.starts_with(text), "{}", ended.out);
    assert!(third.extend(TTL).await.is_ok());
    for lost in [first, second, fourth] {
        assert!(lost.extend(TTL).await.is_err());
    }
    let ended = tool(&url, &["break", "--owner", "cron:*", "--yes"]).await;
    assert_eq!(ended.code, 0, "{}", ended.err);
    assert!(!server.exists("export").await);
    let mut data = redis::cmd("ZADD");
    common::ask(&server, data.arg("scores").arg(1).arg("ann;bob")).await;
    let ended = tool(&url, &["break", "scores", "--owner", "bob"]).await;
    assert_eq!(ended.code, 1);
    assert!(
        ended.err.contains("it holds what is no lock"),
        "{}",
        ended.err
    );
}

#[tokio::test]
async fn one_who_may_break_places_needs_no_more_than_the_docs_say() {
    let server = Server::start().await;
    let held = has(permit(&locker(&server, "web").await)).await;
    let places = "+zrange +zrem +pexpireat";
    let docs = include_str!("../../docs/tool.md");
    assert!(docs.contains(&format!("`{places}`")));
    let rules = format!("~export +eval +get +pttl +del {places}");
    grant(&server, "app", &[&rules]).await;
    let url = format!("redis://app:secret@127.0.0.1:{}", server.port());
    let ended = tool(&url, &["break", "export", "--token", held.token()]).await;
    assert_eq!(ended.code, 0, "{}", ended.err);
}

const SLEEP: [&str; 4] = ["--", "sh", "-c", "echo inside; exec sleep 20"];

#[tokio::test]
async fn so_many_commands_run_at_a_time() {
    let server = Server::start().await;
    let run = ["run", "-k", "export", "--ttl", "20s", "--permits", "2"];
    let arguments: Vec<_> = run.into_iter().chain(SLEEP).collect();
    let mut running = Vec::new();
    for _ in 0..2 {
        let process = start(&server.url(), &arguments);
        process.wait_for_line("inside", LIMIT).await;
        running.push(process);
    }
    let third = tool(&server.url(), &arguments).await;
    assert_eq!(third.code, 75, "{}", third.err);
    assert!(
        third
            .err
            .contains(" have it, and there is no room for at most "),
        "{}",
        third.err
    );
    let both = [
        "run",
        "-k",
        "export",
        "--ttl",
        "20s",
        "--permits",
        "2",
        "--shared",
        "--",
        "true",
    ];
    assert_eq!(tool(&server.url(), &both).await.code, 64);
    let none = [
        "run",
        "-k",
        "export",
        "--ttl",
        "20s",
        "--permits",
        "0",
        "--",
        "true",
    ];
    assert_eq!(tool(&server.url(), &none).await.code, 64);
}

#[tokio::test]
async fn a_shared_command_keeps_out_one_that_is_not() {
    let server = Server::start().await;
    let run = ["run", "-k", "catalogue", "--ttl", "20s", "--shared"];
    let arguments: Vec<_> = run.into_iter().chain(SLEEP).collect();
    let process = start(&server.url(), &arguments);
    process.wait_for_line("inside", LIMIT).await;
    let shared = [
        "run",
        "-k",
        "catalogue",
        "--ttl",
        "5s",
        "--shared",
        "--",
        "true",
    ];
    assert_eq!(tool(&server.url(), &shared).await.code, 0);
    let whole = ["run", "-k", "catalogue", "--ttl", "5s", "--", "true"];
    let ended = tool(&server.url(), &whole).await;
    assert_eq!(ended.code, 75, "{}", ended.err);
}

#[tokio::test]
async fn a_run_inside_of_one_that_has_a_place_is_refused() {
    let server = Server::start().await;
    let mut command = Command::new(common::PROGRAM);
    command.env("REDIS_URL", server.url());
    let inner = format!("{} run -k k --ttl 5s --shared -- true", common::PROGRAM);
    command.args(["run", "-k", "k", "--ttl", "5s", "--shared", "-c", &inner]);
    let ended = end(command).await;
    assert_eq!(ended.code, 64, "{}", ended.err);
    assert!(ended.err.contains("would wait for"), "{}", ended.err);
}
