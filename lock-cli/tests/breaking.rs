//! `break`.

mod common;

use std::future::pending;
use std::time::{Duration, Instant};

use common::{LIMIT, TOKEN, grant, hold, tool};
use redis_locked_runtime::{LockError, Locker, LostReason};
use redis_locked_test_support::{Event, Server, until, until_some};
use tokio::time::timeout;

const OTHER_TOKEN: &str = "ABCDEFGHIJ-_abcdefghij";

#[tokio::test]
async fn a_lock_is_freed_by_its_owner_or_by_its_token() {
    let server = Server::start().await;
    for named in [["--owner", "web-3:812"], ["--token", TOKEN]] {
        hold(&server, "report:42", "web-3:812").await;
        let ended = tool(&server.url(), &["break", "report:42", named[0], named[1]]).await;
        assert_eq!((ended.code, ended.err.as_str()), (0, ""));
        assert!(!server.exists("report:42").await);
        for told in ["freed", "report:42", "web-3:812", TOKEN, "5"] {
            assert!(ended.out.contains(told), "{told}: {}", ended.out);
        }
    }
}

/// Under the value that a release with `min_hold` leaves.
#[tokio::test]
async fn a_lock_that_is_kept_after_its_release_is_shown_and_freed_as_its_owners() {
    let server = Server::start().await;
    let (url, value) = (server.url(), format!("~{TOKEN};web-3:812"));
    for named in [["--owner", "web-3:812"], ["--token", TOKEN]] {
        server.set_px("k", value.as_str(), 60_000).await;
        let shown = tool(&url, &["show", "k", "--json"]).await;
        assert_eq!(shown.code, 0);
        let json: serde_json::Value = serde_json::from_str(&shown.out).expect("json");
        assert_eq!(
            (&json["owner"], &json["token"]),
            (&"web-3:812".into(), &TOKEN.into())
        );
        let ended = tool(&url, &["break", "k", named[0], named[1]]).await;
        assert_eq!((ended.code, ended.err.as_str()), (0, ""));
        assert!(!server.exists("k").await);
    }
}

/// The holder, whose lock is renewed, and the first of those who wait: the second stays.
#[tokio::test]
async fn those_whom_it_concerns_are_told_at_once() {
    let server = Server::start().await;
    let connected = async |owner: &str| {
        let builder = Locker::builder().owner(owner);
        builder.connect(&server.url()).await.expect("connected")
    };
    let ttl = Duration::from_secs(12);
    let holder = connected("holder").await;
    let held = holder.lock("k").ttl(ttl).renew().acquire().await;
    let held = held.expect("free");
    let monitor = server.monitor();
    let mut waiting = Vec::new();
    for owner in ["first", "second"] {
        let locker = connected(owner).await;
        waiting.push(tokio::spawn(locker.lock("k").wait_forever().acquire()));
        let sits = |event: &Event| event.is("zadd", "{k}:line") && event.is_from_script();
        let count = waiting.len();
        until(LIMIT, "it waits", async || {
            monitor
                .events()
                .await
                .iter()
                .filter(|event| sits(event))
                .count()
                >= count
        })
        .await;
    }
    // The holder hears of changes from its first extension on, and so does the first when it has
    // looked again after that.
    until(LIMIT, "both hear of changes", async || {
        let events = monitor.events().await;
        let extended = events.iter().rposition(|event| event.is("pexpire", "k"));
        extended.is_some_and(|at| events[at..].iter().any(|event| event.is("pttl", "k")))
    })
    .await;
    let broken = Instant::now();
    let ended = tool(&server.url(), &["break", "k", "--owner", "holder"]).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let lost = timeout(LIMIT, held.lost()).await.expect("told");
    let first = timeout(LIMIT, waiting.remove(0)).await.expect("woken");
    let first = first.expect("no panic").expect("its turn");
    // The next extension would be three seconds later, the next look five after the last.
    assert!(
        broken.elapsed() < Duration::from_secs(2),
        "{:?}",
        broken.elapsed()
    );
    assert!(matches!(lost, LostReason::Deleted | LostReason::TakenOver));
    assert!(first.is_held() && !waiting[0].is_finished());
    first.release().await.expect("held");
    let second = timeout(LIMIT, waiting.remove(0)).await.expect("its turn");
    second
        .expect("no panic")
        .expect("passed on")
        .release()
        .await
        .expect("held");
}

