//! A command under several keys: all or none.

mod common;

use std::time::Duration;

use common::{LIMIT, PROGRAM, hold, start, tool};
use redis_locked_test_support::{Server, until};

/// A run under these keys.
fn run<'a>(keys: &[&'a str], options: &[&'a str], line: &'a str) -> Vec<&'a str> {
    let mut run = vec!["run", "--ttl", "10s"];
    run.extend(keys.iter().flat_map(|key| ["--key", key]));
    run.extend(options);
    run.extend(["-c", line]);
    run
}

const LINE: &str =
    r#"printf '%s|%s|%s' "$REDIS_LOCKED_KEY" "${REDIS_LOCKED_FENCE-none}" "$REDIS_LOCKED_TOKEN""#;

#[tokio::test]
async fn a_command_runs_under_all_keys_and_knows_them() {
    let server = Server::start().await;
    let ended = tool(&server.url(), &run(&["b", "a", "b"], &[], LINE)).await;
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    let words: Vec<_> = ended.out.split('|').collect();
    assert_eq!(words[..2], ["a\nb", "none"], "{ended:?}");
    let tokens: Vec<_> = words[2].lines().collect();
    assert!(tokens.iter().all(|token| token.len() == 22), "{ended:?}");
    assert!(tokens.len() == 2 && tokens[0] != tokens[1], "{ended:?}");
    assert!(!server.exists("a").await && !server.exists("b").await);
}

#[tokio::test]
async fn one_key_that_is_named_twice_is_one() {
    let server = Server::start().await;
    let ended = tool(&server.url(), &run(&["a", "a"], &[], LINE)).await;
    let words: Vec<_> = ended.out.split('|').collect();
    assert_eq!(words[0], "a", "{ended:?}");
    assert!(words[1].parse::<u64>().is_ok(), "{ended:?}");
}

#[tokio::test]
async fn nothing_is_run_or_kept_where_one_is_busy() {
    let server = Server::start().await;
    hold(&server, "b", "web-3:812").await;
    let busy = tool(&server.url(), &run(&["c", "b", "a"], &[], "echo ran")).await;
    assert_eq!((busy.code, busy.out.as_str()), (75, ""));
    let says = "lock \"b\" is busy: web-3:812 has it";
    assert!(busy.err.contains(says), "{busy:?}");
    assert!(!server.exists("a").await && !server.exists("c").await);
    let options = ["--skip", "-v"];
    let skipped = tool(&server.url(), &run(&["b", "a"], &options, "echo ran")).await;
    assert_eq!((skipped.code, skipped.out.as_str()), (0, ""));
    let says = "skipped: web-3:812 has lock \"b\"";
    assert!(skipped.err.contains(says), "{skipped:?}");
}

#[tokio::test]
async fn all_are_held_while_it_runs_and_one_that_is_lost_ends_it() {
    let server = Server::start().await;
    let line = "sleep 60";
    let options = ["--renew", "--grace", "100ms", "--ttl"];
    let mut arguments = run(&["a", "b"], &[], line);
    // With a short ttl instead, an extension comes soon.
    let ttl = arguments.iter().position(|word| *word == "10s");
    arguments[ttl.expect("given")] = "2s";
    arguments.splice(1..1, options[..3].iter().copied());
    let process = start(&server.url(), &arguments);
    for key in ["a", "b"] {
        until(LIMIT, format!("{key} is held"), async || {
            server.exists(key).await
        })
        .await;
    }
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(server.exists("a").await && server.exists("b").await);
    assert!(server.del("b").await);
    let status = process.wait(LIMIT).await;
    assert_eq!(status.code(), Some(76), "{:?}", process.lines());
    let said = process.lines().join("\n");
    let says = "lock \"b\" was lost: its key was deleted";
    assert!(said.contains(says), "{said}");
    until(LIMIT, "a is free", async || !server.exists("a").await).await;
}

#[tokio::test]
async fn a_run_inside_of_it_that_wants_one_of_them_is_refused() {
    let server = Server::start().await;
    for (key, code) in [("a", 64), ("b", 64), ("c", 0)] {
        let line = format!("{PROGRAM} run -k {key} -k d --ttl 10s --wait 15s -- echo ran");
        let ended = tool(&server.url(), &run(&["a", "b"], &[], &line)).await;
        assert_eq!(ended.code, code, "{ended:?}");
        let says = format!("lock \"{key}\" is held by the `redis-locked run` around");
        assert_eq!(ended.err.contains(&says), code == 64, "{ended:?}");
    }
}

#[tokio::test]
async fn what_is_of_one_key_is_refused() {
    let server = Server::start().await;
    for option in ["--once-per=1d", "--record"] {
        let ended = tool(&server.url(), &run(&["a", "b"], &[option], "echo ran")).await;
        assert_eq!((ended.code, ended.out.as_str()), (64, ""), "{ended:?}");
        let says = "leave out --once-per and --record, or lock one key";
        assert!(ended.err.contains(says), "{ended:?}");
    }
    let keys: Vec<_> = (0..65).map(|number| number.to_string()).collect();
    let keys: Vec<_> = keys.iter().map(String::as_str).collect();
    let ended = tool(&server.url(), &run(&keys, &[], "echo ran")).await;
    assert_eq!((ended.code, ended.out.as_str()), (64, ""), "{ended:?}");
    assert!(ended.err.contains("64 can be locked at once"), "{ended:?}");
}
