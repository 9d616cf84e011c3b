//! Clusters, sentinels, TLS.

mod common;

use std::collections::VecDeque;

use common::{LIMIT, TOKEN, tool};
use redis_locked_runtime::Locker;
use redis_locked_test_support::{
    Authority, Cluster, Directory, FakeAnswers, Sentinels, Server, servers_have_tls, until,
};

#[tokio::test]
async fn all_masters_of_a_cluster_are_looked_at() {
    let cluster = Cluster::start().await;
    let urls = cluster.urls();
    let builder = Locker::builder().owner("web-3:812");
    let locker = builder.connect_cluster(&urls).await.expect("connected");
    let keys = cluster.a_key_per_master("report").await;
    assert!(keys.len() > 1);
    let mut guards = Vec::new();
    for key in &keys {
        let request = locker.lock(key.as_str()).fenced();
        guards.push(request.acquire().await.expect("free"));
    }
    // Another process waits for each.
    let other = Locker::builder().owner("web-4:9");
    let other = other.connect_cluster(&urls).await.expect("connected");
    let mut waiting = VecDeque::new();
    for key in &keys {
        waiting.push_back(tokio::spawn(other.lock(key.as_str()).wait(LIMIT).acquire()));
        let master = cluster.node(cluster.master_of(key).await);
        until(LIMIT, "it waits", async || {
            master.exists(format!("{{{key}}}:line")).await
        })
        .await;
    }
    // A part of the locks is not shown as if it were all.
    for url in &urls {
        let ended = tool(url, &["list"]).await;
        assert_eq!((ended.code, ended.out.as_str()), (69, ""), "{ended:?}");
        assert!(ended.err.contains("use --cluster"), "{ended:?}");
        let ended = tool(url, &["run", "-k", "a", "--ttl", "5s", "--", "true"]).await;
        assert_eq!(ended.code, 64, "{ended:?}");
        assert!(ended.err.contains("--cluster"), "{ended:?}");
    }
    // One node is enough to find the others.
    let url = &urls[0];
    let ended = tool(url, &["list", "--cluster", "--json"]).await;
    let json: serde_json::Value = serde_json::from_str(&ended.out).expect("json");
    assert_eq!(json.as_array().map(Vec::len), Some(keys.len()), "{json}");
    for guard in &guards {
        let key = guard.key();
        let mut found = json.as_array().into_iter().flatten();
        let found = found.find(|lock| lock["key"] == key).expect(key);
        assert_eq!(found["waiting"], 1, "{found}");
        let number: u64 = guard.fencing_token().expect("fenced").into();
        assert_eq!(found["fence"], number.to_string());
        let ended = tool(url, &["show", key, "--cluster"]).await;
        assert!(ended.out.contains(guard.token()), "{ended:?}");
        assert!(ended.out.contains("web-4:9"), "{ended:?}");
        let run = ["run", "-k", key, "--ttl", "5s", "--cluster", "--", "true"];
        assert_eq!(tool(url, &run).await.code, 75);
        waiting.pop_front().expect("one for each").abort();
        let master = cluster.node(cluster.master_of(key).await);
        until(LIMIT, "nobody waits", async || {
            !master.exists(format!("{{{key}}}:line")).await
        })
        .await;
        let ended = tool(url, &["break", key, "--token", guard.token(), "--cluster"]).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        assert_eq!(tool(url, &run).await.code, 0);
    }
}

#[tokio::test]
async fn the_master_that_sentinels_name_is_looked_at_also_after_a_failover() {
    let sentinels = Sentinels::start().await;
    let url = sentinels.urls().join(",");
    let named = ["--sentinel", sentinels.name()];
    for failed_over in [false, true] {
        if failed_over {
            sentinels.fail_over().await;
        }
        let master = sentinels.server(sentinels.master().await);
        let value = format!("{TOKEN};web-{failed_over}");
        master.set_px("report:42", value.as_str(), 60_000).await;
        let ended = tool(&url, &[&["show", "report:42"], &named[..]].concat()).await;
        let owner = format!("owner   web-{failed_over}");
        assert!(ended.out.contains(&owner), "{ended:?}");
        let run = ["run", "-k", "report:42", "--ttl", "5s"];
        let ended = tool(&url, &[&run, &named[..], &["--", "true"]].concat()).await;
        assert_eq!(ended.code, 75, "{ended:?}");
        let free = ["break", "report:42", "--token", TOKEN];
        let ended = tool(&url, &[&free, &named[..]].concat()).await;
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(!master.exists("report:42").await);
    }
    let ended = tool(&url, &["list", "--sentinel", "nobody"]).await;
    assert_eq!(ended.code, 69, "{ended:?}");
}

