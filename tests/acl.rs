//! Redis users with exactly the rights that `docs/acl.md` lists, and what is said when one is
//! missing.

#[cfg(feature = "cluster")]
#[path = "acl/cluster.rs"]
mod cluster;
#[cfg(feature = "sentinel")]
#[path = "acl/sentinels.rs"]
mod sentinels;

use std::time::Duration;

use redis_locked::{LockError, Locker, LockerBuilder};
use redis_locked_test_support::{Server, until};
use tokio::time::timeout;

const TTL: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(20);

/// The rules of `docs/acl.md`, by their headings.
const LOCKS: &str = "~jobs:* +ping +set +get +pttl +pexpire +del +evalsha +eval";
const FENCED: &str = "~{jobs:*}:fence +time";
const PLACES: &str = "+time +type +zadd +zcard +zrange +zrem +zremrangebyscore +zrevrank +zscore \
                      +pexpireat +zcount +zrangebyscore";
const RECORDED: &str = "~{jobs:*}:last +time +hmget +hset +hdel";
const LINE: &str = "~{jobs:*}:line ~{jobs:*}:seats ~{jobs:*}:fence &jobs:bell:* +time +type +exists \
                    +hget +hset +hdel +zadd +zcard +zrange +zrank +zrem +zscore +publish +subscribe \
                    +pubsub|numsub";
/// The same at the nodes of a cluster, instead of the last three.
const SHARDED: &str = "+spublish +ssubscribe +sunsubscribe +pubsub|shardnumsub";
const TRACKING: &str = "+client|tracking";
const REPLICAS: &str = "+wait";
/// What is found with these when connecting; `tests/servers.rs` does without them.
const ONE_OF_A_CLUSTER: &str = "+cluster|slots";
const ONE_TWICE: &str = "+info";
const CLUSTER: &str = "+cluster|slots +asking";
/// Of the user of the servers, and of that of the sentinels.
const SENTINEL: [&str; 2] = [
    "+role",
    "+sentinel|master +sentinel|get-master-addr-by-name",
];

const DOCS: &str = include_str!("../docs/acl.md");

/// The rules of the table in the docs, in its order.
fn rules_of_the_docs() -> Vec<String> {
    let rows = DOCS.lines().filter(|line| line.starts_with("| "));
    let rules = rows.filter_map(|row| row.split(" | ").nth(1));
    let quoted = rules.flat_map(|rules| rules.split('`').skip(1).step_by(2));
    quoted.map(|rules| rules.replace("\\|", "|")).collect()
}

#[test]
fn the_docs_have_these_rules() {
    let [servers, sentinels] = SENTINEL;
    let tested = [
        LOCKS,
        FENCED,
        PLACES,
        RECORDED,
        LINE,
        SHARDED,
        TRACKING,
        REPLICAS,
        ONE_OF_A_CLUSTER,
        ONE_TWICE,
        CLUSTER,
        servers,
        sentinels,
    ];
    assert_eq!(rules_of_the_docs(), tested);
    let app = format!("ACL SETUSER app on >secret {LOCKS} {TRACKING}\n");
    assert!(DOCS.contains(&app), "{app}");
    let app = format!("{} {servers}\n", app.trim_end());
    assert!(DOCS.contains(&app), "{app}");
    let watcher = format!("ACL SETUSER watcher on >other {sentinels}\n");
    assert!(DOCS.contains(&watcher), "{watcher}");
}

/// Makes the user `app` anew, with these rights and no others.
async fn grant(server: &Server, rules: &[&str]) {
    set_user(server, "app", "secret", rules).await;
}

async fn set_user(server: &Server, name: &str, password: &str, rules: &[&str]) {
    let mut command = redis::cmd("ACL");
    command
        .arg("SETUSER")
        .arg(name)
        .arg("reset")
        .arg("on")
        .arg(format!(">{password}"));
    for rule in rules.iter().flat_map(|rules| rules.split(' ')) {
        command.arg(rule);
    }
    let mut connection = server.connection().await;
    command
        .query_async::<()>(&mut connection)
        .await
        .expect("valid rules");
}

async fn connect_with(builder: LockerBuilder, server: &Server) -> Result<Locker, LockError> {
    let url = format!("redis://app:secret@127.0.0.1:{}", server.port());
    builder.prefix("jobs:").connect(&url).await
}

async fn connect(server: &Server) -> Result<Locker, LockError> {
    connect_with(Locker::builder(), server).await
}

async fn with_rights(rules: &[&str]) -> (Server, Locker) {
    let server = Server::start().await;
    grant(&server, rules).await;
    let locker = connect(&server).await.expect("connected");
    (server, locker)
}

