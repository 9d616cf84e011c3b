//! What a server refuses while it is not well.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis_locked_simulation::simulation::server::Mood;
use redis_locked_test_support as support;

use crate::pair::{Pair, command, real_server};
use crate::words::{check, script};

const COMMANDS: &[&str] = &[
    "PING",
    "ECHO x",
    "GET k",
    "SET k v",
    "SET k v NX PX 10000",
    "DEL none",
    "PEXPIRE none 1",
    "PTTL none",
    "HSET h f v",
    "HELLO",
    "HELLO 3",
    "SELECT 0",
    "CLIENT GETNAME",
    "CLIENT FOO",
    "CLIENT TRACKING ON NOLOOP",
    "CLIENT TRACKING OFF",
    "CLIENT SETINFO LIB-NAME x",
    "INFO cluster",
    "CLUSTER SLOTS",
    "AUTH default x",
    "FLUSHALL",
    "SCRIPT EXISTS a",
    "SCRIPT LOAD x",
    "EVALSHA a 0",
    "GET",
    "FOO",
];

const SCRIPTS: &[(&str, &str)] = &[
    ("return 1", "0"),
    ("return redis.call('GET', 'k')", "0"),
    ("return redis.call('SET', 'k', 'v')", "0"),
    ("return redis.pcall('SET', 'k', 'v')", "0"),
    (
        "redis.pcall('SET', 'k', 'v') return redis.call('SET', 'k', 'v')",
        "0",
    ),
    (
        "redis.pcall('DEL', 'none') return redis.pcall('SET', 'k', 'v')",
        "0",
    ),
    ("return redis.pcall('PEXPIRE', 'none', 1)", "0"),
    ("return redis.call('PING')", "0"),
];

async fn say(connection: &mut MultiplexedConnection, words: &str) {
    let parts: Vec<_> = words.split(' ').collect();
    let mut command = redis::cmd(parts[0]);
    command.arg(&parts[1..]);
    let answer = command.exec_async(connection).await;
    answer.unwrap_or_else(|error| panic!("{words}: {error}"));
}

fn compare(pair: &mut Pair, mood: Mood) {
    println!("{mood:?}");
    pair.simulated.set_mood(mood);
    for words in COMMANDS {
        check(pair, 0, &command(words));
    }
    for (source, rest) in SCRIPTS {
        check(pair, 0, &script(source, rest));
    }
    pair.simulated.set_mood(Mood::Well);
}

/// Until the server answers this command with these words.
async fn until_answered(server: &support::Server, asked: &str, words: &str) {
    let mut connection = server.connection().await;
    let told = format!("{words} is answered to {asked}");
    support::until(Duration::from_secs(20), told, async || {
        let parts: Vec<_> = asked.split(' ').collect();
        let mut command = redis::cmd(parts[0]);
        let answer = command
            .arg(&parts[1..])
            .query_async::<redis::Value>(&mut connection)
            .await;
        format!("{answer:?}").contains(words)
    })
    .await;
}

#[tokio::test]
async fn what_is_refused_while_writes_are() {
    let Some(server) = real_server().await else {
        return;
    };
    let mut connection = server.connection().await;
    let mut pair = Pair::new(&server, 1);

    compare(&mut pair, Mood::Well);

    say(&mut connection, "CONFIG SET min-replicas-to-write 1").await;
    compare(&mut pair, Mood::NoReplicas);
    say(&mut connection, "CONFIG SET min-replicas-to-write 0").await;

    say(&mut connection, "CONFIG SET maxmemory 1").await;
    compare(&mut pair, Mood::OutOfMemory);
    say(&mut connection, "CONFIG SET maxmemory 0").await;

    say(&mut connection, "REPLICAOF 127.0.0.1 1").await;
    compare(&mut pair, Mood::ReadOnly);
    say(&mut connection, "REPLICAOF NO ONE").await;

    let directory = support::Directory::new();
    let path = directory.path().display().to_string();
    say(&mut connection, &format!("CONFIG SET dir {path}")).await;
    drop(directory);
    redis::cmd("CONFIG")
        .arg(&["SET", "save", "1000000 1000000"])
        .exec_async(&mut connection)
        .await
        .expect("it is to save sometimes");
    say(&mut connection, "BGSAVE").await;
    until_answered(&server, "INFO persistence", "rdb_last_bgsave_status:err").await;
    compare(&mut pair, Mood::Misconf);

    assert_eq!(pair.different, 0);
}

#[tokio::test]
async fn what_is_refused_while_a_script_runs() {
    let Some(server) = real_server().await else {
        return;
    };
    let mut connection = server.connection().await;
    let mut pair = Pair::new(&server, 1);
    say(&mut connection, "CONFIG SET busy-reply-threshold 1").await;
    let endless = tokio::spawn(async move {
        let mut endless = redis::cmd("EVAL");
        endless.arg("while true do end").arg(0);
        endless.query_async::<redis::Value>(&mut connection).await
    });
    until_answered(&server, "PING", "BUSY").await;
    compare(&mut pair, Mood::Busy);
    let mut other = server.connection().await;
    say(&mut other, "SCRIPT KILL").await;
    let ended = endless.await.expect("it does not panic");
    assert!(ended.is_err(), "{ended:?}");
    assert_eq!(pair.different, 0);
}

#[tokio::test]
async fn what_is_refused_while_data_is_read() {
    let Some(server) = real_server().await else {
        return;
    };
    let mut connection = server.connection().await;
    let mut pair = Pair::new(&server, 1);
    for number in 0..64 {
        let value = "v".repeat(4096);
        say(&mut connection, &format!("SET big-{number} {value}")).await;
    }
    say(
        &mut connection,
        "CONFIG SET rdbcompression no loading-process-events-interval-bytes 1024",
    )
    .await;
    say(&mut connection, "CONFIG SET key-load-delay 100000").await;
    let reload = tokio::spawn(async move {
        let mut reload = redis::cmd("DEBUG");
        reload.arg("RELOAD");
        reload.query_async::<redis::Value>(&mut connection).await
    });
    until_answered(&server, "PING", "BusyLoading").await;
    compare(&mut pair, Mood::Loading);
    reload.abort();
    assert_eq!(pair.different, 0);
}