#[tokio::test]
async fn sentinels_have_a_password_of_their_own() {
    let sentinels = Sentinels::with_passwords("geheim", "wache").await;
    let url = sentinels.urls().join(",");
    let master = sentinels.server(sentinels.master().await);
    common::hold(master, "k", "web").await;
    let list = ["list", "--sentinel", sentinels.name()];
    let run = [
        "run",
        "-k",
        "k",
        "--ttl",
        "5s",
        "--sentinel",
        sentinels.name(),
    ];
    let own = ["--sentinel-password", "wache"];
    let ended = tool(&url, &[&list[..], &own].concat()).await;
    assert!(ended.out.contains("web"), "{ended:?}");
    let ended = tool(&url, &[&run[..], &own, &["--", "true"]].concat()).await;
    assert_eq!(ended.code, 75, "{ended:?}");
    for wrong in [&[][..], &["--sentinel-password", "geheim"]] {
        for command in [&list[..], &run] {
            let then: &[&str] = if command == run { &["--", "true"] } else { &[] };
            let ended = tool(&url, &[command, wrong, then].concat()).await;
            assert_eq!(ended.code, 69, "{ended:?}");
            assert!(!ended.err.contains("geheim"), "{}", ended.err);
        }
    }
}

#[tokio::test]
async fn servers_with_tls_are_trusted_by_their_authority() {
    if !servers_have_tls() {
        eprintln!("this redis-server was built without TLS");
        return;
    }
    let authority = Authority::new();
    let server = Server::builder().tls(&authority, &["localhost"]);
    let server = server.start().await;
    let url = format!("rediss://localhost:{}", server.tls_port());
    let directory = Directory::new();
    let client = authority.sign(&["client"]);
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("written");
        path.to_str().expect("text").to_owned()
    };
    let ca = file("ca.pem", authority.pem());
    let certificate = file("client.pem", &client.certificate);
    let key = file("client.key", &client.key);
    let ca = ["--ca", &ca];
    let client = ["--client-cert", &certificate, "--client-key", &key];
    common::hold(&server, "k", "web").await;
    let ended = tool(&url, &[&["list"], &ca[..], &client].concat()).await;
    assert!(ended.out.contains("web"), "{ended:?}");
    let run = ["run", "-k", "free", "--ttl", "5s"];
    let ended = tool(&url, &[&run[..], &ca, &client, &["--", "true"]].concat()).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    for too_little in [&[][..], &ca, &client] {
        let ended = tool(&url, &[&["list"], too_little].concat()).await;
        assert_eq!(ended.code, 69, "{ended:?}");
    }
    let ended = tool(&server.url(), &[&["list"], &ca[..]].concat()).await;
    assert_eq!(ended.code, 64, "certificates without TLS: {ended:?}");
    let run = ["run", "-k", "free", "--ttl", "5s", "--wait", "1h"];
    let missing = ["--ca", "/nowhere/ca.pem", "--", "true"];
    for command in [
        &["list", "--ca", "/nowhere/ca.pem"][..],
        &[&run[..], &missing].concat(),
    ] {
        let ended = tool(&url, command).await;
        assert_eq!(ended.code, 64, "{ended:?}");
        assert!(ended.err.contains("/nowhere/ca.pem"), "{ended:?}");
    }
}

/// Behind NAT, say.
#[tokio::test]
async fn a_master_that_is_announced_elsewhere_is_reached_by_the_map() {
    let server = Server::start().await;
    common::hold(&server, "k", "web").await;
    let port = server.port();
    let nowhere = format!(
        "*2\r\n$10\r\n127.0.0.77\r\n${}\r\n{port}",
        port.to_string().len()
    );
    let sentinel = FakeAnswers::with(move |question| match question[1].as_str() {
        "MASTER" => "*2\r\n$12\r\nconfig-epoch\r\n$1\r\n1".to_owned(),
        _ => nowhere.clone(),
    })
    .await;
    let url = sentinel.url();
    let list = ["list", "--sentinel", "mymaster"];
    let run = ["run", "-k", "free", "--ttl", "5s", "--sentinel", "mymaster"];
    for command in [&list[..], &[&run[..], &["--", "true"]].concat()] {
        let ended = tool(&url, command).await;
        assert_eq!(ended.code, 69, "{ended:?}");
        assert!(ended.err.contains("--address-map"), "{ended:?}");
    }
    let map = format!("127.0.0.77:{port}=127.0.0.1:{port}");
    let map = ["--address-map", &map];
    let ended = tool(&url, &[&list[..], &map].concat()).await;
    assert!(ended.out.contains("web"), "{ended:?}");
    let ended = tool(&url, &[&run[..], &map, &["--", "true"]].concat()).await;
    assert_eq!(ended.code, 0, "{ended:?}");
    let ended = tool(&url, &["list", "--address-map", "127.0.0.77=127.0.0.1"]).await;
    assert_eq!(ended.code, 64, "{ended:?}");
}