/// One of 64 tokens does.
#[tokio::test]
async fn a_token_may_begin_with_a_hyphen() {
    let server = Server::start().await;
    let token = "-bcdefghij-_ABCDEFGHIJ";
    for (option, named) in [("--token", token), ("--owner", "-x")] {
        let value = format!("{token};-x");
        server.set_px("k", value.as_str(), 60_000).await;
        let ended = tool(&server.url(), &["break", "k", option, named]).await;
        assert_eq!((ended.code, ended.err.as_str()), (0, ""));
        assert!(!server.exists("k").await);
    }
}

#[tokio::test]
async fn a_lock_that_is_another_by_now_is_left_alone() {
    let server = Server::start().await;
    hold(&server, "report:42", "web-4:99").await;
    let url = server.url();
    let wrong = [
        &["--owner", "web-3:812"][..],
        &["--owner", "web-4"],
        &["--token", OTHER_TOKEN],
        &["--owner", "web-4:99", "--token", OTHER_TOKEN],
        &["--owner", "web-3:812", "--token", TOKEN],
    ];
    for named in wrong {
        let arguments = [&["break", "report:42"], named].concat();
        let ended = tool(&url, &arguments).await;
        assert_eq!((ended.code, ended.out.as_str()), (1, ""), "{ended:?}");
        for told in ["not freed", "report:42", "web-4:99", TOKEN] {
            assert!(ended.err.contains(told), "{told}: {}", ended.err);
        }
        assert!(server.exists("report:42").await);
    }
}

#[tokio::test]
async fn what_is_free_already_is_told_so() {
    let server = Server::start().await;
    let ended = tool(&server.url(), &["break", "k", "--owner", "web"]).await;
    assert_eq!(ended.code, 1);
    assert!(ended.err.contains("free already"), "{}", ended.err);
    let ended = tool(&server.url(), &["break", "k", "--owner", "web", "--json"]).await;
    let json: serde_json::Value = serde_json::from_str(&ended.out).expect("json");
    assert_eq!((ended.code, &json["freed"]), (1, &false.into()));
}

#[tokio::test]
async fn what_was_done_is_json_for_programs() {
    let server = Server::start().await;
    hold(&server, "k", "web-3:812").await;
    let named = ["break", "k", "--owner", "web-3:812", "--json"];
    let ended = tool(&server.url(), &named).await;
    let json: serde_json::Value = serde_json::from_str(&ended.out).expect("json");
    assert_eq!((ended.code, &json["freed"]), (0, &true.into()));
    assert_eq!(json["key"], "k");
    let message = json["message"].as_str().expect("text");
    assert!(message.starts_with("freed lock \"k\": web-3:812 held it"));
    assert!(!server.exists("k").await);
}

#[tokio::test]
async fn who_is_meant_has_to_be_said() {
    let server = Server::start().await;
    hold(&server, "k", "web").await;
    for named in [&[][..], &["--owner", ""], &["--token", ""]] {
        let arguments = [&["break", "k"], named].concat();
        assert_eq!(tool(&server.url(), &arguments).await.code, 64);
    }
    assert!(server.exists("k").await);
}

#[tokio::test]
async fn a_foreign_lock_is_freed_by_its_whole_value_only() {
    let server = Server::start().await;
    server.set_px("k", "3f1c;", 60_000).await;
    let url = server.url();
    assert_eq!(tool(&url, &["break", "k", "--token", "3f1c"]).await.code, 1);
    assert_eq!(
        tool(&url, &["break", "k", "--token", "3f1c;"]).await.code,
        0
    );
}

