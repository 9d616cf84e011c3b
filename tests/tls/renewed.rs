//! Certificates in files, which are renewed while the program runs.

use std::error::Error;
use std::fs;

use redis_locked::{Locker, LockerBuilder};
use redis_locked_test_support::{Authority, Files, Server};

use crate::{LIMIT, TTL, server, tracks, url, works};

const NAMES: [&str; 2] = ["localhost", "127.0.0.1"];

fn reading(files: &Files) -> LockerBuilder {
    Locker::builder()
        .connection_timeout(LIMIT)
        .response_timeout(LIMIT)
        .root_certificate_file(files.path("ca"))
        .client_certificate_files(files.path("cert"), files.path("key"))
}

/// The server goes over to another authority, and connections break.
async fn renew(server: &Server) -> Authority {
    let authority = Authority::new();
    server.renew_certificates(&authority, &NAMES).await;
    server.kill_clients().await;
    authority
}

#[tokio::test]
async fn certificates_that_are_renewed_are_used_without_a_restart() -> Result<(), Box<dyn Error>> {
    let old = Authority::new();
    let Some(server) = server(&old, "yes").await else {
        return Ok(());
    };
    let files = old.files(&["client"]);
    let locker = reading(&files).connect(&url(&server)).await?;
    works(&locker, &locker.clone()).await;

    let new = renew(&server).await;
    let error = locker.lock("k").acquire().await.expect_err("not trusted");
    let text = error.to_string();
    assert!(text.contains("no trusted authority"), "{text}");
    new.renew(&files, &["client"]);
    works(&locker, &locker.clone()).await;
    // So does the connection that tracks.
    let guard = locker.lock("k").ttl(TTL).acquire().await?;
    let waiting = tokio::spawn(locker.lock("k").wait(LIMIT).acquire());
    redis_locked_test_support::until(LIMIT, "it tracks", async || tracks(&server).await).await;
    guard.release().await?;
    waiting.await??.release().await?;
    Ok(())
}

#[tokio::test]
async fn a_renewed_lock_outlives_the_change_of_certificates() -> Result<(), Box<dyn Error>> {
    let old = Authority::new();
    let Some(server) = server(&old, "yes").await else {
        return Ok(());
    };
    let files = old.files(&["client"]);
    let locker = reading(&files).connect(&url(&server)).await?;
    let ttl = TTL / 20;
    let body = async {
        for _ in 0..3 {
            // The client is late, as it is where both are renewed by themselves.
            let new = renew(&server).await;
            tokio::time::sleep(ttl / 4).await;
            new.renew(&files, &["client"]);
            tokio::time::sleep(ttl / 2).await;
        }
    };
    let held = locker.lock("k").ttl(ttl).renew();
    held.run(body).await?;
    Ok(())
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_named_and_harms_no_open_connection()
-> Result<(), Box<dyn Error>> {
    let authority = Authority::new();
    let Some(server) = server(&authority, "yes").await else {
        return Ok(());
    };
    for name in ["ca", "cert", "key"] {
        let files = authority.files(&["client"]);
        let locker = reading(&files).connect(&url(&server)).await?;
        let path = files.path(name);
        let text = fs::read(&path)?;
        for broken in [None, Some("no PEM")] {
            match broken {
                None => fs::remove_file(&path)?,
                Some(broken) => fs::write(&path, broken)?,
            }
            // The open connection goes on, and without the second one who waits asks now and then.
            let guard = locker.lock("k").ttl(TTL).acquire().await?;
            let waiting = tokio::spawn(locker.lock("k").wait(LIMIT).acquire());
            guard.release().await?;
            waiting.await??.release().await?;
            for refused in [reading(&files).connect(&url(&server)).await.map(drop), {
                server.kill_clients().await;
                locker.lock("k").acquire().await.map(drop)
            }] {
                let error = refused.expect_err("unreadable");
                let text = error.to_string();
                assert!(error.is_backend(), "{text}");
                assert!(text.contains(&*path.to_string_lossy()), "{text}");
            }
            fs::write(&path, &text)?;
            works(&locker, &locker.clone()).await;
        }
    }
    Ok(())
}

/// redis-rs opens the connections to nodes by itself, with the certificates that it was given.
#[cfg(feature = "cluster")]
#[tokio::test]
async fn a_cluster_goes_on_with_certificates_that_are_renewed() -> Result<(), Box<dyn Error>> {
    if !redis_locked_test_support::servers_have_tls() {
        return Ok(());
    }
    let old = Authority::new();
    let server = crate::cluster(&old).await;
    let files = old.files(&["client"]);
    let urls = [format!("rediss://127.0.0.1:{}", server.tls_port())];
    let builder = reading(&files).connection_timeout(LIMIT / 10);
    let locker = builder.connect_cluster(&urls).await?;
    works(&locker, &locker.clone()).await;
    for _ in 0..2 {
        let new = renew(&server).await;
        locker.lock("k").acquire().await.expect_err("not trusted");
        new.renew(&files, &["client"]);
        let patient = locker.lock("k").retries(100).backoff(LIMIT / 200);
        patient.acquire().await?.release().await?;
        works(&locker, &locker.clone()).await;
    }
    Ok(())
}
