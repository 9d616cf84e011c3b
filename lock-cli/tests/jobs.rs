//! What ran last (`last`, `show`), and once per period (`run`).

mod common;

use std::time::Duration;

use common::{TOKEN, grant, start, tool};
use redis_locked_runtime::{LockRequest, Locker, Recorded};
use redis_locked_test_support::{Server, until};

const LIMIT: Duration = Duration::from_secs(20);
const DAY: Duration = Duration::from_secs(86_400);
const ONCE: [&str; 8] = [
    "run",
    "-k",
    "nightly",
    "--ttl",
    "10s",
    "--once-per",
    "366d",
    "--",
];

async fn locker(server: &Server, owner: &str) -> Locker {
    let builder = Locker::builder().owner(owner);
    builder.connect(&server.url()).await.expect("connected")
}

async fn fails(request: LockRequest<Recorded>) {
    let guard = request.acquire().await.expect("free");
    guard.fail().await.expect("ours");
}

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

#[tokio::test]
async fn the_last_runs_are_told() {
    let server = Server::start().await;
    let url = server.url();
    let nothing = tool(&url, &["last"]).await;
    assert_eq!(
        (nothing.code, nothing.out.trim()),
        (0, "KEY  STARTED  TOOK  OUTCOME  BY")
    );
    let locker = locker(&server, "web-1:5").await;
    let record = |key: &str| locker.lock(key).ttl(DAY).record(DAY);
    record("a").run(async {}).await.expect("free");
    fails(record("b")).await;
    let running = record("{c}d").acquire().await.expect("free");
    let dies = record("e").acquire().await.expect("free");
    assert!(server.del("e").await);
    // What only looks like a record.
    server.hset("{f}:last", "x", "y").await;
    server
        .hset("g:last", "run", format!("1 0 - {TOKEN};x"))
        .await;
    let told = tool(&url, &["last"]).await;
    assert_eq!((told.code, told.err.as_str()), (0, ""));
    let rows: Vec<_> = told.out.lines().skip(1).map(words).collect();
    let keys: Vec<_> = rows.iter().map(|row| (row[0], row[3], row[4])).collect();
    let by = "web-1:5";
    let expected = [
        ("a", "ok", by),
        ("b", "error", by),
        ("e", "died", by),
        ("{c}d", "running", by),
    ];
    assert_eq!(keys, expected, "{}", told.out);
    assert!(
        rows[0][1].ends_with('Z') && rows[0][2].ends_with('s'),
        "{rows:?}"
    );
    assert_eq!(rows[2][2], "-");
    let json = tool(&url, &["last", "a", "--json"]).await;
    let json: serde_json::Value = serde_json::from_str(&json.out).expect("json");
    assert_eq!(json.as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&json[0]["key"], &json[0]["outcome"]),
        (&"a".into(), &"ok".into())
    );
    assert_eq!(json[0]["last_success"], json[0]["ended"]);
    assert_eq!(json[0]["running"], false);
    running.release().await.expect("ours");
    drop(dies);
}

#[tokio::test]
async fn a_job_without_a_success_in_time_is_1() {
    let server = Server::start().await;
    let url = server.url();
    let late = async |pattern: &str, limit: &str| {
        tool(&url, &["last", pattern, "--older-than", limit]).await
    };
    let never = late("nightly", "26h").await;
    assert_eq!(never.code, 1);
    assert!(
        never.err.contains("no run of a lock that matches"),
        "{}",
        never.err
    );
    let locker = locker(&server, "web-1:5").await;
    let record = || locker.lock("nightly").record(DAY);
    fails(record()).await;
    let failed = late("nightly", "26h").await;
    assert_eq!(
        (failed.code, failed.out.lines().count()),
        (1, 2),
        "{failed:?}"
    );
    record().run(async {}).await.expect("free");
    let fine = late("night*", "26h").await;
    assert_eq!(
        (fine.code, fine.out.as_str(), fine.err.as_str()),
        (0, "", "")
    );
    // A later failure takes nothing away.
    fails(record()).await;
    assert_eq!(late("nightly", "26h").await.code, 0);
    until(LIMIT, "it is older", async || {
        late("nightly", "100ms").await.code == 1
    })
    .await;
    let json = tool(&url, &["last", "--older-than", "26h", "--json"]).await;
    assert_eq!((json.code, json.out.trim()), (0, "[]"));
}

