//! The store on real servers, one command at a time.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::thread::sleep;
use std::time::{Duration, Instant};

use redis::FromRedisValue;

use super::*;
use crate::kind::Kind;
use crate::store::seats::reservation;
use crate::store::{Acquired, Began, Extended, Outcome, Record, Recording};

const TTL: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_secs(2);
const LIMIT: Duration = Duration::from_secs(20);
const TIMEOUTS: Timeouts = Timeouts {
    connection: LIMIT,
    response: LIMIT,
};

/// A server of the test's own. What starts them elsewhere is not published, and this is.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    fn start() -> Self {
        let free = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let binary = std::env::var_os("REDIS_SERVER").unwrap_or_else(|| "redis-server".into());
        let mut command = Command::new(binary);
        command.args(["--port", &port.to_string(), "--save", ""]);
        let process = command.stdout(Stdio::null()).spawn();
        let process = process.expect("redis-server is installed, or named by REDIS_SERVER");
        let server = Self { process, port };
        until("it answers", || server.try_ask::<String>("PING").is_ok());
        server
    }

    fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn try_ask<T: FromRedisValue>(&self, command: &str) -> redis::RedisResult<T> {
        let mut connection = redis::Client::open(self.url())?.get_connection()?;
        let mut words = command.split(' ');
        let mut command = redis::cmd(words.next().unwrap_or_default());
        command.arg(words.collect::<Vec<_>>());
        command.query(&mut connection)
    }

    fn ask<T: FromRedisValue>(&self, command: &str) -> T {
        self.try_ask(command).expect("an answer")
    }

    fn left(&self) -> i64 {
        self.ask("PTTL k")
    }

    /// Has the answers to what is asked meanwhile be lost with the connection.
    async fn loses<T: Send + 'static>(
        &self,
        asking: impl Future<Output = T> + Send + 'static,
    ) -> T {
        self.ask::<()>("CLIENT PAUSE 60000 WRITE");
        let asked = tokio::spawn(asking);
        until("it is asked", || {
            let clients: String = self.ask("CLIENT LIST");
            clients.contains(" flags=b ") || clients.contains(" flags=tb ")
        });
        self.ask::<i64>("CLIENT KILL TYPE normal");
        self.ask::<()>("CLIENT UNPAUSE");
        asked.await.expect("no panic")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let killed = self.process.kill().and_then(|()| self.process.wait());
        killed.expect("it ends");
    }
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < LIMIT, "in vain: {what}");
        sleep(Duration::from_millis(2));
    }
}

fn store_at(url: &str, timeouts: Timeouts, replicas: Option<Replicas>) -> RedisStore {
    let servers = Servers::one(url, &Access::default(), timeouts).expect("a URL");
    RedisStore::new(servers, timeouts, replicas, Arc::default(), None)
}

async fn start() -> (Server, RedisStore) {
    let server = Server::start();
    let store = store_at(&server.url(), TIMEOUTS, None);
    store.connect("").await.expect("connected");
    (server, store)
}

fn entry() -> Arc<Entry> {
    Arc::new(Entry {
        key: "k".into(),
        value: "abcdefghij-_ABCDEFGHIJ;me".into(),
        kind: Kind::Exclusive,
        counter: None,
        record: None,
    })
}

fn counted() -> Arc<Entry> {
    Arc::new(Entry {
        key: "k".into(),
        value: "abcdefghij-_ABCDEFGHIJ;me".into(),
        kind: Kind::Exclusive,
        counter: Some("{k}:fence".into()),
        record: None,
    })
}

/// A new one, as after a lost answer: it knows of no run.
fn recorded(value: &str) -> Arc<Entry> {
    let wants = Recording {
        period: Some(Duration::from_secs(366 * 86_400)),
        lifetime: TTL,
    };
    Arc::new(Entry {
        key: "k".into(),
        value: format!("{value};me"),
        kind: Kind::Exclusive,
        counter: None,
        record: Some(Box::new(Record::new("{k}:last".into(), wants))),
    })
}

fn began(entry: &Entry) -> Began {
    let record = entry.record.as_ref().expect("recorded");
    record.ended(Outcome::Ok);
    record.ending().expect("it has begun").began
}

