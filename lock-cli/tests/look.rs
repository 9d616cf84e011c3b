//! `list`, `show` and `watch --json`.

mod common;

use std::process::Command;
use std::time::Duration;

use common::{LIMIT, PROGRAM, TOKEN, ask, end, hold, start, tool};
use redis_locked_runtime::Locker;
use redis_locked_test_support::{Server, until};

#[tokio::test]
async fn locks_are_listed_with_owner_time_left_and_number() {
    let server = Server::start().await;
    hold(&server, "report:42", "web-3:812").await;
    hold(&server, "report:7", "web-1:5").await;
    server.set_px("{report:7}:fence", "3", 60_000).await;
    server.set_px("cache:1", "some value", 60_000).await;
    let ended = tool(&server.url(), &["list"]).await;
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    let lines: Vec<Vec<&str>> = ended
        .out
        .lines()
        .map(|line| line.split_whitespace().collect())
        .collect();
    assert_eq!(lines[0], ["KEY", "OWNER", "LEFT", "FENCE", "WAIT"]);
    assert_eq!(lines[1][..2], ["report:42", "web-3:812"]);
    assert_eq!((lines[1][2].starts_with('5'), lines[1][3]), (true, "-"));
    assert_eq!(lines[2][..2], ["report:7", "web-1:5"]);
    assert_eq!(lines[2][3], (3 << 10).to_string());
    assert_eq!((lines[1][4], lines[2][4]), ("0", "0"));
    assert_eq!(lines.len(), 3, "{}", ended.out);
}

#[tokio::test]
async fn the_list_is_json_for_programs() {
    let server = Server::start().await;
    hold(&server, "a", "web-3:812").await;
    let ended = tool(&server.url(), &["list", "--json"]).await;
    let json: serde_json::Value = serde_json::from_str(&ended.out).expect("json");
    assert_eq!(json[0]["key"], "a");
    assert_eq!(json[0]["owner"], "web-3:812");
    assert_eq!(json[0]["token"], TOKEN);
    assert_eq!(json[0]["fence"], serde_json::Value::Null);
    let left = json[0]["left_ms"].as_u64().expect("a number");
    assert!((1..=60_000).contains(&left));
    let nothing = tool(&server.url(), &["list", "nothing*", "--json"]).await;
    assert_eq!(nothing.out.trim(), "[]");
}

#[tokio::test]
async fn the_order_is_chosen() {
    let server = Server::start().await;
    hold(&server, "a", "z").await;
    hold(&server, "b", "y").await;
    let first = async |arguments: &[&str]| {
        let ended = tool(&server.url(), arguments).await;
        ended.out.lines().nth(1).map(|line| line[..1].to_owned())
    };
    assert_eq!(first(&["list"]).await.as_deref(), Some("a"));
    assert_eq!(first(&["list", "--reverse"]).await.as_deref(), Some("b"));
    let by_owner = ["list", "--sort", "owner"];
    assert_eq!(first(&by_owner).await.as_deref(), Some("b"));
    server.set_px("b", format!("{TOKEN};y"), 50_000).await;
    let by_left = ["list", "--sort", "left"];
    assert_eq!(first(&by_left).await.as_deref(), Some("b"));
    server.set_px("{a}:fence", "7", 60_000).await;
    server.set_px("{b}:fence", "6", 60_000).await;
    let by_fence = ["list", "--sort", "fence"];
    assert_eq!(first(&by_fence).await.as_deref(), Some("b"));
    server.del("{b}:fence").await;
    // Those without a number come last.
    assert_eq!(first(&by_fence).await.as_deref(), Some("a"));
}

