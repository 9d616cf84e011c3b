//! Child processes: another run of a test binary, an example, any program.

use std::ffi::OsStr;
use std::fmt::Display;
use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::lock::lock;
use crate::signal;
use crate::until::until_some;

/// A child process, killed when dropped.
pub struct Process {
    child: Mutex<Child>,
    output: watch::Receiver<Vec<String>>,
    errors: Arc<Mutex<Vec<String>>>,
    read: Mutex<usize>,
}

/// What to start.
pub struct Launch(Command);

impl Process {
    /// One test of this very test binary, by its full name, also if it is `#[ignore]`d. A test that
    /// is only ever run as a child is marked so.
    ///
    /// # Panics
    /// If the path of this binary is unknown.
    #[must_use]
    pub fn test(name: &str) -> Launch {
        // With more than one thread, the harness does not write the test's name before its output.
        let harness = [
            "--exact",
            "--include-ignored",
            "--nocapture",
            "--test-threads=2",
        ];
        let this = std::env::current_exe().expect("the path of this binary");
        harness
            .iter()
            .fold(Self::program(this).arg(name), Launch::arg)
    }

    /// An example of the package under test.
    ///
    /// # Panics
    /// If it is not built; `cargo test` and `cargo nextest run` build all examples.
    #[must_use]
    pub fn example(name: &str) -> Launch {
        let this = std::env::current_exe().expect("the path of this binary");
        let profile = this
            .parent()
            .and_then(|deps| deps.parent())
            .map_or_else(PathBuf::new, PathBuf::from);
        let path = profile.join("examples").join(name);
        assert!(
            path.exists(),
            "{} is missing: cargo build --example {name}",
            path.display()
        );
        Self::program(path)
    }

    /// Any program, by its path or its name on the path.
    #[must_use]
    pub fn program(path: impl AsRef<OsStr>) -> Launch {
        Launch(Command::new(path))
    }

    /// The process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child().id()
    }

    /// Whether it has not ended yet.
    #[must_use]
    pub fn is_running(&self) -> bool {
        matches!(self.child().try_wait(), Ok(None))
    }

    /// The next line of its standard output.
    ///
    /// # Panics
    /// If there is none when `limit` has passed, or ever.
    pub async fn line(&self, limit: Duration) -> String {
        let number = *lock(&self.read);
        let line = self
            .wait_for(limit, |lines| lines.get(number).cloned(), "another line")
            .await;
        *lock(&self.read) = number + 1;
        line
    }

    /// The first line of its standard output with `text` in it, read by [`Process::line`] or not.
    ///
    /// # Panics
    /// Like [`Process::line`].
    pub async fn wait_for_line(&self, text: &str, limit: Duration) -> String {
        let find = |lines: &[String]| lines.iter().find(|line| line.contains(text)).cloned();
        self.wait_for(limit, find, format_args!("a line with {text:?}"))
            .await
    }

    /// The lines of its standard output so far.
    #[must_use]
    pub fn lines(&self) -> Vec<String> {
        self.output.borrow().clone()
    }

    /// The lines of its standard error so far.
    #[must_use]
    pub fn errors(&self) -> Vec<String> {
        lock(&self.errors).clone()
    }

    /// Waits until it has ended by itself and its output is read.
    ///
    /// # Panics
    /// If it runs on when `limit` has passed.
    pub async fn wait(&self, limit: Duration) -> ExitStatus {
        until_some(limit, "the child process has ended", async || {
            let status = self.child().try_wait().ok().flatten()?;
            self.output.has_changed().is_err().then_some(status)
        })
        .await
    }

    /// Stops it (SIGSTOP) and returns when it stands still.
    pub fn stop(&self) {
        signal::stop(&self.child());
    }

    /// Continues it after [`Process::stop`].
    pub fn resume(&self) {
        signal::resume(&self.child());
    }

    /// Tells it to end (SIGTERM). If it is stopped, it learns of it when it continues.
    ///
    /// # Panics
    /// If it has ended already.
    pub fn terminate(&self) {
        signal::terminate(&self.child());
    }

    /// Kills it (SIGKILL), also while it is stopped.
    pub fn kill(&self) {
        let mut child = self.child();
        let _ = child.kill();
        let _ = child.wait();
    }

    async fn wait_for<T>(
        &self,
        limit: Duration,
        find: impl Fn(&[String]) -> Option<T>,
        what: impl Display,
    ) -> T {
        let mut output = self.output.clone();
        let found = match timeout(limit, output.wait_for(|lines| find(lines).is_some())).await {
            Ok(Ok(lines)) => find(&lines),
            Ok(Err(_)) | Err(_) => None,
        };
        found.unwrap_or_else(|| {
            panic!(
                "no {what} within {limit:?}; it wrote:\n{}\nand as errors:\n{}",
                self.lines().join("\n"),
                lock(&self.errors).join("\n")
            )
        })
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        lock(&self.child)
    }
}

