//! What the recorder of the crate `metrics` gets to see.

use std::collections::BTreeMap;
use std::time::Duration;

use metrics_util::MetricKind;
use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};

use crate::{LockRequest, Locker};

/// What has changed for the name `name` since the last look: a metric, without its prefix, to the
/// change of a count or a level, or to how many values were recorded.
fn seen(snapshotter: &Snapshotter, name: &str) -> BTreeMap<String, i64> {
    let metrics = snapshotter.snapshot().into_vec();
    let of_name = metrics
        .into_iter()
        .filter_map(|(key, _, description, value)| {
            let label = key.key().labels().next().expect("a label");
            assert_eq!(label.key(), "lock.name");
            assert!(description.is_some(), "{key:?} is not described");
            assert_eq!(
                key.kind() == MetricKind::Histogram,
                key.key().name().ends_with("_seconds")
            );
            let value = match value {
                DebugValue::Counter(count) => i64::try_from(count).expect("few"),
                // Only ever changed by one.
                DebugValue::Gauge(level) => format!("{level:.0}").parse().expect("a whole number"),
                DebugValue::Histogram(values) => i64::try_from(values.len()).expect("few"),
            };
            let short = key.key().name().trim_start_matches("redis_locked_");
            (label.value() == name).then(|| (short.to_owned(), value))
        });
    of_name.collect()
}

fn request(locker: &Locker, name: &'static str) -> LockRequest {
    locker
        .lock("report:7")
        .ttl(Duration::from_secs(5))
        .name(name)
}

/// Runs this on a paused clock, with a recorder of its own.
fn recorded<F: Future<Output = ()>>(test: impl FnOnce(Snapshotter) -> F) {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .expect("a runtime")
            .block_on(test(snapshotter));
    });
}

#[test]
fn every_metric() {
    recorded(async |metrics| {
        let locker = Locker::in_memory();
        let held = request(&locker, "held").acquire().await.expect("free");
        let now = seen(&metrics, "held");
        let zero = [
            "busy_total",
            "lost_total",
            "backend_errors_total",
            "failed_releases_total",
        ];
        assert!(zero.iter().all(|name| now[*name] == 0), "{now:?}");
        assert_eq!(
            (now["acquired_total"], now["held"], now["waiting"]),
            (1, 1, 0)
        );
        assert_eq!(now["waited_seconds"], 1);

        request(&locker, "busy").acquire().await.expect_err("held");
        let now = seen(&metrics, "busy");
        assert_eq!(
            (now["busy_total"], now["acquired_total"], now["waiting"]),
            (1, 0, 0)
        );

        let waiting = request(&locker, "waiting").wait_forever().acquire();
        let mut waiting = std::pin::pin!(waiting);
        let soon = tokio::time::timeout(Duration::from_millis(1), waiting.as_mut()).await;
        soon.expect_err("held");
        assert_eq!(seen(&metrics, "waiting")["waiting"], 1);
        held.release().await.expect("ours");
        let now = seen(&metrics, "held");
        assert_eq!((now["held"], now["held_seconds"]), (-1, 1));
        drop(waiting.await.expect("passed on"));
        let now = seen(&metrics, "waiting");
        assert_eq!(
            (now["waiting"], now["held"], now["waited_seconds"]),
            (-1, 0, 1)
        );

        let slow = tokio::time::sleep(Duration::from_secs(60));
        request(&locker, "lost")
            .run(slow)
            .await
            .expect_err("cut off");
        assert_eq!(seen(&metrics, "lost")["lost_total"], 1);

        let late = request(&locker, "late").acquire().await.expect("free");
        tokio::time::sleep(Duration::from_secs(60)).await;
        late.release().await.expect_err("gone");
        assert_eq!(seen(&metrics, "late")["failed_releases_total"], 1);
    });
}

#[test]
fn a_store_that_cannot_be_asked() {
    let recorder = DebuggingRecorder::new();
    let snapshotter = recorder.snapshotter();
    metrics::with_local_recorder(&recorder, || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        runtime.expect("a runtime").block_on(async {
            // Nobody listens on the port of TCP's multiplexer.
            let client = redis::Client::open("redis://127.0.1:1").expect("a valid url");
            let request = request(&Locker::from_client(client), "down");
            assert!(request.acquire().await.expect_err("down").is_backend());
        });
    });
    assert_eq!(seen(&snapshotter, "down")["backend_errors_total"], 1);
}
