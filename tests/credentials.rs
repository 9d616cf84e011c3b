//! Credentials that change: they are asked for at each connect, for each kind of server.

use std::error::Error;
use std::future::pending;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use redis_locked::{Credentials, Locker, LockerBuilder};
use redis_locked_test_support::{Cluster, FakeAnswers, Sentinels, Server, until};
use tokio::time::sleep;

/// Longer than anything takes that is awaited, also on a machine that runs too many tests at once.
const LIMIT: Duration = Duration::from_secs(20);
const TTL: Duration = Duration::from_secs(60);
/// Of a lock that is renewed: within it, a connection is opened again also on a machine that runs too
/// many tests at once.
const SHORT: Duration = Duration::from_secs(3);

/// The user `app`, with a password that is turned again and again, and what tells it.
#[derive(Clone, Default)]
struct User {
    password: Arc<Mutex<String>>,
    turns: Arc<AtomicUsize>,
    asked: Arc<AtomicUsize>,
}

impl User {
    /// Gives the user another password, and takes away the last one.
    async fn turn(&self, servers: &[&Server]) {
        let number = self.turns.fetch_add(1, Ordering::SeqCst);
        let password = format!("secret-{number}");
        for server in servers {
            let mut user = redis::cmd("ACL");
            user.arg("SETUSER").arg("app").arg(&["on", "resetpass"]);
            user.arg(format!(">{password}"));
            user.arg(&["~*", "&*", "+@all"]);
            let mut connection = server.connection().await;
            user.query_async::<()>(&mut connection)
                .await
                .expect("a user");
        }
        *self.password.lock().expect("no panic") = password;
    }

