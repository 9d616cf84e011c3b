//! Sentinels, and the master and its replicas that they watch, all with TLS among themselves too.

use std::error::Error as _;
use std::time::Duration;

use redis_locked::{LockError, Locker, LockerBuilder};
use redis_locked_test_support::{Authority, Sentinels, servers_have_tls, until};
use tokio::time::timeout;

use crate::{tracks, trusting};

/// Longer than a failover takes; shorter than the ttl of a lock that is not to go by itself.
const LIMIT: Duration = Duration::from_secs(60);
const LONG: Duration = Duration::from_secs(120);

/// With time for handshakes on a machine that runs too many tests at once.
async fn connect(builder: LockerBuilder, sentinels: &Sentinels) -> Result<Locker, LockError> {
    builder
        .connection_timeout(LIMIT)
        .response_timeout(LIMIT)
        .connect_sentinel(sentinels.urls(), sentinels.name())
        .await
}

/// Waits until a connection with TLS has the server tell of changed keys.
async fn tracked(sentinels: &Sentinels, number: usize) {
    let server = sentinels.server(number);
    until(LIMIT, "who waits has asked there", async || {
        tracks(server).await && server.tracked_keys().await > 0
    })
    .await;
}

#[tokio::test]
async fn sentinels_over_tls() -> Result<(), LockError> {
    if !servers_have_tls() {
        eprintln!("skipped: this server is built without TLS");
        return Ok(());
    }
    let authority = Authority::new();
    let sentinels = Sentinels::with_tls(&authority).await;
    let own = authority.sign(&["client"]);
    let builder = trusting(&authority).client_certificate(own.certificate, own.key);
    let ours = connect(builder.clone(), &sentinels).await?;
    let theirs = connect(builder.clone(), &sentinels).await?;
    let guard = ours.lock("k").ttl(LONG).fenced().acquire().await?;
    let error = theirs.lock("k").acquire().await.expect_err("held");
    assert!(error.is_busy(), "{error}");

    let waiting = tokio::spawn(theirs.lock("k").ttl(LONG).wait(LONG).acquire());
    tracked(&sentinels, sentinels.master().await).await;
    let new = sentinels.fail_over().await;
    tracked(&sentinels, new).await;
    guard.release().await?;
    let guard = timeout(LIMIT, waiting).await.expect("woken");
    guard.expect("no panic")?.release().await?;

    let ports = (0..3).map(|number| sentinels.server(number).tls_port());
    let unnamed = ports.map(|port| (format!("127.0.0.1:{port}"), format!("localhost:{port}")));
    for (builder, reason) in [
        // The certificate is looked at by the name where the map leads.
        (builder.address_map(unnamed), "for another name"),
        (trusting(&authority), "or asks for one"),
        (
            trusting(&Authority::new()),
            "no trusted authority has signed",
        ),
    ] {
        let error = connect(builder, &sentinels).await.expect_err("refused");
        let cause = error.source().expect("a cause");
        let said = format!("{error} | {cause}");
        assert!(error.is_backend() && said.contains(reason), "{said}");
    }
    Ok(())
}