/// Those who are there: neither one whose bell nobody hears, nor one whose seat is over.
#[tokio::test]
async fn who_waits_is_counted_and_named_in_order() {
    let server = Server::start().await;
    hold(&server, "k", "web-3:812").await;
    let url = server.url();
    let json = async |arguments: &[&str]| -> serde_json::Value {
        let ended = tool(&url, arguments).await;
        serde_json::from_str(&ended.out).expect("json")
    };
    let show = ["show", "k", "--json"];
    for (count, owner) in [(1, "web-1:5"), (2, "web-2:7")] {
        let builder = Locker::builder().owner(owner);
        let locker = builder.connect(&url).await.expect("connected");
        tokio::spawn(locker.lock("k").wait_forever().acquire());
        until(LIMIT, "it waits", async || {
            json(&show).await["waiting"] == count
        })
        .await;
    }
    let seats = [
        ("unheard", "9999999999999 1 500 0 bell:1"),
        ("late", "1 1 500 0 bell:2"),
    ];
    for (value, seat) in seats {
        let mut line = redis::cmd("ZADD");
        ask(&server, line.arg("{k}:line").arg("+inf").arg(value)).await;
        let mut seats = redis::cmd("HSET");
        ask(&server, seats.arg("{k}:seats").arg(value).arg(seat)).await;
    }
    let shown = json(&show).await;
    assert_eq!(shown["waiting"], 2);
    let owners = [&shown["line"][0]["owner"], &shown["line"][1]["owner"]];
    assert_eq!(owners, ["web-1:5", "web-2:7"]);
    assert_eq!(shown["line"][0]["token"].as_str().map(str::len), Some(22));
    let ended = tool(&url, &["show", "k"]).await;
    let lines: Vec<_> = ended.out.lines().skip(5).collect();
    assert!(
        lines.len() == 3
            && lines[0] == "waiting 2"
            && lines[1].starts_with("        1. web-1:5  ")
            && lines[2].starts_with("        2. web-2:7  "),
        "{}",
        ended.out
    );
    let listed = json(&["list", "--json"]).await;
    assert_eq!(
        (&listed[0]["waiting"], listed[0].get("line")),
        (&2.into(), None)
    );
    let ended = tool(&url, &["list"]).await;
    let columns = ended.out.lines().nth(1).map(str::split_whitespace);
    assert_eq!(columns.and_then(Iterator::last), Some("2"), "{}", ended.out);
}

/// One that finds it busy says how many have come before.
#[tokio::test]
async fn a_command_that_is_not_run_is_told_how_many_wait() {
    let server = Server::start().await;
    hold(&server, "k", "web-3:812").await;
    let locker = Locker::connect(&server.url()).await.expect("connected");
    tokio::spawn(locker.lock("k").wait_forever().acquire());
    let run = ["run", "-k", "k", "--ttl", "5s", "--", "true"];
    until(LIMIT, "it is told", async || {
        let ended = tool(&server.url(), &run).await;
        assert_eq!(ended.code, 75, "{ended:?}");
        ended.err.contains("one waits for it")
    })
    .await;
}

#[tokio::test]
async fn thousands_of_keys_are_scanned_and_keys_is_never_sent() {
    let server = Server::start().await;
    let fill = "for i = 1, 5000 do redis.call('SET', KEYS[1] .. i, 'x', 'EX', 60) end";
    let mut fill_with = redis::cmd("EVAL");
    fill_with.arg(fill).arg(1).arg("cache:");
    ask(&server, &fill_with).await;
    hold(&server, "report:42", "web-3:812").await;
    server.reset_stats().await;
    let ended = tool(&server.url(), &["list", "--json"]).await;
    let json: serde_json::Value = serde_json::from_str(&ended.out).expect("json");
    assert_eq!(json.as_array().map(Vec::len), Some(1));
    let calls = server.command_calls().await;
    assert!(calls["scan"] > 1, "{calls:?}");
    assert!(!calls.contains_key("keys"), "{calls:?}");
    assert!(!calls.contains_key("pubsub|numsub"), "{calls:?}");
}

#[tokio::test]
async fn what_is_foreign_is_shown_only_when_asked_for() {
    let server = Server::start().await;
    server.set_px("theirs", "3f1c", 60_000).await;
    server.set_px("{theirs}:fence", "7", 60_000).await;
    let url = server.url();
    let ended = tool(&url, &["list"]).await;
    assert_eq!(ended.out.lines().count(), 1, "{}", ended.out);
    let ended = tool(&url, &["list", "--foreign"]).await;
    assert!(ended.out.contains("theirs  (foreign)"), "{}", ended.out);
    assert_eq!(ended.out.lines().count(), 2, "{}", ended.out);
    let ended = tool(&url, &["show", "theirs"]).await;
    assert_eq!(ended.code, 0);
    assert!(ended.out.contains("value   3f1c"), "{}", ended.out);
}

#[tokio::test]
async fn what_is_in_the_place_of_a_lock_is_told_by_those_who_find_it_busy() {
    let server = Server::start().await;
    let url = server.url();
    let run = ["run", "-k", "theirs", "--ttl", "5s", "--", "true"];
    server.set_px("theirs", "a;\u{1b}[2Jb", 60_000).await;
    let ended = tool(&url, &run).await;
    assert_eq!(ended.code, 75, "{ended:?}");
    for part in [
        "its key holds what this library did not write, for at most ",
        ". Nothing was run",
    ] {
        assert!(ended.err.contains(part), "{ended:?}");
    }
    ask(&server, redis::cmd("PERSIST").arg("theirs")).await;
    let ended = tool(&url, &run).await;
    assert_eq!(ended.code, 75, "{ended:?}");
    assert!(ended.err.contains("the key never expires"), "{ended:?}");

    // No lock, whatever the number behind it.
    let run = ["run", "-k", "{theirs}:fence", "--ttl", "5s", "--", "true"];
    let ended = tool(&url, &run).await;
    assert_eq!(ended.code, 64, "{ended:?}");
    assert!(ended.err.contains("keeps beside a lock's"), "{ended:?}");
}