    /// A builder that asks for the password of the moment.
    fn builder(&self) -> LockerBuilder {
        let user = self.clone();
        let builder = Locker::builder().connection_timeout(LIMIT);
        builder.response_timeout(LIMIT).credentials(move || {
            let user = user.clone();
            async move {
                user.asked.fetch_add(1, Ordering::SeqCst);
                let password = user.password.lock().expect("no panic").clone();
                Ok::<_, std::convert::Infallible>(Credentials::new("app", password))
            }
        })
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    /// A lock stays held, and who waits is told when a key is free, while the password is turned and
    /// connections break.
    async fn outlives_turns(&self, locker: &Locker, servers: &[&Server]) {
        let asked = self.asked();
        let body = async {
            for _ in 0..3 {
                self.turn(servers).await;
                for server in servers {
                    server.kill_clients().await;
                }
                sleep(SHORT / 2).await;
            }
        };
        let held = locker.lock("held").ttl(SHORT).renew();
        held.run(body).await.expect("held all the time");
        assert!(self.asked() >= asked + 3, "asked at each connect");
        let first = locker.lock("passed").ttl(TTL).acquire().await;
        let first = first.expect("free");
        let waiting = locker.clone().lock("passed").ttl(TTL).wait(LIMIT);
        let waiting = tokio::spawn(waiting.acquire());
        until(LIMIT, "somebody is told", async || {
            for server in servers {
                if server.tracked_keys().await > 0 {
                    return true;
                }
            }
            false
        })
        .await;
        first.release().await.expect("ours");
        let second = waiting.await.expect("no panic").expect("told");
        second.release().await.expect("ours");
    }
}

#[tokio::test]
async fn a_server_whose_password_is_turned() -> Result<(), Box<dyn Error>> {
    let server = Server::start().await;
    let user = User::default();
    user.turn(&[&server]).await;
    // Those of the URL are of no account.
    let url = format!("redis://other:wrong@127.0.0.1:{}", server.port());
    let locker = user.builder().connect(&url).await?;
    user.outlives_turns(&locker, &[&server]).await;
    Ok(())
}

#[tokio::test]
async fn a_cluster_whose_password_is_turned() -> Result<(), Box<dyn Error>> {
    let cluster = Cluster::start().await;
    let nodes: Vec<_> = (0..6).map(|number| cluster.node(number)).collect();
    let user = User::default();
    user.turn(&nodes).await;
    let locker = user.builder().connect_cluster(cluster.urls()).await?;
    user.outlives_turns(&locker, &nodes).await;
    Ok(())
}

#[tokio::test]
async fn a_master_behind_sentinels_whose_password_is_turned() -> Result<(), Box<dyn Error>> {
    let sentinels = Sentinels::start().await;
    let servers = [0, 1, 2].map(|number| sentinels.server(number));
    let user = User::default();
    user.turn(&servers).await;
    let builder = user.builder();
    let locker = builder
        .connect_sentinel(sentinels.urls(), sentinels.name())
        .await?;
    user.outlives_turns(&locker, &servers).await;
    Ok(())
}

#[tokio::test]
async fn a_quorum_whose_password_is_turned() -> Result<(), Box<dyn Error>> {
    let servers = [
        Server::start().await,
        Server::start().await,
        Server::start().await,
    ];
    let user = User::default();
    let servers = servers.each_ref();
    user.turn(&servers).await;
    let urls = servers.map(Server::url);
    let builder = user.builder().server_timeout(SHORT / 3);
    let locker = builder.connect_quorum(&urls).await?;
    user.outlives_turns(&locker, &servers).await;
    Ok(())
}

/// `requirepass` alone, without users.
#[tokio::test]
async fn a_password_alone() -> Result<(), Box<dyn Error>> {
    let server = Server::builder().password("secret").start().await;
    for url in [
        server.url_without_password(),
        server.url_with_password("wrong"),
    ] {
        let builder = Locker::builder()
            .credentials(|| async { Ok::<_, std::io::Error>(Credentials::password("secret")) });
        let locker = builder.connect(&url).await?;
        locker.lock("k").acquire().await?.release().await?;
    }
    Ok(())
}

#[tokio::test]
async fn who_gives_the_credentials_fails_for_a_while() -> Result<(), Box<dyn Error>> {
    let server = Server::builder().password("secret").start().await;
    let fails = Arc::new(AtomicUsize::new(1));
    let failing = Arc::clone(&fails);
    let builder = Locker::builder().credentials(move || {
        let fails = failing.load(Ordering::SeqCst) > 0;
        async move {
            if fails {
                return Err("the vault is sealed");
            }
            Ok(Credentials::password("secret"))
        }
    });
    let error = builder
        .clone()
        .connect(&server.url_without_password())
        .await;
    let error = error.expect_err("no credentials");
    let text = error.to_string();
    assert!(error.is_backend(), "{text}");
    assert!(text.contains("(the vault is sealed)"), "{text}");
    assert!(text.contains("`credentials`"), "{text}");

    fails.store(0, Ordering::SeqCst);
    let locker = builder.connect(&server.url_without_password()).await?;
    fails.store(1, Ordering::SeqCst);
    server.kill_clients().await;
    let error = locker.lock("k").acquire().await.expect_err("no connection");
    assert!(error.to_string().contains("the vault is sealed"), "{error}");
    let patient = locker.lock("k").retries(1_000).backoff(SHORT / 100);
    let waiting = locker.lock("other").wait(LIMIT);
    let asking = [patient, waiting].map(|request| tokio::spawn(request.acquire()));
    sleep(SHORT / 10).await;
    assert!(asking.iter().all(|asking| !asking.is_finished()));
    fails.store(0, Ordering::SeqCst);
    for asking in asking {
        asking.await?.expect("credentials again").release().await?;
    }
    Ok(())
}

#[tokio::test]
async fn who_gives_no_credentials_costs_no_more_than_connecting() {
    let server = Server::start().await;
    let limit = Duration::from_millis(200);
    let builder = Locker::builder()
        .connection_timeout(limit)
        .credentials(pending::<Result<Credentials, std::io::Error>>);
    let started = Instant::now();
    let error = builder.connect(&server.url()).await.expect_err("none");
    assert!(started.elapsed() < LIMIT, "{:?}", started.elapsed());
    let text = error.to_string();
    assert!(text.contains("within the connection timeout"), "{text}");
}

/// A token that is over, as services have it: no real server says so on a connection that is open.
/// With the number of a port, it has all slots of a cluster.
async fn letting_in_once_more(answer: &'static str, port: Arc<OnceLock<u16>>) -> FakeAnswers {
    let over = AtomicUsize::new(0);
    FakeAnswers::with(move |command| match (command[0].as_str(), port.get()) {
        ("SET", _) if over.fetch_add(1, Ordering::SeqCst) == 0 => answer.to_owned(),
        ("SET", _) => "+OK".to_owned(),
        ("CLUSTER", Some(port)) => {
            format!("*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:{port}")
        }
        _ => ":1".to_owned(),
    })
    .await
}

const OVER: [&str; 2] = [
    "-NOAUTH Authentication required.",
    "-WRONGPASS token expired",
];

#[tokio::test]
async fn a_connection_that_is_not_let_in_any_more_is_opened_again() -> Result<(), Box<dyn Error>> {
    for answer in OVER {
        let server = letting_in_once_more(answer, Arc::default()).await;
        let user = User::default();
        let locker = user.builder().connect(&server.url()).await?;
        let asked = user.asked();
        let guard = locker.lock("k").acquire().await?;
        assert_eq!(user.asked(), asked + 1, "{answer}");
        guard.release().await?;
    }
    Ok(())
}

#[tokio::test]
async fn so_is_a_clusters() -> Result<(), Box<dyn Error>> {
    for answer in OVER {
        let port = Arc::new(OnceLock::new());
        let server = letting_in_once_more(answer, Arc::clone(&port)).await;
        let url = server.url();
        let number = url.rsplit(':').next().expect("a port").parse()?;
        port.set(number).expect("the first");
        let user = User::default();
        let locker = user.builder().connect_cluster([url]).await?;
        // For the connection's own second subscription, too.
        until(LIMIT, "nobody asks", async || user.asked() >= 2).await;
        let asked = user.asked();
        let guard = locker.lock("k").acquire().await?;
        assert!(user.asked() > asked, "{answer}");
        guard.release().await?;
    }
    Ok(())
}

#[test]
fn no_password_is_shown() {
    let credentials = Credentials::new("app", "secret");
    let shown = format!("{credentials:?} {:?}", User::default().builder());
    assert!(
        shown.contains("app") && !shown.contains("secret"),
        "{shown}"
    );
}
