//! `forget`.

mod common;

use std::time::Duration;

use common::{grant, tool};
use redis_locked_runtime::{LockRequest, Locker, Recorded};
use redis_locked_test_support::Server;

const PERIOD: Duration = Duration::from_secs(366 * 24 * 60 * 60);

async fn locker(server: &Server) -> Locker {
    let builder = Locker::builder().prefix("jobs:");
    builder.connect(&server.url()).await.expect("connected")
}

fn job(locker: &Locker) -> LockRequest<Recorded> {
    locker.lock("nightly").once_per(PERIOD)
}

const FORGET: [&str; 4] = ["forget", "nightly", "--prefix", "jobs:"];

#[tokio::test]
async fn what_is_forgotten_may_run_again() {
    let server = Server::start().await;
    let locker = locker(&server).await;
    let nothing = tool(&server.url(), &FORGET).await;
    assert_eq!((nothing.code, nothing.out.as_str()), (1, ""));
    assert!(
        nothing.err.contains("nothing was forgotten"),
        "{}",
        nothing.err
    );
    job(&locker).run(async {}).await.expect("open");
    let done = job(&locker).acquire().await.expect_err("done");
    assert!(done.is_already_done());
    let forgotten = tool(&server.url(), &FORGET).await;
    assert_eq!((forgotten.code, forgotten.err.as_str()), (0, ""));
    assert!(
        forgotten.out.contains("\"nightly\" may run again"),
        "{}",
        forgotten.out
    );
    // What is known of the last run stays.
    let last = locker.last_run("nightly").await.expect("read");
    assert!(last.expect("recorded").last_success.is_some());
    let running = job(&locker).acquire().await.expect("open again");
    // Not what is under way.
    assert_eq!(tool(&server.url(), &FORGET).await.code, 1);
    running.release().await.expect("ours");
    assert!(
        job(&locker)
            .acquire()
            .await
            .expect_err("done")
            .is_already_done()
    );
}

#[tokio::test]
async fn what_can_not_be_forgotten_is_said() {
    let server = Server::start().await;
    let url = server.url();
    let others = [Server::start().await, Server::start().await];
    let quorum = format!("{url},{},{}", others[0].url(), others[1].url());
    let ended = tool(&quorum, &["forget", "k", "--quorum"]).await;
    assert_eq!(ended.code, 64, "{}", ended.err);
    assert!(ended.err.contains("keeps no records"), "{}", ended.err);
    let braces = tool(&url, &["forget", "a}b"]).await;
    assert_eq!(braces.code, 64, "{}", braces.err);
    grant(&server, "app", &["~jobs:*", "+hdel"]).await;
    let app = format!("redis://app:secret@127.0.0.1:{}", server.port());
    let ended = tool(&app, &FORGET).await;
    assert_eq!(ended.code, 69, "{}", ended.err);
    grant(&server, "app", &["~{jobs:*}:last", "+hdel"]).await;
    let ended = tool(&app, &FORGET).await;
    assert_eq!(ended.code, 1, "{}", ended.err);
}