#[tokio::test]
async fn a_prefix_stays_out_of_sight_and_matches_only_itself() {
    let server = Server::start().await;
    hold(&server, "a*:k", "web").await;
    hold(&server, "ab:k", "other").await;
    let url = server.url();
    let ended = tool(&url, &["list", "--prefix", "a*:", "--json"]).await;
    let json: serde_json::Value = serde_json::from_str(&ended.out).expect("json");
    assert_eq!(json.as_array().map(Vec::len), Some(1));
    assert_eq!(
        (&json[0]["key"], &json[0]["owner"]),
        (&"k".into(), &"web".into())
    );
    let ended = tool(&url, &["show", "k", "--prefix", "ab:"]).await;
    assert!(ended.out.contains("owner   other"), "{}", ended.out);
}

#[tokio::test]
async fn one_lock_is_shown_whole_or_is_free() {
    let server = Server::start().await;
    hold(&server, "report:42", "web-3:812").await;
    let url = server.url();
    let ended = tool(&url, &["show", "report:42"]).await;
    assert_eq!(ended.code, 0);
    let names: Vec<_> = ended.out.lines().map(|line| &line[..5]).collect();
    assert_eq!(
        names,
        ["key  ", "owner", "token", "left ", "fence", "waiti"]
    );
    let ended = tool(&url, &["show", "other"]).await;
    assert_eq!(
        (ended.code, ended.out.as_str()),
        (1, "lock \"other\" is free\n")
    );
    ask(&server, redis::cmd("RPUSH").arg("queue").arg("x")).await;
    let ended = tool(&url, &["show", "queue"]).await;
    assert!(ended.out.contains("not a lock: a list"), "{}", ended.out);
}

