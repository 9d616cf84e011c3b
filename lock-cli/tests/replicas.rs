//! `run --replicas`: locks that replicas confirm.

mod common;

use common::tool;
use redis_locked_test_support::{Pair, Server};

const RUN: [&str; 5] = ["run", "-k", "k", "--ttl", "10s"];
const COMMAND: [&str; 3] = ["--", "echo", "ran"];

#[tokio::test]
async fn a_command_begins_when_the_replicas_have_confirmed_its_lock() {
    let pair = Pair::start().await;
    pair.master.reset_stats().await;
    let url = pair.master.url();
    let replicas = ["--replicas", "1", "--replicas-timeout", "10s"];
    let ended = tool(&url, &[&RUN[..], &replicas, &COMMAND].concat()).await;
    assert_eq!((ended.code, ended.out.as_str()), (0, "ran\n"), "{ended:?}");
    let calls = pair.master.command_calls().await;
    assert!(calls.contains_key("wait"), "{calls:?}");
}

#[tokio::test]
async fn without_their_word_nothing_is_run() {
    let server = Server::start().await;
    let url = server.url();
    let replicas = ["--replicas", "2", "--replicas-timeout", "30ms"];
    let ended = tool(&url, &[&RUN[..], &replicas, &COMMAND].concat()).await;
    assert_eq!((ended.code, ended.out.as_str()), (69, ""), "{ended:?}");
    let told = "only 0 of 2 replicas confirmed the lock within 30ms";
    assert!(ended.err.contains(told), "{}", ended.err);
    assert!(!server.exists("k").await);
    let none = ["--replicas", "0"];
    let ended = tool(&url, &[&RUN[..], &none, &COMMAND].concat()).await;
    assert_eq!(ended.code, 64, "{ended:?}");
}