impl Launch {
    /// Sets a variable of its environment.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(name, value);
        self
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.0.arg(argument);
        self
    }

    /// Starts it.
    ///
    /// # Panics
    /// If there is no such program.
    #[must_use]
    pub fn start(mut self) -> Process {
        self.0
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = self
            .0
            .spawn()
            .unwrap_or_else(|error| panic!("{:?}: {error}", self.0));
        let (lines, output) = watch::channel(Vec::new());
        let errors = Arc::new(Mutex::new(Vec::new()));
        each_line(child.stdout.take(), move |line| {
            lines.send_modify(|all| all.push(line));
        });
        each_line(child.stderr.take(), {
            let errors = errors.clone();
            move |line| lock(&errors).push(line)
        });
        Process {
            child: Mutex::new(child),
            output,
            errors,
            read: Mutex::new(0),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

fn each_line(
    stream: Option<impl Read + Send + 'static>,
    mut with: impl FnMut(String) + Send + 'static,
) {
    let Some(stream) = stream else { return };
    thread::spawn(move || {
        for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
            with(String::from_utf8_lossy(&line).into_owned());
        }
    });
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Launch, Process};
    use crate::until::until;

    const LIMIT: Duration = Duration::from_secs(20);
    const SHORT: Duration = Duration::from_millis(100);

    #[test]
    #[ignore = "started as a child by the tests below"]
    fn counting_child() {
        let Ok(name) = std::env::var("NAME") else {
            return;
        };
        for number in 0.. {
            println!("{name} {number}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn counting() -> Process {
        Process::test("process::tests::counting_child")
            .env("NAME", "child")
            .start()
    }

    fn shell(script: &str) -> Launch {
        Process::program("sh").arg("-c").arg(script)
    }

    #[tokio::test]
    async fn a_test_runs_as_a_child() {
        let child = counting();
        assert_ne!(child.id(), std::process::id());
        assert_eq!(child.wait_for_line("child 3", LIMIT).await, "child 3");
        while child.line(LIMIT).await != "child 0" {}
        assert_eq!(child.line(LIMIT).await, "child 1");
    }

    #[tokio::test]
    async fn it_stands_still_while_stopped() {
        let child = counting();
        child.wait_for_line("child 3", LIMIT).await;
        child.stop();
        // What it had written before has been read once nothing more comes.
        let mut before = child.lines().len();
        loop {
            tokio::time::sleep(SHORT).await;
            let now = child.lines().len();
            if now == before {
                break;
            }
            before = now;
        }
        child.resume();
        until(LIMIT, "it goes on", async || child.lines().len() > before).await;
    }

    #[tokio::test]
    async fn it_is_killed_when_dropped_even_if_stopped() {
        let child = counting();
        let id = child.id().to_string();
        let is_alive = || {
            let kill = std::process::Command::new("kill")
                .args(["-0", &id])
                .stderr(std::process::Stdio::null())
                .status();
            kill.expect("kill").success()
        };
        assert!(is_alive());
        child.stop();
        drop(child);
        assert!(!is_alive());
    }

    #[tokio::test]
    async fn its_end_its_status_and_all_its_output_are_seen() {
        let child = shell("for i in 1 2 3; do echo line $i; done; exit 3").start();
        assert_eq!(child.wait(LIMIT).await.code(), Some(3));
        assert_eq!(child.lines(), ["line 1", "line 2", "line 3"]);
        child.kill();
        assert_eq!(child.wait(LIMIT).await.code(), Some(3));
    }

    #[tokio::test]
    async fn it_is_told_to_end_and_ends_as_it_likes() {
        let child =
            shell("trap 'echo told; exit 3' TERM; echo there; while :; do sleep 0.01; done");
        let child = child.start();
        child.wait_for_line("there", LIMIT).await;
        child.terminate();
        assert_eq!(child.wait(LIMIT).await.code(), Some(3));
        assert_eq!(child.lines(), ["there", "told"]);
    }

    #[test]
    #[should_panic(expected = "cargo build --example no_such_thing")]
    fn an_example_that_is_not_built_is_named() {
        let _ = Process::example("no_such_thing");
    }

    #[tokio::test]
    #[should_panic(expected = "and as errors:\noh no")]
    async fn a_line_that_never_comes_is_reported_with_what_it_wrote() {
        let child =
            shell("echo some; echo oh no >&2; exec 2>&-; sleep 0.1; exec >&-; exec sleep 100")
                .start();
        child.wait_for_line("other", LIMIT).await;
    }

    #[tokio::test]
    #[should_panic(expected = "in vain until the child process has ended")]
    async fn a_child_that_does_not_end_is_reported() {
        shell("exec sleep 100").start().wait(SHORT).await;
    }
}