#[tokio::test]
async fn one_lock_is_json_for_programs() {
    let server = Server::start().await;
    hold(&server, "report:42", "web-3:812").await;
    let drawn = "9007199254740991";
    server.set_px("{report:42}:fence", drawn, 60_000).await;
    let shown = async |key: &str| {
        let ended = tool(&server.url(), &["show", key, "--json"]).await;
        assert_eq!(ended.out.lines().count(), 1, "{}", ended.out);
        let json: serde_json::Value = serde_json::from_str(&ended.out).expect("json");
        (ended.code, json)
    };
    let (code, mut json) = shown("report:42").await;
    let left = json["left_ms"].take().as_u64().expect("a number");
    assert!((1..=60_000).contains(&left), "{left}");
    let all = serde_json::json!({
        "key": "report:42",
        "owner": "web-3:812",
        "token": TOKEN,
        "left_ms": null,
        // The numbers of JavaScript and jq end at 2^53.
        "fence": "9223372036854774784",
        "waiting": 0,
        "line": [],
    });
    assert_eq!((code, json), (0, all));
    let free = serde_json::json!({ "key": "other", "owner": null });
    assert_eq!(shown("other").await, (1, free));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn an_answer_that_cannot_be_written_is_74() {
    let server = Server::start().await;
    hold(&server, "k", "web-3:812").await;
    for arguments in [
        "list",
        "list --json",
        "show k",
        "show k --json",
        "watch --json --interval 1ms",
        "break k --owner web-3:812",
    ] {
        let mut shell = Command::new("sh");
        // `watch` has nothing to say until something changes.
        let script = format!("exec {PROGRAM} {arguments} > /dev/full");
        shell.arg("-c").arg(script).env("REDIS_URL", server.url());
        let ended = if arguments.starts_with("watch") {
            let touch = async {
                for number in 0.. {
                    hold(&server, &format!("new:{number}"), "web").await;
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            tokio::select! {
                ended = end(shell) => ended,
                () = touch => unreachable!("it goes on and on"),
            }
        } else {
            end(shell).await
        };
        assert_eq!(ended.code, 74, "{arguments}: {ended:?}");
        let told = "the answer could not be written";
        assert!(ended.err.contains(told), "{arguments}: {}", ended.err);
    }
}

#[tokio::test]
async fn a_server_that_cannot_be_asked_is_named_and_is_69() {
    let server = Server::start().await;
    let url = server.url();
    server.kill();
    for arguments in [
        &["list"][..],
        &["show", "k"],
        &["break", "k", "--owner", "o"],
    ] {
        let ended = tool(&url, arguments).await;
        assert_eq!((ended.code, ended.out.as_str()), (69, ""), "{ended:?}");
        let port = format!("127.0.0.1:{}", server.port());
        assert!(ended.err.contains(&port), "{}", ended.err);
        assert_eq!(ended.err.lines().count(), 1, "{}", ended.err);
    }
}

#[tokio::test]
async fn without_servers_nothing_is_guessed() {
    let ended = tool("", &["list"]).await;
    assert_eq!(ended.code, 64, "{ended:?}");
    let two = "redis://127.0.0.1:1,redis://127.0.0.1:2";
    let ended = tool(two, &["list"]).await;
    assert_eq!(ended.code, 64, "{ended:?}");
    assert!(ended.err.contains("--quorum"), "{}", ended.err);
}

#[tokio::test]
async fn a_password_is_in_no_message() {
    let server = Server::builder().password("geheim").start().await;
    hold(&server, "k", "web").await;
    let ended = tool(&server.url(), &["list"]).await;
    assert!(ended.out.contains("web"), "{ended:?}");
    for url in [
        server.url_with_password("verkehrt"),
        server.url_without_password(),
    ] {
        let ended = tool(&url, &["list"]).await;
        assert_eq!(ended.code, 69);
        assert!(!ended.err.contains("verkehrt"), "{}", ended.err);
    }
    let help = tool(&server.url(), &["list", "--help"]).await;
    assert!(!help.out.contains("geheim"), "{}", help.out);
}

#[tokio::test]
async fn each_change_is_a_line_of_json() {
    let server = Server::start().await;
    hold(&server, "k", "first").await;
    let url = server.url();
    let watch = start(&url, &["watch", "--json", "--interval", "20ms"]);
    let first = watch.line(LIMIT).await;
    let json: serde_json::Value = serde_json::from_str(&first).expect("json");
    assert_eq!(json["snapshot"][0]["owner"], "first", "{first}");
    let time = json["time"].as_str().expect("a time");
    humantime::parse_rfc3339(time).expect("in the form of RFC 3339");
    hold(&server, "new", "second").await;
    let new = watch.line(LIMIT).await;
    assert!(new.starts_with(r#"{"change":"new","lock":{"#), "{new}");
    assert!(new.contains(r#""time":"2"#), "{new}");
    let other = "ABCDEFGHIJ-_abcdefghij;third";
    server.set_px("k", other, 50_000).await;
    watch
        .wait_for_line(r#""change":"other holder""#, LIMIT)
        .await;
    server.set_px("k", other, 60_000).await;
    watch.wait_for_line(r#""change":"extended""#, LIMIT).await;
    server.del("k").await;
    let gone = watch.wait_for_line(r#""change":"gone""#, LIMIT).await;
    assert!(gone.contains(r#""owner":"third""#), "{gone}");
    server.kill();
    let trouble = watch.wait_for_line(r#""trouble":"#, LIMIT).await;
    assert!(trouble.contains(&server.port().to_string()), "{trouble}");
    server.restart().await;
    hold(&server, "after", "fourth").await;
    watch.wait_for_line(r#""owner":"fourth""#, LIMIT).await;
}

#[tokio::test]
async fn a_redis_that_is_slow_extends_no_lock() {
    const LOCKS: usize = 2_500;
    let server = Server::start().await;
    let mut locks = redis::pipe();
    for number in 0..LOCKS {
        let lock = locks.cmd("SET").arg(format!("lock:{number}"));
        lock.arg(format!("{TOKEN};web")).arg("EX").arg(3_600);
    }
    let mut connection = server.connection().await;
    let set = locks.query_async::<redis::Value>(&mut connection).await;
    set.expect("they are set");
    let proxy = server.proxy().await;
    let watch = start(&proxy.url(), &["watch", "--json", "--interval", "20ms"]);
    until(LIMIT, "it has looked", async || {
        proxy.count_requests("SCAN") > 2 * LOCKS / 1_000
    })
    .await;
    // Longer in all than what clocks may differ by, though no single answer is.
    proxy.delay_answers(Duration::from_millis(100));
    // The look that finds the second is slow from its first answer on.
    for key in ["first", "second", "third"] {
        hold(&server, key, "web").await;
        watch.wait_for_line(&format!("\"{key}\""), LIMIT).await;
        proxy.delay_answers(Duration::from_millis(if key == "second" { 0 } else { 100 }));
    }
    let told = watch.lines();
    let changes = told.iter().filter(|line| line.contains("extended"));
    assert_eq!(changes.count(), 0);
}

#[tokio::test]
async fn without_a_terminal_watch_says_so() {
    let server = Server::start().await;
    let ended = tool(&server.url(), &["watch"]).await;
    assert_eq!(ended.code, 64, "{ended:?}");
    assert!(ended.err.contains("--json"), "{}", ended.err);
}