#[tokio::test]
async fn show_has_the_last_run() {
    let server = Server::start().await;
    let url = server.url();
    let locker = locker(&server, "web-1:5").await;
    let record = || locker.lock("k").ttl(DAY).record(DAY);
    record().run(async {}).await.expect("free");
    fails(record()).await;
    let free = tool(&url, &["show", "k"]).await;
    assert_eq!(free.code, 1);
    let lines: Vec<_> = free.out.lines().collect();
    assert_eq!(lines[0], "lock \"k\" is free");
    assert!(lines[1].starts_with("last    error, 2"), "{}", free.out);
    assert!(lines[1].ends_with("by web-1:5"), "{}", free.out);
    assert!(
        lines[2].starts_with("        last success 2"),
        "{}",
        free.out
    );
    let running = record().acquire().await.expect("free");
    let held = tool(&url, &["show", "k", "--json"]).await;
    let json: serde_json::Value = serde_json::from_str(&held.out).expect("json");
    assert_eq!(json["owner"], "web-1:5");
    assert_eq!(json["last_run"]["outcome"], "running");
    assert_eq!(json["since"], json["last_run"]["started"]);
    let since = json["since"].as_str().expect("a time");
    let held = tool(&url, &["show", "k"]).await;
    let line = format!("since   {since}");
    assert!(held.out.lines().any(|told| told == line), "{}", held.out);
    running.release().await.expect("ours");
    // Of a lock without a record, nobody knows, though its key has had one.
    let plain = locker.lock("k").ttl(DAY).acquire().await.expect("free");
    let held = tool(&url, &["show", "k", "--json"]).await;
    let json: serde_json::Value = serde_json::from_str(&held.out).expect("json");
    assert_eq!(
        (&json["owner"], json.get("since")),
        (&"web-1:5".into(), None)
    );
    plain.release().await.expect("ours");
}

#[tokio::test]
async fn a_command_runs_once_per_period() {
    let server = Server::start().await;
    let url = server.url();
    let run = async |command: &[&str]| tool(&url, &[&ONCE[..], command].concat()).await;
    let failed = run(&["sh", "-c", "exit 3"]).await;
    assert_eq!(failed.code, 3);
    let ran = run(&["echo", "done"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (0, "done\n"));
    let late = run(&["echo", "again"]).await;
    assert_eq!((late.code, late.out.as_str()), (75, ""));
    assert!(
        late.err.contains("has done its work for this period"),
        "{}",
        late.err
    );
    assert!(late.err.contains("Nothing was run"), "{}", late.err);
    let skip = tool(
        &url,
        &[&ONCE[..7], &["--skip", "-v", "--", "echo"]].concat(),
    )
    .await;
    assert_eq!((skip.code, skip.out.as_str()), (0, ""));
    assert!(skip.err.contains("has done \"nightly\""), "{}", skip.err);
    let forgotten = tool(&url, &["forget", "nightly"]).await;
    assert_eq!(forgotten.code, 0, "{}", forgotten.err);
    assert_eq!(run(&["echo", "again"]).await.out, "again\n");
    let recorded = ["run", "-k", "r", "--ttl", "10s", "--record", "--", "false"];
    assert_eq!(tool(&url, &recorded).await.code, 1);
    let last = tool(&url, &["last", "r"]).await;
    assert!(last.out.contains("error"), "{}", last.out);
    let short = [
        "run",
        "-k",
        "r",
        "--ttl",
        "10s",
        "--once-per",
        "10ms",
        "--",
        "true",
    ];
    let short = tool(&url, &short).await;
    assert_eq!(short.code, 64, "{}", short.err);
    assert!(short.err.contains("--once-per is 10ms"), "{}", short.err);
}

#[tokio::test]
async fn a_command_that_is_killed_leaves_the_period_open() {
    let server = Server::start().await;
    let url = server.url();
    let process = start(
        &url,
        &[&ONCE[..], &["sh", "-c", "echo runs; sleep 60"]].concat(),
    );
    process.wait_for_line("runs", LIMIT).await;
    common::signal(&process, "TERM");
    process.wait(LIMIT).await;
    let again = tool(&url, &[&ONCE[..], &["echo", "again"]].concat()).await;
    assert_eq!(again.out, "again\n", "{}", again.err);
}

#[tokio::test]
async fn with_its_rights_and_no_others() {
    let server = Server::start().await;
    let locker = locker(&server, "web-1:5").await;
    let record = locker.lock("jobs:k").record(DAY);
    record.run(async {}).await.expect("free");
    let rules = "~jobs:* ~{jobs:*}:last +scan +get +hmget +time";
    grant(&server, "app", &[rules]).await;
    let url = format!("redis://app:secret@127.0.0.1:{}", server.port());
    let last = ["last", "k", "--prefix", "jobs:"];
    let told = tool(&url, &last).await;
    assert_eq!((told.code, told.err.as_str()), (0, ""));
    assert!(told.out.contains("ok"), "{}", told.out);
    for missing in ["scan", "get", "hmget", "time"] {
        grant(&server, "app", &[rules, &format!("-{missing}")]).await;
        let told = tool(&url, &last).await;
        assert_eq!(told.code, 69, "without {missing}");
        assert!(told.err.contains(missing), "{}", told.err);
    }
}
