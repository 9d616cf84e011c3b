//! `run` while Redis is away, or has not answered.

mod common;

use common::{LIMIT, grant, hold, start, tool};
use redis_locked_test_support::{AfterLoss, Server, bulk, until};

fn script<'a>(options: &[&'a str]) -> Vec<&'a str> {
    let run = ["run", "--key", "k", "--ttl", "10s"];
    [&run, options, &["--", "echo", "ran"]].concat()
}

#[tokio::test]
async fn a_redis_that_is_away_at_the_start_is_waited_for() {
    let servers = [
        Server::start().await,
        Server::start().await,
        Server::start().await,
    ];
    let retries = ["--retries", "500", "--backoff", "20ms"];
    for options in [
        &["--wait", "20s"][..],
        &["--wait", "forever"],
        &retries,
        &["--wait", "20s", "--quorum"],
        &[&retries[..], &["--quorum"]].concat(),
    ] {
        let count = if options.contains(&"--quorum") { 3 } else { 1 };
        let mut urls = Vec::new();
        let mut proxies = Vec::new();
        for server in &servers[..count] {
            server.kill();
            let proxy = server.proxy().await;
            urls.push(proxy.url());
            proxies.push(proxy);
        }
        let run = start(&urls.join(","), &script(options));
        until(LIMIT, "it has tried again", async || {
            proxies[0].accepted() > 1
        })
        .await;
        for server in &servers[..count] {
            server.restart().await;
        }
        let status = run.wait(LIMIT).await;
        let told = run.lines();
        assert_eq!(status.code(), Some(0), "{options:?}: {told:?}");
        assert!(told.iter().any(|line| line == "ran"), "{told:?}");
        let waits = options.contains(&"--wait");
        let news = told.iter().filter(|line| line.contains("tried again"));
        assert_eq!(news.count(), usize::from(waits), "{told:?}");
    }
}

#[tokio::test]
async fn patience_that_is_over_before_redis_is_back_is_69() {
    let server = Server::start().await;
    let proxy = server.proxy().await;
    server.kill();
    let retries = ["--retries", "2", "--backoff", "1ms"];
    let ended = tool(&proxy.url(), &script(&retries)).await;
    assert_eq!((ended.code, ended.out.as_str()), (69, ""), "{ended:?}");
    assert!(ended.err.contains("3 attempts"), "{}", ended.err);
    assert!(proxy.accepted() >= 3);
    let ended = tool(&proxy.url(), &script(&["--wait", "200ms"])).await;
    assert_eq!((ended.code, ended.out.as_str()), (69, ""), "{ended:?}");
    // What cannot pass is told at once.
    let ended = tool("redis:/nowhere", &script(&["--wait", "forever"])).await;
    assert_eq!((ended.code, ended.out.as_str()), (64, ""), "{ended:?}");
}

#[tokio::test]
async fn an_attempt_to_connect_is_one_of_the_attempts() {
    let server = Server::start().await;
    let proxy = server.proxy().await;
    server.kill();
    let options = ["--retries", "1", "--backoff", "3s"];
    let run = start(&proxy.url(), &script(&options));
    until(LIMIT, "it has tried", async || proxy.accepted() > 0).await;
    server.restart().await;
    hold(&server, "k", "web").await;
    assert_eq!(run.wait(LIMIT).await.code(), Some(75));
    assert!(run.lines()[0].contains("tried once"), "{:?}", run.lines());
}

#[tokio::test]
async fn a_wait_without_a_limit_tells_when_redis_goes() {
    let server = Server::start().await;
    hold(&server, "k", "web-3:812").await;
    let run = start(&server.url(), &script(&["--wait", "forever"]));
    // What it opens before is trouble of its own when it breaks.
    until(LIMIT, "in the line", async || {
        server.zcard("{k}:line").await == 1
    })
    .await;
    server.wait_until_tracking(LIMIT).await;
    server.kill();
    let told = run.wait_for_line("cannot be asked for", LIMIT).await;
    for part in ["redis-locked: ", "\"k\"", "Redis"] {
        assert!(told.contains(part), "{part}: {told}");
    }
    server.restart().await;
    assert_eq!(run.wait(LIMIT).await.code(), Some(0));
    assert_eq!(run.lines().len(), 2, "{:?}", run.lines());
}

#[tokio::test]
async fn an_attempt_whose_answer_was_lost_is_no_other_holder() {
    let server = Server::start().await;
    let proxy = server.proxy().await;
    let retries = ["--retries", "3", "--backoff", "1ms"];
    for (options, then, code) in [
        (&[][..], AfterLoss::Cut, 0),
        (&["--retries", "0"], AfterLoss::Silence, 69),
        (&retries, AfterLoss::Silence, 0),
        (&["--wait", "20s"], AfterLoss::Silence, 0),
    ] {
        let waits = options.contains(&"--wait");
        let word = if waits { "{k}:line" } else { "SET" };
        for (fence, word) in [(&[][..], "{k}:fence"), (&["--no-fence"], word)] {
            let lost = proxy.lost_answers();
            proxy.drop_next_answer(bulk(word), then);
            let run = script(&[options, fence, &["--skip", "--timeout", "500ms"]].concat());
            let ended = tool(&proxy.url(), &run).await;
            let out = if code == 0 { "ran\n" } else { "" };
            assert_eq!((ended.code, ended.out.as_str()), (code, out), "{ended:?}");
            assert!(proxy.lost_answers() > lost);
            assert!(!server.exists("k").await, "{options:?} {fence:?}");
        }
    }
}

#[tokio::test]
async fn a_request_that_arrives_when_nobody_waits_for_it_is_no_other_holder() {
    let server = Server::start().await;
    let proxy = server.proxy().await;
    hold(&server, "k", "web").await;
    let options = ["--timeout", "300ms", "--wait", "20s"];
    let run = start(&proxy.url(), &script(&options));
    // One answer names the holder, the next one also tells when the lock is free.
    until(LIMIT, "it waits", async || proxy.count_answers("web") > 1).await;
    let connections = proxy.accepted();
    proxy.forget();
    proxy.stall_requests(true);
    server.del("k").await;
    proxy.wait_for_request_here("{k}:fence", LIMIT).await;
    until(LIMIT, "it has given up", async || {
        proxy.accepted() > connections
    })
    .await;
    proxy.stall_requests(false);
    assert_eq!(run.wait(LIMIT).await.code(), Some(0));
    assert_eq!(run.lines(), ["ran"]);
}

/// It may be a mistake, so it is said at once; it may be a user who is made anew, so it is outlasted.
#[tokio::test]
async fn a_wrong_password_is_told_at_once_and_tried_again_where_there_is_patience() {
    let server = Server::start().await;
    let url = format!("redis://app:secret@127.0.0.1:{}", server.port());
    let words = "refused the user name or the password";
    let ended = tool(&url, &script(&[])).await;
    assert_eq!((ended.code, ended.out.as_str()), (69, ""), "{ended:?}");
    assert!(ended.err.contains(words), "{ended:?}");
    let run = start(&url, &script(&["--wait", "20s"]));
    run.wait_for_line(words, LIMIT).await;
    grant(&server, "app", &["~* &* +@all"]).await;
    assert_eq!(run.wait(LIMIT).await.code(), Some(0));
}
