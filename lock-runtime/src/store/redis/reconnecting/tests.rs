//! Connections that are opened on one runtime and wanted on another.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::time::{sleep, timeout};

use super::*;

const MOMENT: Duration = Duration::from_millis(20);
const LIMIT: Duration = Duration::from_secs(1);

fn runtime() -> Runtime {
    let mut builder = Builder::new_current_thread();
    builder.enable_all().build().expect("a runtime")
}

/// With the timers of a runtime, which panic once it has ended.
fn slow() -> Reconnecting<u64> {
    Reconnecting::new(LIMIT, |number| {
        Box::pin(async move {
            sleep(10 * MOMENT).await;
            Ok(number)
        })
    })
}

#[test]
fn what_a_runtime_has_half_opened_ends_with_it() {
    let connection = slow();
    let (first, second) = (runtime(), runtime());
    let begun = first.block_on(async { timeout(MOMENT, connection.get()).await });
    assert!(begun.is_err(), "{begun:?}");
    drop(first);
    for _ in 0..2 {
        let opened = second.block_on(connection.get());
        assert_eq!(opened.expect("opened anew"), (2, 2));
    }
}

#[test]
fn who_waits_for_another_runtime_to_open_it_is_told_when_that_ends() {
    let connection = Arc::new(slow());
    let (first, second) = (runtime(), runtime());
    let begun = first.block_on(async { timeout(MOMENT, connection.get()).await });
    assert!(begun.is_err(), "{begun:?}");
    let shared = Arc::clone(&connection);
    let waiting = second.spawn(async move { shared.get().await });
    second.block_on(async { sleep(MOMENT).await });
    drop(first);
    let error = second.block_on(waiting).expect("no panic");
    assert!(error.expect_err("not opened").is_connection_dropped());
    assert!(second.block_on(connection.get()).is_ok());
}

#[test]
fn one_whose_runtime_has_ended_is_told_of_and_not_used() {
    let told = Arc::new(AtomicUsize::new(0));
    let gone = Arc::clone(&told);
    let connection = slow().telling(move || {
        gone.fetch_add(1, Ordering::SeqCst);
    });
    let first = runtime();
    assert_eq!(first.block_on(connection.get()).expect("opened"), (1, 1));
    drop(first);
    assert_eq!(told.load(Ordering::SeqCst), 0);
    assert_eq!(runtime().block_on(connection.get()).expect("anew"), (2, 2));
    assert_eq!(told.load(Ordering::SeqCst), 1);
    connection.close();
    assert_eq!(told.load(Ordering::SeqCst), 2);
}

#[test]
fn one_that_a_runtime_has_half_opened_and_stands_still_is_waited_for_once() {
    let connection = slow();
    let (first, second) = (runtime(), runtime());
    let begun = first.block_on(async { timeout(MOMENT, connection.get()).await });
    assert!(begun.is_err(), "{begun:?}");
    let error = second.block_on(connection.get());
    assert!(error.expect_err("nobody opens it").is_timeout());
    assert_eq!(second.block_on(connection.get()).expect("anew"), (2, 2));
    drop(first);
}