#[tokio::test]
async fn a_run_whose_answer_was_lost_has_begun_once() {
    let (server, store) = start().await;
    let ask = async |entry: &Arc<Entry>, asking| {
        let attempted = store.acquire(Arc::clone(entry), TTL, asking).await;
        attempted.outcome.expect("an answer")
    };
    let (first, again) = (
        recorded("abcdefghij-_ABCDEFGHIJ"),
        recorded("abcdefghij-_ABCDEFGHIJ"),
    );
    let granted = ask(&first, Asking::Plain).await;
    assert!(matches!(granted, Acquired::Granted { .. }), "{granted:?}");
    sleep(Duration::from_millis(5));
    // Even if its period is done by now, it is ours.
    server.ask::<()>("HSET {k}:last done 9000000000000");
    let granted = ask(&again, Asking::Again).await;
    assert!(matches!(granted, Acquired::Granted { .. }), "{granted:?}");
    assert_eq!(began(&first), began(&again));
    let other = ask(&recorded("ABCDEFGHIJ_-abcdefghij"), Asking::Plain).await;
    assert!(matches!(other, Acquired::Done(_)), "{other:?}");
}

fn is_granted(attempted: &Attempted) -> bool {
    matches!(attempted.outcome, Ok(Acquired::Granted { .. }))
}

async fn granted(store: &RedisStore, ttl: Duration) {
    let attempted = store.acquire(entry(), ttl, Asking::Plain).await;
    assert!(is_granted(&attempted) && attempted.settled, "{attempted:?}");
}

