//! The rights at a master and its replicas, and at the sentinels that watch them.

use std::time::Duration;

use redis_locked::{LockError, Locker};
use redis_locked_test_support::Sentinels;
use tokio::time::timeout;

use crate::{LOCKS, SENTINEL, TRACKING, grant, names, set_user};

/// Longer than a failover takes; shorter than the ttl of a lock that is not to go by itself.
const LIMIT: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(120);

/// Everything that locking with sentinels takes, but this.
async fn grant_all_but(without: Option<&str>, sentinels: &Sentinels) {
    let [at_servers, at_sentinels] = SENTINEL;
    let without = without.map(|command| format!("-{command}"));
    let (of_sentinels, of_servers): (Vec<_>, Vec<_>) = without
        .iter()
        .map(String::as_str)
        .partition(|rule| rule.contains("sentinel|"));
    let at_servers = [&[LOCKS, TRACKING, at_servers], &of_servers[..]].concat();
    let at_sentinels = [&[at_sentinels], &of_sentinels[..]].concat();
    for number in 0..3 {
        grant(sentinels.server(number), &at_servers).await;
        set_user(
            sentinels.sentinel(number),
            "watcher",
            "other",
            &at_sentinels,
        )
        .await;
    }
}

async fn connect(sentinels: &Sentinels) -> Result<Locker, LockError> {
    let url = |number| {
        let port = sentinels.sentinel(number).port();
        format!("redis://app:secret@127.0.0.1:{port}")
    };
    Locker::builder()
        .prefix("jobs:")
        .connection_timeout(LIMIT)
        .response_timeout(LIMIT)
        .sentinel_login(Some("watcher"), "other")
        .connect_sentinel((0..3).map(url), sentinels.name())
        .await
}

#[tokio::test]
async fn sentinels() -> Result<(), LockError> {
    let sentinels = Sentinels::start().await;
    grant_all_but(None, &sentinels).await;
    let (ours, theirs) = (connect(&sentinels).await?, connect(&sentinels).await?);
    let guard = ours.lock("k").ttl(LONG).acquire().await?;
    let waiting = tokio::spawn(theirs.lock("k").ttl(LONG).wait(LONG).acquire());
    let old = sentinels.master().await;
    sentinels.server(old).wait_until_tracking(LIMIT).await;
    let new = sentinels.fail_over().await;
    sentinels.server(new).wait_until_tracking(LIMIT).await;
    guard.release().await?;
    let guard = timeout(LIMIT, waiting).await.expect("its turn comes");
    guard.expect("no panic")?.release().await?;

    for command in [
        "role",
        "ping",
        "sentinel|master",
        "sentinel|get-master-addr-by-name",
    ] {
        grant_all_but(Some(command), &sentinels).await;
        names(connect(&sentinels).await, command);
        // What needs no new connection needs no sentinel.
        let lock = || ours.lock("k").ttl(LONG).acquire();
        lock().await?.release().await?;
        if command != "ping" {
            sentinels.server(new).kill_clients().await;
            names(lock().await, command);
        }
        grant_all_but(None, &sentinels).await;
        lock().await?.release().await?;
    }
    Ok(())
}