/// Everything that needs no right beyond those of [`LOCKS`].
async fn all_of_a_lock(server: &Server, locker: &Locker) -> Result<(), LockError> {
    server.flush_scripts().await;
    let guard = locker.lock("k").ttl(TTL).acquire().await?;
    assert!(guard.extend(2 * TTL).await.is_ok_and(|()| guard.is_held()));
    let error = locker.lock("k").acquire().await.expect_err("held");
    assert!(error.is_busy(), "{error}");
    guard.release().await?;

    let renewed = locker.lock("k").ttl(Duration::from_millis(300)).renew();
    renewed
        .run(tokio::time::sleep(Duration::from_millis(800)))
        .await?;
    let kept = locker.lock("k").ttl(TTL).min_hold(Duration::from_millis(1));
    kept.acquire().await?.release().await
}

#[tokio::test]
async fn locks() -> Result<(), LockError> {
    let (server, locker) = with_rights(&[LOCKS]).await;
    all_of_a_lock(&server, &locker).await?;

    // A command that was lost is asked again, and finds our own key.
    server.kill_clients().await;
    locker
        .lock("again")
        .ttl(TTL)
        .acquire()
        .await?
        .release()
        .await
}

#[tokio::test]
async fn fenced_locks() -> Result<(), LockError> {
    let (_server, locker) = with_rights(&[LOCKS, FENCED]).await;
    for _ in 0..2 {
        let guard = locker.lock("k").ttl(TTL).fenced().acquire().await?;
        assert!(guard.fencing_token().is_some());
        guard.release().await?;
    }
    Ok(())
}

const PERIOD: Duration = Duration::from_secs(366 * 24 * 60 * 60);

#[tokio::test]
async fn recorded_runs() -> Result<(), LockError> {
    let (_server, locker) = with_rights(&[LOCKS, RECORDED]).await;
    let once = || locker.lock("k").ttl(TTL).once_per(PERIOD);
    once().acquire().await?.fail().await?;
    once().wait(LIMIT).acquire().await?.release().await?;
    let done = once().acquire().await.expect_err("done");
    assert!(done.is_already_done(), "{done}");
    assert!(locker.last_run("k").await?.is_some());
    Ok(())
}

#[tokio::test]
async fn without_a_right_of_the_record_nothing_runs_and_no_key_is_left() {
    // Nor can a release be written, so that each lasts for the time of its ttl.
    let ttl = Duration::from_secs(1);
    let without = async |missing: &str| {
        let rule = format!("-{missing}");
        let (server, locker) = with_rights(&[LOCKS, RECORDED, &rule]).await;
        let once = || locker.lock("k").ttl(ttl).once_per(PERIOD);
        names(once().acquire().await, missing);
        names(once().wait(ttl / 10).acquire().await, missing);
        let recorded = locker.lock("k").ttl(ttl).recorded();
        names(recorded.acquire().await, missing);
        locker.shutdown().await;
        assert!(!server.exists("jobs:k").await, "without {missing}");
    };
    tokio::join!(without("time"), without("hmget"), without("hset"));
}

#[tokio::test]
async fn permits_and_shared_locks() -> Result<(), LockError> {
    let (server, locker) = with_rights(&[LOCKS, PLACES]).await;
    let held = locker.lock("k").ttl(TTL).permits(2).acquire().await?;
    let kept = locker.lock("k").ttl(TTL).permits(2).min_hold(TTL);
    kept.acquire().await?.release().await?;
    for request in [
        locker.lock("k").permits(2),
        locker.lock("k").shared().retries(1),
        locker.lock("k").permits(2).wait(TTL / 600),
        locker.lock("k"),
        locker.lock("k").wait(TTL / 600),
    ] {
        let said = request.acquire().await.expect_err("full").to_string();
        assert!(said.contains(" (2 places) hold it, "), "{said}");
    }
    held.extend(2 * TTL).await?;
    held.release().await?;
    server.del("jobs:k").await;
    let renewed = locker.lock("k").ttl(Duration::from_millis(300)).renew();
    let body = tokio::time::sleep(Duration::from_millis(800));
    renewed.shared().run(body).await
}