#[tokio::test]
async fn acquiring_again_never_shortens() {
    let (server, store) = start().await;
    granted(&store, TTL).await;
    for asking in [Asking::Again, Asking::Watching] {
        let again = store.acquire(entry(), SHORT, asking).await;
        assert!(is_granted(&again), "{again:?}");
        assert!(server.left() > 50_000, "shortened");
    }
    drop(store.acquire(entry(), 2 * TTL, Asking::Again).await);
    assert!(server.left() > 110_000, "not lengthened");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_whose_answer_is_lost_has_released_whoever_has_the_key_by_then() {
    let (server, store) = start().await;
    for theirs in [None, Some("theirs")] {
        granted(&store, TTL).await;
        match theirs {
            None => server.ask::<()>("DEL k"),
            Some(theirs) => server.ask(&format!("SET k {theirs} PX 60000")),
        }
        let released = server.loses(store.release(entry(), None)).await;
        assert_eq!(released.expect("released"), Released::Done);
        let value: Option<String> = server.ask("GET k");
        assert_eq!(value.as_deref(), theirs);
    }
    let released = store.release(entry(), None).await;
    assert_eq!(released.expect("asked once"), Released::TakenOver);
}

#[tokio::test]
async fn nothing_that_comes_late_finds_a_key_that_was_released_and_kept() {
    let (server, store) = start().await;
    granted(&store, TTL).await;
    let kept = store.release(entry(), Some(SHORT)).await;
    assert_eq!(kept.expect("released"), Released::Done);
    assert_eq!(server.ask::<String>("GET k"), "~abcdefghij-_ABCDEFGHIJ;me");
    let extended = store.extend(vec![(entry(), TTL)]).await;
    let refused = matches!(extended[0], Ok(Extended::TakenOver));
    assert!(refused, "{extended:?}");
    for keep in [None, Some(TTL)] {
        let again = store.release(entry(), keep).await;
        assert_eq!(again.expect("released"), Released::Done);
    }
    let left = server.left();
    assert!((1..=2_000).contains(&left), "{left} ms left");
    let busy = store.acquire(entry(), TTL, Asking::Again).await.outcome;
    let Ok(Acquired::Busy(Some(holder))) = busy else {
        panic!("{busy:?}")
    };
    assert_eq!(holder.owner.as_deref(), Some("me"));
}

/// Which lets keys be cut and deleted, but not written.
#[tokio::test]
async fn a_lock_is_released_and_kept_also_by_a_server_without_memory() {
    let (server, store) = start().await;
    granted(&store, TTL).await;
    server.ask::<()>("CONFIG SET maxmemory 1");
    let kept = store.release(entry(), Some(SHORT)).await;
    assert_eq!(kept.expect("released"), Released::Done);
    let left = server.left();
    assert!((1..=2_000).contains(&left), "{left} ms left");
}

fn in_line() -> Asking {
    Asking::InLine {
        place: None,
        coalesce: false,
    }
}

fn lines_up(server: &Server) -> RedisStore {
    let servers = Servers::one(&server.url(), &Access::default(), TIMEOUTS).expect("a URL");
    RedisStore::new(servers, TIMEOUTS, None, Arc::default(), Some(""))
}

#[tokio::test]
async fn a_look_that_comes_late_finds_that_its_tenure_is_over() {
    let server = Server::start();
    let store = lines_up(&server);
    for keep in [None, Some(SHORT)] {
        granted(&store, TTL).await;
        let released = store.release_in_doubt(entry(), keep, Some(SHORT)).await;
        assert_eq!(released.expect("released"), Released::Done);
        assert_eq!(server.ask::<bool>("EXISTS k"), keep.is_some());
        for asking in [in_line(), Asking::Looking { coalesce: false }] {
            let late = store.acquire(entry(), TTL, asking).await;
            assert!(matches!(late.outcome, Ok(Acquired::Busy(_))), "{late:?}");
            assert_eq!(server.ask::<bool>("EXISTS k"), keep.is_some());
            assert!(!server.ask::<bool>("EXISTS {k}:line"), "it has a seat");
        }
        // Until the doubt is over.
        until("it may come again", || {
            server.ask::<i64>("PTTL {k}:seats") < 0
        });
        server.ask::<i64>("DEL k");
    }
    granted(&store, TTL).await;
}

#[tokio::test]
async fn a_lock_that_is_passed_on_to_one_who_has_left_is_given_back() {
    let server = Server::start();
    let (store, other) = (lines_up(&server), lines_up(&server));
    let theirs = Arc::new(Entry {
        kind: Kind::Exclusive,
        value: "JIHGFEDCBA_-jihgfedcba;they".into(),
        key: "k".into(),
        counter: None,
        record: None,
    });
    granted(&store, TTL).await;
    // It takes a place, and nobody listens there when the bell rings.
    let asked = other.acquire(theirs, TTL, in_line()).await;
    assert!(matches!(asked.outcome, Ok(Acquired::Busy(_))), "{asked:?}");
    let released = store.release(entry(), None).await;
    assert_eq!(released.expect("released"), Released::Done);
    let rung = Instant::now();
    while server.ask::<bool>("EXISTS k") {
        assert!(rung.elapsed() < reservation(TTL) / 2, "nobody has it");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_place_that_was_lost_is_had_again_before_those_who_came_later() {
    let server = Server::start();
    let (store, other) = (lines_up(&server), lines_up(&server));
    server.ask::<()>("SET k theirs PX 60000");
    let seat = async |store: &RedisStore, entry: &Arc<Entry>, place| {
        let asking = Asking::InLine {
            place,
            coalesce: false,
        };
        let attempted = store.acquire(Arc::clone(entry), TTL, asking).await;
        match attempted.outcome {
            Ok(Acquired::Busy(Some(holder))) => holder.seat.expect("a seat"),
            other => panic!("{other:?}"),
        }
    };
    let theirs = Arc::new(Entry {
        value: "JIHGFEDCBA_-jihgfedcba;they".into(),
        key: "k".into(),
        kind: Kind::Exclusive,
        counter: None,
        record: None,
    });
    let first = seat(&store, &entry(), None).await;
    let second = seat(&other, &theirs, None).await;
    assert_eq!((first.rank, first.is_new), (0, true));
    assert!(second.rank == 1 && second.place > first.place);
    server.ask::<i64>("ZREM {k}:line abcdefghij-_ABCDEFGHIJ;me");
    // A late copy of its first look comes before the next.
    let late = seat(&store, &entry(), None).await;
    assert!(late.rank == 1 && late.is_new);
    let again = seat(&store, &entry(), Some(first.place)).await;
    assert_eq!((again.rank, again.place), (0, first.place));
    assert!(!again.is_new);
    // Places go on growing when the line has been empty.
    server.ask::<i64>("DEL {k}:line");
    let new = seat(&other, &theirs, None).await;
    assert!(new.place > second.place);
}

#[tokio::test]
async fn what_was_never_sent_is_settled() {
    let (server, store) = start().await;
    let idle = store_at(&server.url(), TIMEOUTS, None);
    drop(server);
    for asking in [Asking::Plain, Asking::Again, Asking::Watching] {
        let attempted = idle.acquire(entry(), TTL, asking).await;
        assert!(attempted.outcome.is_err(), "{attempted:?}");
        assert!(attempted.settled, "{attempted:?}");
    }
    // It had a connection when it was asked.
    let attempted = store.acquire(entry(), TTL, Asking::Plain).await;
    assert!(!attempted.settled, "{attempted:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_and_not_answered_is_not_settled_whatever_comes_after() {
    let (server, store) = start().await;
    let attempted = server
        .loses(store.acquire(entry(), TTL, Asking::Plain))
        .await;
    assert!(is_granted(&attempted), "{attempted:?}");
    assert!(!attempted.settled, "{attempted:?}");
    server.ask::<()>("SET k theirs PX 60000");
    let attempted = server
        .loses(store.acquire(entry(), TTL, Asking::Plain))
        .await;
    let is_busy = matches!(attempted.outcome, Ok(Acquired::Busy(_)));
    assert!(is_busy && !attempted.settled, "{attempted:?}");
    let hasty = Timeouts {
        connection: LIMIT,
        response: Duration::from_millis(200),
    };
    let hasty = store_at(&server.url(), hasty, None);
    hasty.connect("").await.expect("connected");
    server.ask::<()>("CLIENT PAUSE 60000 WRITE");
    let attempted = hasty.acquire(entry(), TTL, Asking::Plain).await;
    assert!(attempted.outcome.is_err(), "{attempted:?}");
    assert!(!attempted.settled, "{attempted:?}");
}

#[tokio::test]
async fn a_key_that_is_set_without_its_replicas_is_not_settled() {
    let server = Server::start();
    let replicas = Replicas {
        count: 1,
        timeout: Duration::from_millis(20),
    };
    let store = store_at(&server.url(), TIMEOUTS, Some(replicas));
    for entry in [entry(), counted()] {
        let attempted = store.acquire(entry.clone(), TTL, Asking::Plain).await;
        assert!(attempted.outcome.is_err(), "{attempted:?}");
        assert!(!attempted.settled, "{attempted:?}");
        assert!(server.left() > 0);
        store.release(entry, None).await.expect("released");
    }
    server.ask::<()>("SET k theirs PX 60000");
    let attempted = store.acquire(entry(), TTL, Asking::Plain).await;
    assert!(attempted.outcome.is_ok(), "{attempted:?}");
    assert!(attempted.settled, "{attempted:?}");
}

#[tokio::test]
async fn a_script_that_was_refused_a_command_may_have_set_the_key() {
    let server = Server::start();
    server.ask::<()>("ACL SETUSER app on >secret ~* +ping +set +get +pttl +evalsha +eval");
    let url = format!("redis://app:secret@127.0.0.1:{}", server.port);
    let store = store_at(&url, TIMEOUTS, None);
    let attempted = store.acquire(counted(), TTL, Asking::Plain).await;
    assert!(attempted.outcome.is_err(), "{attempted:?}");
    assert!(!attempted.settled, "{attempted:?}");
    assert!(server.left() > 0, "TIME is refused after SET");
    // Refused as a whole, it has done nothing.
    server.ask::<()>("ACL SETUSER app -set -eval -evalsha");
    for asking in [Asking::Plain, Asking::Again] {
        let attempted = store.acquire(entry(), TTL, asking).await;
        assert!(attempted.outcome.is_err(), "{attempted:?}");
        assert!(attempted.settled, "{attempted:?}");
    }
}

#[test]
fn a_place_is_host_and_port_and_nothing_that_is_secret() {
    let (access, url) = (Access::default(), "redis://app:secret@10.0.0.1:6379/3");
    let one = Servers::one(url, &access, TIMEOUTS).expect("a URL");
    assert_eq!(one.place(), "10.0.0.1:6379");
    #[cfg(feature = "cluster")]
    {
        let nodes = [url, "redis://app:secret@10.0.0.2:6379"];
        let cluster = Servers::cluster(nodes, &access).expect("URLs");
        let place = "the cluster of 10.0.0.1:6379, 10.0.0.2:6379";
        assert_eq!(cluster.place(), place);
    }
    #[cfg(feature = "sentinel")]
    {
        let login = Credentials::new("watcher", "secret");
        let sentinels = ["redis://app:secret@10.0.0.1:26379"];
        let servers = Servers::sentinel(sentinels, Some(&login), "main", &access, TIMEOUTS);
        let place = servers.expect("URLs").place();
        for part in ["main", "10.0.0.1:26379"] {
            assert!(place.contains(part), "{place}");
        }
        assert!(!place.contains("secret"), "{place}");
    }
}
