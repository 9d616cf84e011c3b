//! The program of `tests/visitors`, as it is now and as it was before the line on the server.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use redis_locked_test_support::process::Launch;
use redis_locked_test_support::{Directory, Process, Server};

use crate::{Plan, TTL};

const LIMIT: Duration = Duration::from_secs(120);

/// Processes of this program visit one key.
#[derive(Debug, Clone)]
pub struct Visitors {
    program: PathBuf,
}

/// What such processes did together.
#[derive(Debug, Clone, Copy, Default)]
pub struct Visits {
    /// How often the lock was had.
    pub visits: u64,
    /// The longest that one of them waited.
    pub longest: Duration,
}

impl Visitors {
    /// As they are now.
    #[must_use]
    pub fn now(plan: &Plan) -> Self {
        Self {
            program: plan.visitors.clone(),
        }
    }

    /// As they were.
    ///
    /// # Errors
    /// Why they can't be had.
    ///
    /// # Panics
    /// When there is no bash.
    pub fn before() -> Result<Self, String> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scripts/before.sh");
        let built = Command::new(script).arg("--release").output();
        let built = built.expect("bash");
        if built.status.success() {
            let program = String::from_utf8_lossy(&built.stdout).trim().into();
            return Ok(Self { program });
        }
        Err(String::from_utf8_lossy(&built.stderr).trim().to_owned())
    }

    /// So many processes, which visit the lock when all are ready, for so long and each time for so long.
    ///
    /// # Panics
    /// When one fails.
    pub async fn rate(
        &self,
        server: &Server,
        [processes, lockers]: [usize; 2],
        hold: Duration,
        time: Duration,
    ) -> Visits {
        let place = Directory::new();
        let go = place.path().join("go");
        let words = ["rate", &lockers.to_string(), "1"].map(str::to_owned);
        let launch = |_| {
            let launch = Process::program(&self.program)
                .env("SERVER", server.url())
                .env("KEY", "visited")
                .env("TTL_MS", TTL.as_millis().to_string())
                .env("HOLD_US", hold.as_micros().to_string())
                .env("GO", &go);
            let launch = words.iter().fold(launch, Launch::arg);
            launch.arg(time.as_millis().to_string()).start()
        };
        let processes: Vec<Process> = (0..processes).map(launch).collect();
        for process in &processes {
            process.wait_for_line("ready", LIMIT).await;
        }
        server.reset_stats().await;
        std::fs::write(&go, "").expect("told");
        let mut all = Visits::default();
        for process in &processes {
            let [visits, longest] = numbers(&process.wait_for_line("done", LIMIT).await);
            all.visits += visits;
            all.longest = all.longest.max(Duration::from_micros(longest));
        }
        all
    }

    /// The median of so many calls of one caller for a free lock, in microseconds.
    ///
    /// # Panics
    /// When it fails.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub async fn alone(&self, server: &Server, how: &str, calls: usize) -> f64 {
        let process = Process::program(&self.program)
            .env("SERVER", server.url())
            .env("KEY", "alone")
            .env("TTL_MS", TTL.as_millis().to_string())
            .env("HOLD_US", "0")
            .arg("alone")
            .arg(how)
            .arg(calls.to_string())
            .start();
        let [nanos] = numbers(&process.wait_for_line("done", LIMIT).await);
        nanos as f64 / 1e3
    }
}

fn numbers<const N: usize>(done: &str) -> [u64; N] {
    let words = done.split(' ').skip(1);
    let numbers: Vec<u64> = words.map(|word| word.parse().expect("a number")).collect();
    numbers.try_into().expect("as many as it says")
}