/// Each right is needed, but for those that say who the holders are, and the one that makes a release
/// short.
#[tokio::test]
async fn a_right_that_is_missing_for_places_is_named_and_nothing_is_left() {
    let server = Server::start().await;
    let said = async |locker: &Locker| {
        let error = locker.lock("k").permits(2).acquire().await;
        error.expect_err("full").to_string()
    };
    for missing in PLACES.split(" +") {
        let missing = missing.trim_start_matches('+');
        grant(&server, &[LOCKS, PLACES]).await;
        let locker = connect(&server).await.expect("connected");
        let held = locker.lock("k").ttl(TTL).permits(2).acquire().await;
        let held = held.expect("free");
        let without = format!("-{missing}");
        grant(&server, &[LOCKS, PLACES, &without]).await;
        server.kill_clients().await;
        let other = connect(&server).await.expect("connected");
        if missing == "zrem" {
            names(held.release().await, missing);
        } else if missing == "zrevrank" {
            held.release().await.expect("needs it not");
        } else if missing == "type" {
            // That is asked only where the key holds no places.
            server.set_px("jobs:other", "theirs", 60_000).await;
            names(other.lock("other").permits(2).acquire().await, missing);
        } else if missing == "zremrangebyscore" {
            // Nothing is removed before a place has ended.
            grant(&server, &[LOCKS, PLACES]).await;
            let brief = locker.lock("k").permits(2).ttl(TTL / 60);
            let _ended = brief.acquire().await.expect("room");
            grant(&server, &[LOCKS, PLACES, &without]).await;
            tokio::time::sleep(TTL / 60).await;
            names(other.lock("k").permits(2).acquire().await, missing);
        } else if ["zcount", "zrangebyscore"].contains(&missing) {
            let second = other.lock("k").ttl(TTL).permits(2).acquire().await;
            let _second = second.expect("room");
            assert!(said(&other).await.contains("2 others hold it, "));
        } else {
            let brief = |key| other.lock(key).permits(2).ttl(TTL / 120);
            // Only the place that ends last has the key live longer.
            let is_last = missing == "pexpireat";
            let ttl = if is_last { 2 * TTL } else { TTL / 120 };
            names(brief("k").ttl(ttl).acquire().await, missing);
            // A key that is free needs less.
            match brief("new").acquire().await {
                Ok(guard) => drop(guard),
                Err(error) => names(Err::<(), _>(error), missing),
            }
            other.shutdown().await;
            assert!(!server.exists("jobs:new").await, "an orphan");
        }
        server.del("jobs:k").await;
    }
}

#[tokio::test]
async fn waiting_with_tracking() {
    let (server, locker) = with_rights(&[LOCKS, TRACKING]).await;
    waits(&server, &locker).await;
    assert!(tracks(&server).await);
}

#[tokio::test]
async fn waiting_in_line() {
    let (server, locker) = with_rights(&[LOCKS, LINE, TRACKING]).await;
    waits(&server, &locker).await;
    hands_over(&server, &locker, "nothing").await;
    let calls = server.command_calls().await;
    assert!(calls.contains_key("publish"), "{calls:?}");
}

#[tokio::test]
async fn without_any_right_of_the_line_waiting_goes_on_without_it() {
    for missing in LINE.split(' ') {
        let others = LINE.split(' ').filter(|rule| *rule != missing);
        let others = others.collect::<Vec<_>>().join(" ");
        let (server, locker) = with_rights(&[LOCKS, &others, TRACKING]).await;
        waits(&server, &locker).await;
        hands_over(&server, &locker, missing).await;
        assert!(!server.exists("jobs:k").await, "without {missing}");
    }
}

/// From one process to another.
async fn hands_over(server: &Server, locker: &Locker, missing: &str) {
    let held = locker.lock("k").ttl(TTL).acquire().await.expect("free");
    let other = connect(server).await.expect("connected");
    let before = server.command_calls().await["pttl"];
    let waiting = tokio::spawn(other.lock("k").ttl(TTL).wait(TTL).acquire());
    until(LIMIT, "it has asked twice", async || {
        server.command_calls().await["pttl"] >= before + 2
    })
    .await;
    held.release().await.expect("ours");
    // Whoever is not told looks after five seconds.
    let guard = timeout(Duration::from_secs(3), waiting).await;
    let told = || panic!("it is told at once, without {missing} as well");
    let guard = guard.unwrap_or_else(|_| told()).expect("no panic");
    guard.expect("free").release().await.expect("ours");
}

#[tokio::test]
async fn waiting_without_tracking() {
    let (server, locker) = with_rights(&[LOCKS]).await;
    waits(&server, &locker).await;
    assert!(!tracks(&server).await);
}

async fn waits(server: &Server, locker: &Locker) {
    assert!(server.set_nx_px("jobs:k", "theirs", 60_000).await);
    let waiting = tokio::spawn(locker.lock("k").wait(TTL).acquire());
    until(LIMIT, "it has asked", async || {
        server.command_calls().await.contains_key("pttl")
    })
    .await;
    server.del("jobs:k").await;
    let guard = timeout(LIMIT, waiting).await.expect("its turn comes");
    let guard = guard.expect("no panic").expect("free");
    guard.release().await.expect("ours");
}