#[tokio::test]
async fn what_is_no_lock_is_left_to_del() {
    let server = Server::start().await;
    let url = server.url();
    server.set_px("data", "a page of a cache", 60_000).await;
    let mut list = redis::cmd("RPUSH");
    common::ask(&server, list.arg("list").arg("one")).await;
    for key in ["data", "list"] {
        let ended = tool(&url, &["break", key, "--owner", "web"]).await;
        assert_eq!(ended.code, 1, "{ended:?}");
        assert!(ended.err.contains("use DEL"), "{}", ended.err);
        assert!(!ended.err.contains("for ever left"), "{}", ended.err);
        assert!(server.exists(key).await);
    }
    hold(&server, "k", "web").await;
    let ended = tool(&url, &["break", "k", "--owner", "other"]).await;
    for option in ["--owner", "--token"] {
        assert!(ended.err.contains(option), "{}", ended.err);
    }
    common::ask(&server, redis::cmd("PERSIST").arg("k")).await;
    let ended = tool(&url, &["break", "k", "--owner", "web"]).await;
    assert!(
        ended.out.contains("web held it, without an expiry"),
        "{ended:?}"
    );
}

/// As when a machine has died.
#[tokio::test]
async fn all_locks_of_an_owner_are_shown_and_freed() {
    let server = Server::start().await;
    let url = server.url();
    for (key, owner) in [("a", "web-1:8"), ("b", "web-1:9"), ("c", "web-11:8")] {
        hold(&server, key, owner).await;
    }
    let listed = tool(&url, &["list", "--owner", "web-1:*"]).await;
    assert_eq!(listed.out.lines().count(), 3, "{}", listed.out);
    assert!(!listed.out.contains("web-11"), "{}", listed.out);

    let free = ["break", "--owner", "web-1:*"];
    let asked = tool(&url, &free).await;
    assert_eq!(asked.code, 64, "{asked:?}");
    assert!(asked.err.contains("--yes"), "{}", asked.err);
    assert!(server.exists("a").await && server.exists("b").await);

    let freed = tool(&url, &[&free[..], &["--yes"]].concat()).await;
    assert_eq!((freed.code, freed.err.as_str()), (0, ""));
    assert_eq!(freed.out.lines().count(), 2, "{}", freed.out);
    assert!(!server.exists("a").await && !server.exists("b").await);
    assert!(server.exists("c").await);

    let none = tool(&url, &[&free[..], &["--yes"]].concat()).await;
    assert_eq!((none.code, none.out.as_str()), (1, ""), "{none:?}");
}

#[tokio::test]
async fn the_body_of_a_broken_lock_ends_as_lost_at_its_next_extension() {
    let server = Server::start().await;
    let builder = Locker::builder().owner("web-3:812").prefix("app:");
    let locker = builder.connect(&server.url()).await.expect("connected");
    let ttl = Duration::from_secs(2);
    let request = locker.lock("report:42").ttl(ttl).renew();
    let body = tokio::spawn(request.run(pending::<()>()));
    common::held(&server, "app:report:42").await;
    let broken = [
        "break",
        "report:42",
        "--owner",
        "web-3:812",
        "--prefix",
        "app:",
    ];
    assert_eq!(tool(&server.url(), &broken).await.code, 0);
    let ended = tokio::time::timeout(ttl, body).await.expect("in time");
    let error = ended
        .expect("no panic")
        .expect_err("it has no end of its own");
    let LockError::Lost { reason, .. } = error else {
        panic!("{error}");
    };
    assert_eq!(reason, LostReason::Deleted);
}

#[tokio::test]
async fn a_command_whose_lock_is_broken_is_ended() {
    let server = Server::start().await;
    let arguments = [
        "run", "-k", "k", "--ttl", "2s", "--renew", "--owner", "cron-1",
    ];
    let command = ["--", "sleep", "60"];
    let run = common::start(&server.url(), &[&arguments[..], &command].concat());
    common::held(&server, "k").await;
    let broken = tool(&server.url(), &["break", "k", "--owner", "cron-1"]).await;
    assert_eq!(broken.code, 0);
    assert_eq!(run.wait(LIMIT).await.code(), Some(76));
    let told = run.lines().join("\n");
    assert!(told.contains("lock \"k\" was lost"), "{told}");
}

