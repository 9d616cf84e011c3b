//! Redis users with exactly the rights that `docs/tool.md` lists.

mod common;

use std::process::Command;

use common::{LIMIT, ask, end, grant, hold, start, tool};
use redis_locked_test_support::{Sentinels, Server, until};

/// The rules of `docs/tool.md`.
const LOOK: &str = "~jobs:* ~{jobs:*}:fence ~{jobs:*}:line ~{jobs:*}:seats +getrange +pttl +get \
                    +time +zrange +hgetall +pubsub|numsub";
const SCAN: &str = "+scan";
const TYPE: &str = "~{jobs:*}:last +type +hmget";
const LAST: &str = "~jobs:* ~{jobs:*}:last +scan +get +hmget +time";
const BREAK: &str = "~jobs:* +eval +get +pttl +del";
const FORGET: &str = "~{jobs:*}:last +hdel";
const CLUSTER: &str = "+cluster|slots +cluster|keyslot +pubsub|shardnumsub";
const SENTINEL_SERVERS: &str = "+role";
const SENTINELS: &str = "+sentinel|master +sentinel|get-master-addr-by-name";
/// The rules of `docs/acl.md`, for a lock with a number.
const RUN: &str = "~jobs:* +ping +set +get +pttl +pexpire +del +evalsha +eval";
const NUMBER: &str = "~{jobs:*}:fence +time";

const LIST: [&str; 3] = ["list", "--prefix", "jobs:"];
const SHOW: [&str; 4] = ["show", "k", "--prefix", "jobs:"];
const FREE: [&str; 6] = ["break", "k", "--owner", "web", "--prefix", "jobs:"];
const LOCK: [&str; 7] = ["run", "-k", "free", "--prefix", "jobs:", "--ttl", "10s"];
const ECHO: [&str; 4] = ["--", "sh", "-c", "echo ${REDIS_LOCKED_FENCE-none}"];

#[test]
fn the_docs_have_these_rules() {
    let docs = include_str!("../../docs/tool.md").replace("\\|", "|"); // as in tables
    let acl = include_str!("../../docs/acl.md");
    for rules in [
        LOOK,
        SCAN,
        TYPE,
        BREAK,
        FORGET,
        LAST,
        CLUSTER,
        SENTINEL_SERVERS,
        SENTINELS,
    ] {
        assert!(docs.contains(&format!("`{rules}`")), "{rules}");
    }
    for rules in [RUN, NUMBER] {
        assert!(acl.contains(&format!("`{rules}`")), "{rules}");
    }
}

fn url(server: &Server) -> String {
    format!("redis://app:secret@127.0.0.1:{}", server.port())
}

/// A server with a lock, a number drawn for it, one who waited for it, and keys that are not the user's.
async fn server() -> Server {
    let server = Server::start().await;
    fill(&server).await;
    server
}

async fn fill(server: &Server) {
    hold(server, "jobs:k", "web").await;
    server.set_px("{jobs:k}:fence", "3", 60_000).await;
    hold(server, "other:k", "web").await;
    let mut line = redis::cmd("ZADD");
    ask(server, line.arg("{jobs:k}:line").arg(1).arg("gone")).await;
    let mut seats = redis::cmd("HSET");
    seats.arg("{jobs:k}:seats").arg("gone");
    ask(server, seats.arg("9999999999999 1 500 0 jobs:bell:1")).await;
}

