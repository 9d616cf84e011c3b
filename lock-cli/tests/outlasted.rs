//! `run` while Redis refuses for a while, for a reason that passes.

mod common;

use std::time::Duration;

use common::{LIMIT, held, start};
use redis_locked_test_support::trouble::{Scene, Trouble};
use redis_locked_test_support::{Directory, until};
use tokio::time::sleep;

/// Longer than a quarter of the ttl, after which the lock is extended.
const TROUBLE: Duration = Duration::from_millis(2500);
const UNTIL_TOLD: &str = "until [ -e $0 ]; do sleep 0.02; done";

/// The lock is extended meanwhile, or would be. The command is told to end two seconds before the deadline, so the
/// trouble may take as long again to begin and to end.
async fn a_command_runs_to_its_end(trouble: Trouble) {
    let scene = Scene::start().await;
    let directory = Directory::new();
    let end = directory.path().join("end");
    let end = end.to_str().expect("text");
    let run = ["run", "--key", "k", "--ttl", "8s", "--renew", "--"];
    let run = start(
        &scene.url(),
        &[&run[..], &["sh", "-c", UNTIL_TOLD, end]].concat(),
    );
    held(&scene.server, "k").await;
    scene.lasts(trouble, TROUBLE).await;
    assert!(scene.answered(trouble).await, "it met nobody");
    until(LIMIT, "it is extended after it", async || {
        scene.server.pttl("k").await > 6_700
    })
    .await;
    std::fs::write(end, "").expect("written");
    let status = run.wait(LIMIT).await;
    assert_eq!(status.code(), Some(0), "{:?}", run.lines());
    assert!(!scene.server.exists("k").await, "not released");
}

#[tokio::test]
async fn too_few_replicas() {
    a_command_runs_to_its_end(Trouble::NoReplicas).await;
}

#[tokio::test]
async fn somebodys_script() {
    a_command_runs_to_its_end(Trouble::Script).await;
}

#[tokio::test]
async fn a_disk_that_is_full() {
    a_command_runs_to_its_end(Trouble::Disk).await;
}

#[tokio::test]
async fn a_user_that_is_made_anew() {
    a_command_runs_to_its_end(Trouble::User).await;
}

/// The command ends while the key can't be given back: it is when Redis is well again.
#[tokio::test]
async fn a_lock_is_given_back_after_it() {
    for trouble in [Trouble::NoReplicas, Trouble::Disk] {
        let scene = Scene::start().await;
        let directory = Directory::new();
        let end = directory.path().join("end");
        let end = end.to_str().expect("text");
        let command = ["sh", "-c", UNTIL_TOLD, end];
        let run = ["run", "--key", "k", "--ttl", "60s", "--"];
        let run = start(&scene.url(), &[&run[..], &command].concat());
        held(&scene.server, "k").await;
        scene.begin(trouble).await;
        std::fs::write(end, "").expect("written");
        until(LIMIT, "its release is refused", async || {
            scene.answered(trouble).await
        })
        .await;
        scene.end(trouble).await;
        assert_eq!(run.wait(LIMIT).await.code(), Some(0), "{:?}", run.lines());
        assert!(!scene.server.exists("k").await, "{trouble:?}: not released");
    }
}

/// One that asks is patient, and one that may not wait is told what it is.
#[tokio::test]
async fn patience_outlasts_it() {
    let scene = Scene::start().await;
    scene.begin(Trouble::NoReplicas).await;
    let run = |options: &[&str]| {
        let run = ["run", "--key", "k", "--ttl", "10s"];
        start(
            &scene.url(),
            &[&run, options, &["--", "echo", "ran"]].concat(),
        )
    };
    let hasty = run(&[]);
    assert_eq!(hasty.wait(LIMIT).await.code(), Some(69));
    let told = hasty.lines().join("\n");
    assert!(told.contains("too few replicas to take writes"), "{told}");
    let patient = [
        run(&["--wait", "20s"]),
        run(&["--retries", "1000", "--backoff", "20ms"]),
    ];
    sleep(TROUBLE / 3).await;
    scene.end(Trouble::NoReplicas).await;
    for run in patient {
        assert_eq!(run.wait(LIMIT).await.code(), Some(0), "{:?}", run.lines());
        assert!(run.lines().contains(&"ran".to_owned()), "{:?}", run.lines());
    }
}