#[tokio::test]
async fn on_a_quorum_all_servers_are_freed() {
    let mut servers = Vec::new();
    for _ in 0..3 {
        servers.push(Server::start().await);
    }
    let urls: Vec<_> = servers.iter().map(Server::url).collect();
    let builder = Locker::builder().owner("web");
    let locker = builder.connect_quorum(&urls).await.expect("connected");
    let guard = locker.lock("k").acquire().await.expect("free");
    let url = urls.join(",");
    let listed = until_some(LIMIT, "all servers have it", async || {
        let listed = tool(&url, &["list", "--quorum"]).await;
        listed.out.contains("3/3").then_some(listed)
    });
    assert_eq!(listed.await.code, 0);
    servers[0].kill();
    let listed = tool(&url, &["list", "--quorum"]).await;
    assert!(listed.out.contains("2/3"), "{listed:?}");
    let broken = tool(&url, &["break", "k", "--owner", "web", "--quorum"]).await;
    assert!(broken.out.contains("on 2 of 3 servers"), "{broken:?}");
    assert!(!servers[1].exists("k").await && !servers[2].exists("k").await);
    let error = guard.release().await.expect_err("it was broken");
    assert!(error.is_not_held(), "{error}");
    servers[1].kill();
    assert_eq!(tool(&url, &["list", "--quorum"]).await.code, 69);
}

#[tokio::test]
async fn what_a_majority_of_a_quorum_keeps_is_not_freed() {
    let mut servers = Vec::new();
    for _ in 0..3 {
        servers.push(Server::start().await);
    }
    let break_it = async |user: &str| {
        for server in &servers {
            grant(server, "helper", &["~* +@all"]).await;
        }
        for server in &servers[1..] {
            grant(server, "helper", &["~* +@all", user]).await;
        }
        let urls = servers.iter().map(|server| {
            let address = format!("127.0.0.1:{}", server.port());
            format!("redis://helper:secret@{address}")
        });
        let urls = urls.collect::<Vec<_>>().join(",");
        tool(&urls, &["break", "k", "--owner", "web", "--quorum"]).await
    };
    let hold_all = async |owners: [Option<&str>; 3]| {
        for (server, owner) in servers.iter().zip(owners) {
            server.del("k").await;
            if let Some(owner) = owner {
                hold(server, "k", owner).await;
            }
        }
    };
    let some = Some("web");
    hold_all([some, some, some]).await;
    let ended = break_it("-eval").await;
    assert_eq!((ended.code, ended.out.as_str()), (69, ""), "{ended:?}");
    for told in ["\"k\"", "1 of 3", "no majority", "eval"] {
        assert!(ended.err.contains(told), "{told}: {}", ended.err);
    }
    assert!(servers[1].exists("k").await && servers[2].exists("k").await);

    hold_all([some, Some("other"), Some("other")]).await;
    let ended = break_it("+eval").await;
    assert_eq!((ended.code, ended.out.as_str()), (1, ""), "{ended:?}");
    for told in ["1 of 3", "other has it now"] {
        assert!(ended.err.contains(told), "{told}: {}", ended.err);
    }

    hold_all([some, None, None]).await;
    let ended = break_it("+eval").await;
    assert_eq!((ended.code, ended.out.as_str()), (1, ""), "{ended:?}");
    for told in ["1 of 3", "nobody held it"] {
        assert!(ended.err.contains(told), "{told}: {}", ended.err);
    }
    assert!(!servers[0].exists("k").await);
}

#[tokio::test]
async fn no_more_of_a_huge_value_is_sent_than_is_shown_and_that_frees_it() {
    let server = Server::start().await;
    let huge = "x".repeat(1 << 20);
    server.set_px("k", huge.as_str(), 60_000).await;
    let ended = tool(&server.url(), &["break", "k", "--token", "y"]).await;
    assert_eq!(ended.code, 1);
    assert!(ended.err.len() < 2_000, "{} bytes", ended.err.len());
    let shown = tool(&server.url(), &["show", "k", "--json"]).await;
    let json: serde_json::Value = serde_json::from_str(&shown.out).expect("json");
    let token = json["token"].as_str().expect("text");
    assert_eq!(token.len(), 513);
    let ended = tool(&server.url(), &["break", "k", "--token", token]).await;
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    assert!(!server.exists("k").await);
}
