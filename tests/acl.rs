//! Redis users with exactly the rights that `docs/acl.md` lists, and what is said when one is
//! missing.

use std::time::Duration;

use redis_locked::{LockError, Locker, LockerBuilder};
use redis_locked_test_support::{Server, until};
use tokio::time::timeout;

const TTL: Duration = Duration::from_secs(60);
const LIMIT: Duration = Duration::from_secs(20);

/// The rules of `docs/acl.md`, by their headings.
const LOCKS: &str = "~jobs:* +ping +set +get +pttl +pexpire +del +evalsha +eval";
const FENCED: &str = "~{jobs:*}:fence +time";
const TRACKING: &str = "+client|tracking";
const REPLICAS: &str = "+wait";
#[cfg(feature = "cluster")]
const CLUSTER: &str = "+cluster|slots +asking";

const DOCS: &str = include_str!("../docs/acl.md");

#[test]
fn the_docs_have_these_rules() {
    let docs = DOCS.replace("\\|", "|"); // as in tables
    for rules in [LOCKS, FENCED, TRACKING, REPLICAS] {
        assert!(docs.contains(&format!("`{rules}`")), "{rules}");
    }
}

/// Makes the user `app` anew, with these rights and no others.
async fn grant(server: &Server, rules: &[&str]) {
    let mut command = redis::cmd("ACL");
    command
        .arg("SETUSER")
        .arg("app")
        .arg("reset")
        .arg("on")
        .arg(">secret");
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

#[tokio::test]
async fn waiting_with_tracking() {
    let (server, locker) = with_rights(&[LOCKS, TRACKING]).await;
    waits(&server, &locker).await;
    assert!(tracks(&server).await);
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

/// A cluster of one node.
#[cfg(feature = "cluster")]
#[tokio::test]
async fn a_cluster() -> Result<(), LockError> {
    let builder = Server::builder().arg("cluster-enabled", "yes");
    let server = builder.start().await;
    let mut connection = server.connection().await;
    let mut slots = redis::cmd("CLUSTER");
    slots.arg("ADDSLOTSRANGE").arg(0).arg(16_383);
    slots
        .query_async::<()>(&mut connection)
        .await
        .expect("no slot is taken");
    until(LIMIT, "the cluster is up", async || {
        let mut connection = connection.clone();
        let mut info = redis::cmd("CLUSTER");
        let info = info.arg("INFO").query_async::<String>(&mut connection);
        info.await.expect("answers").contains("cluster_state:ok")
    })
    .await;
    grant(&server, &[LOCKS, TRACKING, CLUSTER]).await;
    let url = format!("redis://app:secret@127.0.0.1:{}", server.port());
    let builder = Locker::builder().prefix("jobs:");
    let locker = builder.connect_cluster([&url]).await?;
    waits(&server, &locker).await;

    grant(&server, &[LOCKS, TRACKING]).await;
    let builder = Locker::builder().prefix("jobs:");
    names(builder.connect_cluster([&url]).await, "cluster|slots");
    Ok(())
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
        let locker = connect(&server).await.expect("connected");

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
