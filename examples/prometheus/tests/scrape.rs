//! The example is scraped as Prometheus does it.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::time::Duration;

use redis_locked_test_support::{Process, Server, until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const LIMIT: Duration = Duration::from_secs(30);
const ATTEMPTS: usize = 10;

/// A running example.
struct Worker {
    process: Process,
    address: String,
}

impl Worker {
    async fn start(server: &Server) -> Self {
        for _ in 0..ATTEMPTS {
            // Free now; should another program take it first, the next attempt finds another.
            let port = TcpListener::bind("127.0.0.1:0").expect("a free port");
            let address = port.local_addr().expect("bound").to_string();
            drop(port);
            let program = env!("CARGO_BIN_EXE_redis-locked-recipe-prometheus");
            let process = Process::program(program)
                .arg(&address)
                .env("REDIS_URL", server.url())
                .start();
            let started = async || !process.is_running() || !process.lines().is_empty();
            until(LIMIT, "it serves or has ended", started).await;
            if process.is_running() {
                return Self { process, address };
            }
        }
        panic!("no free port in {ATTEMPTS} attempts");
    }

    async fn scrape(&self) -> Scraped {
        let mut stream = TcpStream::connect(&self.address).await.expect("it listens");
        let request = "GET /metrics HTTP/1.0\r\n\r\n";
        stream.write_all(request.as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("answered");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        assert!(head.contains(" 200 OK"), "{head}");
        Scraped::parse(body)
    }
}

/// What is served, in Prometheus' text format.
#[derive(Debug, Default)]
struct Scraped {
    help: BTreeMap<String, String>,
    kinds: BTreeMap<String, String>,
    values: BTreeMap<String, f64>,
}

impl Scraped {
    fn parse(text: &str) -> Self {
        let mut scraped = Self::default();
        for line in text.lines().filter(|line| !line.is_empty()) {
            let (start, end) = line.rsplit_once(' ').expect("words");
            if let Some(about) = line.strip_prefix("# HELP ") {
                let (name, help) = about.split_once(' ').expect("a name and a text");
                scraped.help.insert(name.into(), help.into());
            } else if let Some(name) = start.strip_prefix("# TYPE ") {
                scraped.kinds.insert(name.into(), end.into());
            } else {
                let value = end.parse().expect("a number");
                scraped.values.insert(start.into(), value);
            }
        }
        scraped
    }

    fn get(&self, metric: &str, name: &str) -> Option<f64> {
        let series = format!("redis_locked_{metric}{{lock_name=\"{name}\"}}");
        self.values.get(&series).copied()
    }

    /// Whether the value is there and at least this.
    fn reaches(&self, metric: &str, name: &str, least: f64) -> bool {
        self.get(metric, name).is_some_and(|value| value >= least)
    }
}

const REPORT: &str = "report:{tenant}";
const COUNTERS: [&str; 5] = [
    "acquired_total",
    "busy_total",
    "lost_total",
    "backend_errors_total",
    "failed_releases_total",
];

#[tokio::test]
async fn prometheus_sees_all_of_it() {
    let server = Server::start().await;
    let worker = Worker::start(&server).await;

    // Named beforehand, it is there before anyone asks for it.
    let nightly = worker.scrape().await;
    let nightly = |metric| nightly.get(metric, "nightly");
    for metric in COUNTERS.into_iter().chain(["held", "waiting"]) {
        assert_eq!(nightly(metric).map(|value| value.abs() < 0.5), Some(true));
    }

    // From the first request on, what has not happened is there, as a zero.
    let names = [REPORT, "cleanup", "import"];
    until(LIMIT, "all locks are shown", async || {
        let scraped = worker.scrape().await;
        names
            .iter()
            .all(|name| scraped.get("waiting", name).is_some())
    })
    .await;
    let scraped = worker.scrape().await;
    for name in names {
        for metric in COUNTERS.into_iter().chain(["held", "waiting"]) {
            assert!(scraped.get(metric, name).is_some(), "{metric} of {name}");
        }
        let zero = "backend_errors_total";
        assert!(!scraped.reaches(zero, name, 1.0), "{zero} of {name}");
    }
    // An import that ends just before its short ttl does can find its key gone.
    for name in [REPORT, "cleanup"] {
        let zero = "failed_releases_total";
        assert!(!scraped.reaches(zero, name, 1.0), "{zero} of {name}");
    }

    until(LIMIT, "the jobs have met", async || {
        let scraped = worker.scrape().await;
        scraped.reaches("acquired_total", REPORT, 20.0)
            && scraped.reaches("acquired_total", "cleanup", 3.0)
            && scraped.reaches("busy_total", "cleanup", 1.0)
            && scraped.reaches("acquired_total", "import", 4.0)
            && scraped.reaches("lost_total", "import", 1.0)
    })
    .await;
    let scraped = worker.scrape().await;
    let kind = |metric: &str| {
        let name = format!("redis_locked_{metric}");
        assert!(scraped.help[&name].len() > 10, "{name} is not described");
        scraped.kinds[&name].clone()
    };
    for metric in COUNTERS {
        assert_eq!(kind(metric), "counter", "{metric}");
    }
    for metric in ["held", "waiting"] {
        assert_eq!(kind(metric), "gauge", "{metric}");
    }
    for metric in ["waited_seconds", "held_seconds"] {
        assert_eq!(kind(metric), "histogram", "{metric}");
    }

    // Four tasks build the reports of two tenants, 20 ms each.
    let report = |metric| scraped.get(metric, REPORT).expect(metric);
    assert!((0.0..=2.0).contains(&report("held")), "{scraped:?}");
    assert!((0.0..=4.0).contains(&report("waiting")), "{scraped:?}");
    let (acquired, ended) = (report("acquired_total"), report("held_seconds_count"));
    // One is read after the other.
    assert!((acquired - ended).abs() < 10.0, "{scraped:?}");
    assert!(report("held_seconds_sum") >= ended * 0.02, "{scraped:?}");
    assert!(report("waited_seconds_sum") > 0.0, "{scraped:?}");
    // Labelled by the template, so that there are not more series than functions.
    let keys = scraped.values.keys();
    let labels = keys.filter(|series| series.starts_with("redis_locked_waiting"));
    assert_eq!(labels.count(), names.len() + 1, "{scraped:?}");

    server.kill();
    until(LIMIT, "the dead server is counted", async || {
        let scraped = worker.scrape().await;
        scraped.reaches("backend_errors_total", "import", 1.0)
            && scraped.reaches("backend_errors_total", REPORT, 1.0)
            && names
                .iter()
                .any(|name| scraped.reaches("failed_releases_total", name, 1.0))
    })
    .await;
}

#[tokio::test]
async fn told_to_end_it_leaves_no_lock_behind() {
    let server = Server::start().await;
    let worker = Worker::start(&server).await;
    let process = &worker.process;
    until(LIMIT, "it stands still while it cleans up", async || {
        process.stop();
        let held = server.exists("cleanup").await;
        if !held {
            process.resume();
        }
        held
    })
    .await;
    process.terminate();
    process.resume();
    let status = process.wait(LIMIT).await;
    assert_eq!(status.code(), Some(0));
    // Those who waited may leave word beside the key that their looks come too late. It expires by itself.
    let keys = server.keys().await;
    let locks: Vec<_> = keys.iter().filter(|key| !key.ends_with(":seats")).collect();
    assert!(locks.is_empty(), "{locks:?}");
}