#[tokio::test]
async fn looking() {
    let server = server().await;
    let url = url(&server);
    grant(&server, "app", &[LOOK, SCAN]).await;
    let listed = tool(&url, &LIST).await;
    assert_eq!((listed.code, listed.err.as_str()), (0, ""));
    assert_eq!(listed.out.lines().count(), 2, "{}", listed.out);
    assert!(listed.out.contains("3072"), "{}", listed.out);

    let watch = ["watch", "--json", "--interval", "20ms", "--prefix", "jobs:"];
    let watch = start(&url, &watch);
    watch.wait_for_line(r#""snapshot":[{"#, LIMIT).await;
    hold(&server, "jobs:new", "web").await;
    watch.wait_for_line(r#"{"change":"new""#, LIMIT).await;

    grant(&server, "app", &[LOOK, TYPE]).await;
    let shown = tool(&url, &SHOW).await;
    assert_eq!((shown.code, shown.err.as_str()), (0, ""));
    assert!(shown.out.contains("3072"), "{}", shown.out);
}

#[tokio::test]
async fn breaking() {
    let server = server().await;
    grant(&server, "app", &[BREAK]).await;
    let broken = tool(&url(&server), &FREE).await;
    assert_eq!((broken.code, broken.err.as_str()), (0, ""));
    assert!(!server.exists("jobs:k").await);
}

#[tokio::test]
async fn a_missing_right_is_69_and_is_named() {
    let server = server().await;
    let url = url(&server);
    let missing = [
        (&LIST[..], "scan"),
        (&LIST, "getrange"),
        (&LIST, "pttl"),
        (&LIST, "get"),
        (&LIST, "time"),
        (&LIST, "zrange"),
        (&LIST, "hgetall"),
        (&LIST, "pubsub|numsub"),
        (&SHOW, "type"),
        (&SHOW, "getrange"),
        (&SHOW, "pttl"),
        (&SHOW, "get"),
        (&SHOW, "zrange"),
        (&FREE, "eval"),
        (&FREE, "get"),
        (&FREE, "pttl"),
        (&FREE, "del"),
    ];
    for (command, missing) in missing {
        let rest = format!("-{missing}");
        grant(&server, "app", &[LOOK, SCAN, TYPE, BREAK, &rest]).await;
        let ended = tool(&url, command).await;
        assert_eq!((ended.code, ended.out.as_str()), (69, ""), "{ended:?}");
        assert!(ended.err.contains(missing), "{missing}: {}", ended.err);
        assert!(ended.err.contains("allowed"), "{missing}: {}", ended.err);
        assert!(server.exists("jobs:k").await);
    }
}

#[tokio::test]
async fn without_the_right_to_a_number_the_advice_is_to_do_without() {
    let server = server().await;
    let url = url(&server);
    let run = async |options: &[&str]| tool(&url, &[&LOCK, options, &ECHO].concat()).await;
    grant(&server, "app", &[RUN, NUMBER]).await;
    let ended = run(&[]).await;
    assert!(ended.out.trim().parse::<u64>().is_ok(), "{ended:?}");
    // Neither the command nor the counter's key can be done without.
    for too_little in [&[RUN, NUMBER, "-time"][..], &[RUN, "+time"]] {
        grant(&server, "app", too_little).await;
        let ended = run(&[]).await;
        assert_eq!((ended.code, ended.out.as_str()), (69, ""), "{ended:?}");
        for told in ["\"free\"", "+time", "{jobs:free}:fence", "--no-fence"] {
            assert!(ended.err.contains(told), "{told}: {}", ended.err);
        }
        if too_little.contains(&"-time") {
            // By us where the server does not tell.
            let is_named = ["refused TIME", "'time'"].map(|told| ended.err.contains(told));
            assert!(is_named.contains(&true), "{}", ended.err);
        }
        assert!(!server.exists("jobs:free").await);
    }
    grant(&server, "app", &[RUN]).await;
    let ended = run(&["--no-fence"]).await;
    assert_eq!((ended.code, ended.out.as_str()), (0, "none\n"), "{ended:?}");
    grant(&server, "app", &[RUN, "-set"]).await;
    let ended = run(&["--no-fence"]).await;
    assert_eq!(ended.code, 69);
    assert!(!ended.err.contains("--no-fence"), "{}", ended.err);
}

/// A cluster of one node.
#[tokio::test]
async fn on_a_cluster() {
    let server = Server::builder().arg("cluster-enabled", "yes");
    let server = server.start().await;
    let mut slots = redis::cmd("CLUSTER");
    slots.arg("ADDSLOTSRANGE").arg(0).arg(16_383);
    ask(&server, &slots).await;
    until(LIMIT, "the cluster is up", async || {
        let mut connection = server.connection().await;
        let mut info = redis::cmd("CLUSTER");
        let info = info.arg("INFO").query_async::<String>(&mut connection);
        info.await.expect("answers").contains("cluster_state:ok")
    })
    .await;
    fill(&server).await;
    let url = url(&server);
    grant(&server, "app", &[LOOK, SCAN, TYPE, BREAK, CLUSTER]).await;
    for command in [&LIST[..], &SHOW, &FREE] {
        let ended = tool(&url, &[command, &["--cluster"]].concat()).await;
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{ended:?}");
    }
    for (command, missing) in [(&LIST[..], "slots"), (&SHOW, "keyslot")] {
        let rest = format!("-cluster|{missing}");
        grant(&server, "app", &[LOOK, SCAN, TYPE, BREAK, CLUSTER, &rest]).await;
        let ended = tool(&url, &[command, &["--cluster"]].concat()).await;
        assert_eq!(ended.code, 69, "{ended:?}");
        assert!(ended.err.contains(missing), "{}", ended.err);
    }
}

#[tokio::test]
async fn with_sentinels_that_know_users() {
    let sentinels = Sentinels::start().await;
    let master = sentinels.server(sentinels.master().await);
    fill(master).await;
    let rules = [RUN, NUMBER, LOOK, SCAN, TYPE, BREAK, SENTINEL_SERVERS];
    grant(master, "app", &rules).await;
    let mut urls = Vec::new();
    for number in 0..3 {
        let sentinel = sentinels.sentinel(number);
        grant(sentinel, "ops", &[SENTINELS]).await;
        urls.push(url(sentinel));
    }
    let with = async |command: &[&str], login: &[&str], then: &[&str]| {
        let named = ["--sentinel", sentinels.name()];
        let mut tool = Command::new(common::PROGRAM);
        tool.args(command).args(named).args(login).args(then);
        tool.env("REDIS_URL", urls.join(","));
        tool.env("REDIS_SENTINEL_PASSWORD", "secret");
        end(tool).await
    };
    let user = ["--sentinel-user", "ops"];
    for (command, then) in [(&LIST[..], &[][..]), (&LOCK, &ECHO), (&FREE, &[])] {
        let ended = with(command, &user, then).await;
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{ended:?}");
        let ended = with(command, &[], then).await;
        assert_eq!((ended.code, ended.out.as_str()), (69, ""), "{ended:?}");
    }
    grant(master, "app", &[&rules[..], &["-role"]].concat()).await;
    let ended = with(&LIST, &user, &[]).await;
    assert!(ended.code == 69 && ended.err.contains("role"), "{ended:?}");
    grant(master, "app", &rules).await;
    for missing in ["master", "get-master-addr-by-name"] {
        for number in 0..3 {
            let rest = format!("-sentinel|{missing}");
            grant(sentinels.sentinel(number), "ops", &[SENTINELS, &rest]).await;
        }
        let ended = with(&LIST, &user, &[]).await;
        assert_eq!(ended.code, 69, "{ended:?}");
        assert!(ended.err.contains(missing), "{}", ended.err);
    }
}
