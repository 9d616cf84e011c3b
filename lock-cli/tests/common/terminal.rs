//! A pseudo-terminal of 80 columns and 24 lines, with a program in it.

use std::fmt::Debug;
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::num::NonZero;
use std::os::fd::OwnedFd;
use std::process::{Child, Command};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use nix::pty::{Winsize, openpty};
#[cfg(target_os = "linux")]
use nix::sys::termios::ControlFlags;
use nix::sys::termios::tcgetattr;
use nix::unistd::tcgetpgrp;
use redis_locked_test_support::until_some;

use super::LIMIT;

const LINES: NonZero<u16> = NonZero::new(24).unwrap();
const COLUMNS: NonZero<u16> = NonZero::new(80).unwrap();

/// The terminal and the program that has it, killed when dropped.
pub(crate) struct Terminal {
    child: Child,
    /// The side where the person sits.
    keyboard: File,
    /// The side of the program, kept open so that its settings can be seen when it has ended.
    line: OwnedFd,
    seen: Arc<Mutex<Seen>>,
}

/// What the program wrote, and what a terminal makes of it.
struct Seen {
    bytes: Vec<u8>,
    screen: vt100::Parser,
}

/// Another terminal, such as the one that the tests run in, must not be meant: setsid(1) makes this
/// one the program's own. `None`, with a message, where there is no such command.
pub(crate) fn program(path: &str) -> Option<Command> {
    let has_it = Command::new("setsid").arg("--version").output();
    if !has_it.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: there is no setsid of util-linux");
        return None;
    }
    let mut command = Command::new("setsid");
    command.args(["--ctty", "--wait", path]);
    command.env_remove("NO_COLOR");
    Some(command)
}

impl Terminal {
    /// Starts a command of [`program`].
    pub(crate) fn start(mut command: Command) -> Self {
        let size = Winsize {
            ws_row: LINES.get(),
            ws_col: COLUMNS.get(),
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        let both = openpty(Some(&size), None).expect("a pseudo-terminal");
        // Clones, unlike these, are closed in children.
        let own = |side: &OwnedFd| side.try_clone().expect("a clone");
        let (master, line) = (own(&both.master), own(&both.slave));
        drop(both);
        command.stdin(own(&line)).stdout(own(&line));
        let child = command.stderr(own(&line)).spawn().expect("started");
        let seen = Arc::new(Mutex::new(Seen {
            bytes: Vec::new(),
            screen: vt100::Parser::new(LINES, COLUMNS, 0),
        }));
        let mut output = File::from(own(&master));
        std::thread::spawn({
            let seen = Arc::clone(&seen);
            move || {
                let mut buffer = [0; 4096];
                // Fails when the other side has been closed.
                while let Ok(count @ 1..) = output.read(&mut buffer) {
                    let mut seen = lock(&seen);
                    seen.bytes.extend_from_slice(&buffer[..count]);
                    seen.screen.process(&buffer[..count]);
                }
            }
        });
        Self {
            child,
            keyboard: File::from(master),
            line,
            seen,
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Types.
    pub(crate) fn press(&self, keys: &str) {
        (&self.keyboard).write_all(keys.as_bytes()).expect("typed");
    }

    /// Waits until the screen is so.
    pub(crate) async fn until(&self, what: &str, is_so: impl Fn(&vt100::Screen) -> bool) {
        let begun = Instant::now();
        while !is_so(lock(&self.seen).screen.screen()) {
            let screen = lock(&self.seen).screen.screen().contents();
            assert!(begun.elapsed() < LIMIT, "not {what}:\n{screen}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// Waits until there is a line that begins with these words.
    pub(crate) async fn until_line(&self, words: &str) {
        let what = format!("a line {words:?}");
        self.until(&what, |screen| line_of(screen, words).is_some())
            .await;
    }

    /// Waits until the screen has this text.
    pub(crate) async fn until_text(&self, text: &str) {
        self.until(text, |screen| screen.contents().contains(text))
            .await;
    }

    /// The exit code, when it has ended by itself.
    pub(crate) async fn wait(&mut self) -> Option<i32> {
        let ended = until_some(LIMIT, "it has ended", async || {
            self.child.try_wait().ok()?
        });
        ended.await.code()
    }

    /// How the terminal is set: whether it echoes, and so on. Without the speed of the input: libc writes
    /// it down even where it is that of the output.
    pub(crate) fn settings(&self) -> impl PartialEq + Debug + use<> {
        let all = tcgetattr(&self.line).expect("settings");
        let control = all.control_flags;
        #[cfg(target_os = "linux")]
        let control = control & !ControlFlags::CIBAUD;
        let flags = (all.input_flags, all.output_flags, all.local_flags);
        (flags, control, all.control_chars)
    }

    /// The process group that gets Ctrl-C.
    pub(crate) fn foreground(&self) -> i32 {
        tcgetpgrp(&self.keyboard).expect("a group").as_raw()
    }

    /// All that was written.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        lock(&self.seen).bytes.clone()
    }
}

/// The number of the line that begins with these words, whatever the spaces between them.
pub(crate) fn line_of(screen: &vt100::Screen, words: &str) -> Option<usize> {
    let words: Vec<_> = words.split(' ').collect();
    let is_it = |line: &str| {
        let mut found = line.split_whitespace();
        words.iter().all(|&word| found.next() == Some(word))
    };
    screen.rows(0, COLUMNS.get()).position(|line| is_it(&line))
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
