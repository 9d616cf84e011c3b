//! Where the two stores are compared: each on a runtime of its own, and how time passes there.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::LocalSet;
use tokio::time::advance;

use super::direct::{Address, listen};
use crate::simulation::server::{Options, Server};
use crate::store::Store;
use crate::store::memory::MemoryStore;
use crate::store::redis::{Access, RedisStore, Servers, Single, Timeouts};

const TIMEOUTS: Timeouts = Timeouts {
    connection: Duration::from_secs(20),
    response: Duration::from_secs(20),
};

/// What the memory store is compared with.
#[derive(Debug, Clone)]
pub enum Ground {
    /// The scripts on a simulated server, whose time is the same.
    Simulated,
    /// A real server at this URL, whose keys all belong to the comparison. Its time can't be moved,
    /// so the keys' times are.
    Real(String),
}

impl Ground {
    /// All times are multiples of this, but for a half: nothing expires at the very moment at which
    /// something is done.
    pub(super) fn unit(&self) -> Duration {
        match self {
            // No multiple of it is a time of the line.
            Self::Simulated => Duration::from_millis(130),
            Self::Real(_) => Duration::from_secs(100),
        }
    }

    /// By how much two times may differ that should be the same. Redis counts whole milliseconds.
    pub(super) fn slack(&self) -> Duration {
        match self {
            Self::Simulated => Duration::from_millis(1),
            Self::Real(_) => Duration::from_secs(40),
        }
    }
}

/// One of the two stores.
pub(super) struct Side {
    pub(super) name: &'static str,
    pub(super) store: Arc<dyn Store>,
    runtime: Runtime,
    /// What is beside the runtime's tasks: the simulated server.
    local: LocalSet,
    /// For the times of a real server's keys.
    control: Option<MultiplexedConnection>,
}

fn paused() -> Runtime {
    let mut builder = Builder::new_current_thread();
    let runtime = builder.enable_time().start_paused(true).build();
    runtime.expect("a runtime without I/O")
}

impl Side {
    pub(super) fn memory() -> Self {
        Self {
            name: "the memory store",
            store: Arc::new(MemoryStore::default()),
            runtime: paused(),
            local: LocalSet::new(),
            control: None,
        }
    }

    pub(super) fn redis(ground: &Ground) -> Self {
        match ground {
            Ground::Simulated => Self::simulated(),
            Ground::Real(url) => Self::real(url),
        }
    }

    fn simulated() -> Self {
        let (sender, accepted) = unbounded_channel();
        let local = LocalSet::new();
        let server = Server::new(Options::default());
        local.spawn_local(listen(server, accepted));
        let servers = Servers::Single(Single::Simulated(Arc::new(Address(sender))));
        let runtime = paused();
        Self {
            name: "the scripts on the simulated server",
            store: runtime.block_on(async { Arc::new(store(servers)) }),
            runtime,
            local,
            control: None,
        }
    }

    fn real(url: &str) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a runtime");
        let client = redis::Client::open(url).expect("a valid URL");
        let control = runtime.block_on(async {
            let mut control = client.get_multiplexed_async_connection().await?;
            redis::cmd("FLUSHALL").exec_async(&mut control).await?;
            redis::RedisResult::Ok(control)
        });
        let servers = Servers::one(url, &Access::default(), TIMEOUTS).expect("a valid URL");
        Self {
            name: "the scripts on a real server",
            store: runtime.block_on(async { Arc::new(store(servers)) }),
            runtime,
            local: LocalSet::new(),
            control: Some(control.expect("the server answers")),
        }
    }

    pub(super) fn run<T>(&self, what: impl Future<Output = T>) -> T {
        self.runtime.block_on(self.local.run_until(what))
    }

    /// So much time passes.
    pub(super) fn pass(&self, time: Duration) {
        match self.control.clone() {
            None => self.run(advance(time)),
            Some(mut control) => {
                let passed = self.run(shorten_all(&mut control, time));
                passed.expect("the server answers");
            }
        }
    }
}

fn store(servers: Servers) -> RedisStore {
    RedisStore::new(servers, TIMEOUTS, None, Arc::default(), Some(""))
}

/// Takes so much time off what every key has left.
async fn shorten_all(
    control: &mut MultiplexedConnection,
    time: Duration,
) -> redis::RedisResult<()> {
    let keys: Vec<String> = redis::cmd("KEYS").arg("*").query_async(control).await?;
    let time = i64::try_from(time.as_millis()).expect("it is not that long");
    for key in keys {
        let left: i64 = redis::cmd("PTTL").arg(&key).query_async(control).await?;
        let mut shorten = redis::cmd("PEXPIRE");
        shorten
            .arg(&key)
            .arg(left - time)
            .exec_async(control)
            .await?;
    }
    Ok(())
}
