//! Locks on a majority of independent servers.

mod common;

use std::time::Duration;

use common::{LIMIT, hold, start, tool};
use redis_locked_test_support::{Process, Server};

async fn servers() -> Vec<Server> {
    let mut servers = Vec::new();
    for _ in 0..3 {
        servers.push(Server::start().await);
    }
    servers
}

fn url_of(servers: &[Server]) -> String {
    servers
        .iter()
        .map(Server::url)
        .collect::<Vec<_>>()
        .join(",")
}

#[tokio::test]
async fn a_lock_is_held_while_more_than_half_have_it() {
    let servers = servers().await;
    let url = url_of(&servers);
    let show = ["show", "k", "--quorum"];
    let json = [&show[..], &["--json"]].concat();
    hold(&servers[0], "k", "web-3:812").await;
    let ended = tool(&url, &show).await;
    assert_eq!(ended.code, 1, "{ended:?}");
    let told = "1/3 (no majority: nobody holds it)";
    assert!(ended.out.contains(told), "{}", ended.out);
    let ended = tool(&url, &json).await;
    let shown: serde_json::Value = serde_json::from_str(&ended.out).expect("json");
    assert_eq!((ended.code, &shown["servers"]["holding"]), (1, &1.into()));

    hold(&servers[1], "k", "web-3:812").await;
    let ended = tool(&url, &show).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    assert!(ended.out.ends_with("servers 2/3\n"), "{}", ended.out);
    let ended = tool(&url, &json).await;
    let shown: serde_json::Value = serde_json::from_str(&ended.out).expect("json");
    assert_eq!((ended.code, &shown["servers"]["holding"]), (0, &2.into()));
    assert_eq!(
        (&shown["servers"]["of"], &shown["fence"]),
        (&3.into(), &().into())
    );
}

#[tokio::test]
async fn a_command_runs_under_the_lock_of_a_majority_without_a_number() {
    let servers = servers().await;
    let url = url_of(&servers);
    let script = "echo ${REDIS_LOCKED_FENCE-none}; exec sleep 60";
    let run = ["run", "--quorum", "-k", "k", "--ttl", "30s", "--"];
    // As fast as Redis is, a server may be late on a machine that runs too many tests at once.
    let patient = ["run", "--quorum", "--server-timeout", "10s"];
    let patient = [&patient[..], &run[2..]].concat();
    let holder: Process = start(&url, &[&patient[..], &["sh", "-c", script]].concat());
    assert_eq!(holder.line(LIMIT).await, "none");
    let mut holding = 0;
    for server in &servers {
        holding += usize::from(server.exists("k").await);
        assert!(!server.exists("{k}:fence").await);
    }
    assert!(holding > 1, "{holding} have it");
    let busy = tool(&url, &[&patient[..], &["echo", "ran"]].concat()).await;
    assert_eq!((busy.code, busy.out.as_str()), (75, ""), "{busy:?}");
    servers[0].kill();
    servers[1].kill();
    let ended = tool(&url, &[&run[..], &["echo", "ran"]].concat()).await;
    assert_eq!((ended.code, ended.out.as_str()), (69, ""), "{ended:?}");
}

#[tokio::test]
async fn servers_that_are_slow_have_the_time_that_they_are_given() {
    let servers = servers().await;
    let mut urls = vec![servers[0].url()];
    let mut proxies = Vec::new();
    for server in &servers[1..] {
        let proxy = server.proxy().await;
        proxy.delay_answers(Duration::from_millis(300));
        urls.push(proxy.url());
        proxies.push(proxy);
    }
    let url = urls.join(",");
    let run = [
        "run",
        "--quorum",
        "-k",
        "k",
        "--ttl",
        "30s",
        "--timeout",
        "20s",
    ];
    let command = ["--", "echo", "ran"];
    let ended = tool(&url, &[&run[..], &command].concat()).await;
    assert_eq!((ended.code, ended.out.as_str()), (69, ""), "{ended:?}");
    let given = ["--server-timeout", "10s", "--wait", "10s"];
    let ended = tool(&url, &[&run[..], &given, &command].concat()).await;
    assert_eq!((ended.code, ended.out.as_str()), (0, "ran\n"), "{ended:?}");
}
