//! Whoever comes after a later holder is refused by the table.

use std::env;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use redis_locked::Locker;
use redis_locked_recipe_fencing::{
    ChangeError, begin_fenced, change, insert, open, read, set, write,
};
use redis_locked_test_support::{Directory, Process, Server};

const LIMIT: Duration = Duration::from_secs(20);

async fn connected(url: &str) -> Locker {
    let builder = Locker::builder()
        .connection_timeout(LIMIT)
        .response_timeout(LIMIT);
    builder.connect(url).await.expect("connected")
}

fn path_in(directory: &Path, name: &str) -> PathBuf {
    directory.join(name)
}

fn is_refused<T>(result: &Result<T, ChangeError>) -> bool {
    matches!(result, Err(ChangeError::Refused { .. }))
}

/// Reads the balance, and writes when a file is there: a step without an `.await`, which nothing cuts
/// off.
#[tokio::test]
#[ignore = "started as a child by the test below"]
async fn child() {
    let (Ok(url), Ok(directory)) = (env::var("SERVER"), env::var("DIRECTORY")) else {
        return;
    };
    let directory = PathBuf::from(directory);
    let locker = connected(&url).await;
    let database = open(&path_in(&directory, "db")).expect("opened");
    let result = change(&locker, &database, "acme", |balance| {
        println!("read {balance}");
        while !path_in(&directory, "go on").exists() {
            thread::sleep(Duration::from_millis(1));
        }
        balance + 10
    });
    match result.await {
        Err(ChangeError::Refused { what }) => println!("refused {what}"),
        other => println!("{other:?}"),
    }
    locker.shutdown().await;
}

/// It was stopped between reading and writing, as a machine is that is moved.
#[tokio::test]
async fn the_late_write_of_a_process_that_stood_still_is_refused() {
    let server = Server::start().await;
    let directory = Directory::new();
    let locker = connected(&server.url()).await;
    let database = open(&path_in(directory.path(), "db")).expect("opened");
    set(&locker, &database, "acme", 100).await.expect("set");
    let child = Process::test("child")
        .env("SERVER", server.url())
        .env("DIRECTORY", directory.path())
        .start();
    child.wait_for_line("read 100", LIMIT).await;
    child.stop();
    std::fs::write(path_in(directory.path(), "go on"), "").expect("written");
    let balance = change(&locker, &database, "acme", |balance| balance - 30).await;
    assert_eq!(balance.expect("taken over when the ttl was over"), 70);
    child.resume();
    child.wait_for_line("refused acme", LIMIT).await;
    let balance = change(&locker, &database, "acme", |balance| balance).await;
    assert_eq!(balance.expect("free"), 70, "the late write was carried out");
    locker.shutdown().await;
}

/// The next holder's read raises the number, so nothing comes between that and its write.
#[test]
fn a_late_write_is_refused_once_the_next_holder_has_read() {
    let directory = Directory::new();
    let database = open(&path_in(directory.path(), "db")).expect("opened");
    insert(&database, "acme", 100, 1).expect("inserted");
    assert_eq!(read(&database, "acme", 2).expect("read"), 100);
    assert!(is_refused(&write(&database, "acme", 110, 1)));
    assert!(is_refused(&insert(&database, "acme", 110, 1)));
    assert!(is_refused(&read(&database, "acme", 1)));
    assert_eq!(read(&database, "acme", 2).expect("read"), 100);
}

#[test]
fn a_holder_may_write_several_times() {
    let directory = Directory::new();
    let database = open(&path_in(directory.path(), "db")).expect("opened");
    for balance in [100, 110, 120] {
        insert(&database, "acme", balance, 1).expect("inserted");
        write(&database, "acme", balance + 5, 1).expect("written");
        assert_eq!(read(&database, "acme", 1).expect("read"), balance + 5);
    }
}

#[test]
fn a_row_that_is_missing_is_refused() {
    let directory = Directory::new();
    let database = open(&path_in(directory.path(), "db")).expect("opened");
    assert!(is_refused(&write(&database, "acme", 100, 1)));
    assert!(is_refused(&read(&database, "acme", 1)));
}

#[test]
fn the_largest_number_fits() {
    let directory = Directory::new();
    let database = open(&path_in(directory.path(), "db")).expect("opened");
    let largest = (1_i64 << 61) - 1;
    insert(&database, "acme", 100, largest).expect("inserted");
    assert!(is_refused(&write(&database, "acme", 110, largest - 1)));
    write(&database, "acme", 110, largest).expect("written");
}

/// One number for whatever a key protects.
#[test]
fn a_late_transaction_is_refused_with_all_its_rows() {
    let directory = Directory::new();
    let mut database = open(&path_in(directory.path(), "db")).expect("opened");
    for (id, fence) in [("acme", 5), ("zeta", 5)] {
        insert(&database, id, 100, fence).expect("inserted");
    }
    let mut transfer = |fence, amount: i64| {
        let transaction = begin_fenced(&mut database, "transfers", fence)?;
        for (id, change) in [("acme", -amount), ("zeta", amount)] {
            transaction.execute(
                "UPDATE account SET balance = balance + ?1 WHERE id = ?2",
                (change, id),
            )?;
        }
        transaction.commit()?;
        Ok(())
    };
    transfer(1, 10).expect("first");
    transfer(1, 10).expect("again, by the same holder");
    transfer(3, 10).expect("a later holder");
    assert!(is_refused(&transfer(2, 10)));
    assert_eq!(read(&database, "acme", 5).expect("read"), 70);
    assert_eq!(read(&database, "zeta", 5).expect("read"), 130);
}

/// What the page shows is what was tested.
#[test]
fn the_guide_shows_these_statements() {
    let page = include_str!("../../../src/guide/fencing.md");
    let blocks: Vec<&str> = page
        .split("```sql\n")
        .skip(1)
        .filter_map(|rest| rest.split("```").next())
        .collect();
    let statements = [
        include_str!("../sql/schema.sql"),
        include_str!("../sql/read.sql"),
        include_str!("../sql/write.sql"),
        include_str!("../sql/insert.sql"),
        include_str!("../sql/fence.sql"),
        include_str!("../sql/raise.sql"),
    ];
    assert_eq!(blocks, statements);
}
