//! A clock that moves as the test says, for servers: a small library that is loaded before libc.

use std::ffi::OsString;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, UNIX_EPOCH};

use redis::cmd;

use crate::directory::Directory;
use crate::server::Server;
use crate::until::until;

const LIMIT: Duration = Duration::from_secs(20);

/// What the time since 1970 is, for the servers that [have it](crate::server::Builder::clock). At first it is
/// the system's. Their monotonic clock goes on as ever.
pub struct MovingClock {
    /// The library and the seconds that it adds.
    directory: Directory,
    seconds: File,
}

impl MovingClock {
    /// None where that can't be done: on a Mac, which loads no such library into programs of the system's
    /// or brew's.
    ///
    /// # Panics
    /// If there is no C compiler; building the tests needs one, too.
    #[must_use]
    pub fn new() -> Option<Self> {
        if cfg!(not(target_os = "linux")) {
            return None;
        }
        let directory = Directory::new();
        let source = directory.path().join("clock.c");
        fs::write(&source, include_str!("moving_clock.c")).expect("write the source");
        let mut compiler = Command::new("cc");
        compiler.args(["-std=gnu11", "-O2", "-shared", "-fPIC", "-o"]);
        compiler.arg(directory.path().join("clock.so")).arg(&source);
        let output = compiler.stdin(Stdio::null()).output();
        let output = output.expect("run cc, the C compiler");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{errors}");
        let file = directory.path().join("seconds");
        let seconds = File::create(&file).expect("make the file");
        let clock = Self { directory, seconds };
        clock.set_off(0);
        Some(clock)
    }

    /// Steps to this many seconds after the system's clock, or before it, and returns when this server says
    /// so: some look at their clock now and then only.
    ///
    /// # Panics
    /// If the file can't be written, or the server goes by another clock.
    pub async fn step_to(&self, seconds: i64, server: &Server) {
        self.set_off(seconds);
        until(LIMIT, "the server's clock has stepped", async || {
            let (time, _): (i64, i64) = server.ask(&cmd("TIME")).await;
            let ours = UNIX_EPOCH.elapsed().expect("it is later").as_secs();
            let off = time - i64::try_from(ours).expect("not so late");
            (seconds - 1..=seconds + 1).contains(&off)
        })
        .await;
    }

    fn set_off(&self, seconds: i64) {
        let seconds = seconds.to_ne_bytes();
        let written = self.seconds.write_all_at(&seconds, 0);
        written.expect("write the time");
    }

    pub(crate) fn environment(&self) -> Vec<(&'static str, OsString)> {
        let path = |name| PathBuf::from(self.directory.path()).join(name).into();
        vec![
            ("LD_PRELOAD", path("clock.so")),
            ("MOVING_CLOCK", path("seconds")),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::MovingClock;
    use crate::server::Server;

    #[tokio::test]
    async fn the_servers_clock_steps_and_goes_on() {
        let Some(clock) = MovingClock::new() else {
            return;
        };
        let server = Server::builder().clock(&clock).start().await;
        for off in [86_400, -3600, 0] {
            clock.step_to(off, &server).await;
        }
        // Keys expire by it.
        server.set_px("k", "v", 60_000).await;
        clock.step_to(120, &server).await;
        assert!(!server.exists("k").await);
    }
}