async fn tracks(server: &Server) -> bool {
    let mut connection = server.connection().await;
    let mut list = redis::cmd("CLIENT");
    list.arg("LIST");
    let list: String = list.query_async(&mut connection).await.expect("answers");
    list.lines()
        .any(|line| line.contains("flags=t") && line.contains("user=app"))
}

#[tokio::test]
async fn replicas_confirm() {
    let server = Server::start().await;
    grant(&server, &[LOCKS, REPLICAS]).await;
    let builder = || Locker::builder().replicas(1, Duration::from_millis(50));
    let locker = connect_with(builder(), &server).await.expect("connected");
    let error = locker.lock("k").acquire().await.expect_err("no replica");
    assert!(
        error.to_string().contains("only 0 of 1 replicas"),
        "{error}"
    );
    locker.shutdown().await;

    grant(&server, &[LOCKS]).await;
    let locker = connect_with(builder(), &server).await.expect("connected");
    names(locker.lock("k").acquire().await, "wait");
    locker.shutdown().await;
    assert!(!server.exists("jobs:k").await, "an orphan");
}

fn names<T>(result: Result<T, LockError>, command: &str) {
    let Err(error) = result else {
        panic!("{command} was not needed");
    };
    assert!(error.is_backend(), "without {command}: {error}");
    let said = error.to_string().to_lowercase();
    assert!(said.contains("lacks a right"), "without {command}: {said}");
    let named =
        said.contains(&format!("'{command}'")) || said.contains(&format!("refused {command} "));
    assert!(named, "without {command}: {said}");
}

/// Each right is needed: without it, something is refused, by its name.
#[tokio::test]
async fn a_missing_right_is_a_failure_that_names_the_command() {
    let server = Server::start().await;
    let all = [LOCKS, FENCED, TRACKING];
    for missing in [
        "set", "get", "pttl", "pexpire", "del", "evalsha", "eval", "time",
    ] {
        grant(&server, &all).await;
        let locker = connect(&server).await.expect("connected");
        let guard = locker.lock("held").ttl(TTL).acquire().await.expect("free");
        let other = locker.lock("other").ttl(TTL).acquire().await.expect("free");
        server.flush_scripts().await;
        let without = format!("-{missing}");
        grant(&server, &[LOCKS, FENCED, TRACKING, &without]).await;
        server.kill_clients().await;
        let connected = connect(&server).await;
        let before = locker.clone();
        // Who can run no scripts is told so before a key is set.
        let locker = if missing.starts_with("eval") {
            names(connected, missing);
            locker
        } else {
            connected.expect("connected")
        };

        match missing {
            "set" => names(locker.lock("k").acquire().await, missing),
            "pttl" => names(locker.lock("held").acquire().await, missing),
            "pexpire" => names(guard.extend(2 * TTL).await, missing),
            "time" => {
                names(locker.lock("k").ttl(TTL).fenced().acquire().await, missing);
                locker.shutdown().await;
                assert!(!server.exists("jobs:k").await, "an orphan");
            }
            _ => {
                names(other.release().await, missing);
                if missing == "get" {
                    names(locker.lock("held").acquire().await, missing);
                    names(guard.extend(2 * TTL).await, missing);
                }
            }
        }
        grant(&server, &all).await;
        let _ = guard.release().await;
        // What could not be released is, now: the next round begins without its scripts.
        before.shutdown().await;
        server.del("jobs:other").await;
    }
    grant(&server, &[LOCKS, "-ping"]).await;
    names(connect(&server).await, "ping");
}

#[tokio::test]
async fn a_key_that_is_not_granted_is_a_failure_too() {
    let (server, _locker) = with_rights(&[LOCKS]).await;
    let builder = Locker::builder().prefix("other:");
    let url = format!("redis://app:secret@127.0.0.1:{}", server.port());
    let locker = builder.connect(&url).await.expect("connected");
    let error = locker.lock("k").acquire().await.expect_err("refused");
    assert!(error.is_backend(), "{error}");
    let said = error.to_string();
    assert!(
        said.contains("lock \"k\"") && said.contains("key"),
        "{said}"
    );

    // The counter is a key as well.
    grant(&server, &[LOCKS, "+time"]).await;
    let locker = connect(&server).await.expect("connected");
    let error = locker
        .lock("k")
        .ttl(TTL)
        .fenced()
        .acquire()
        .await
        .expect_err("refused");
    assert!(
        error.is_backend() && error.to_string().contains("key"),
        "{error}"
    );
    locker.shutdown().await;
    assert!(!server.exists("jobs:k").await, "an orphan");
}
