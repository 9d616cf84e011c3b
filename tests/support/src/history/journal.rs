//! Writing a history.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use super::check::Kind;
use crate::clock::monotonic_ns;

/// A file that several processes append to.
pub struct Journal(File);

/// A critical section under way; its end is recorded when this is dropped.
pub struct Entry<'a> {
    journal: &'a Journal,
    name: String,
}

impl Journal {
    /// Opens the file, made if missing.
    ///
    /// # Panics
    /// If it can't be opened.
    #[must_use]
    pub fn open(path: &Path) -> Self {
        let file = OpenOptions::new().append(true).create(true).open(path);
        Self(file.unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    }

    /// Records the begin of a section, as the first thing in it. `remaining` tells how long the
    /// lock is surely held, as `Lease::remaining` does. The holder's name is one of its own for each
    /// task of each process.
    ///
    /// # Panics
    /// If the file can't be written, or a name is empty or has a space.
    pub fn begin(
        &self,
        key: &str,
        fence: u64,
        holder: &str,
        remaining: impl FnOnce() -> Duration,
    ) -> Entry<'_> {
        self.begin_as(Kind::Exclusive, key, fence, holder, remaining)
    }

    /// The same for a section of this kind.
    ///
    /// # Panics
    /// As [`begin`](Self::begin) does.
    pub fn begin_as(
        &self,
        kind: Kind,
        key: &str,
        fence: u64,
        holder: &str,
        remaining: impl FnOnce() -> Duration,
    ) -> Entry<'_> {
        for name in [key, holder] {
            let plain = !name.is_empty() && !name.contains(char::is_whitespace);
            assert!(plain, "{name:?} does not fit into a line");
        }
        let name = format!("{key} {fence} {holder}");
        let entry = Entry {
            journal: self,
            name,
        };
        // The clock first, as in `extend`.
        let now = monotonic_ns();
        entry.write_deadline("begin", now, remaining(), &kind.written());
        entry
    }

    /// One write: with `O_APPEND`, lines of several processes never mix.
    fn write(&self, line: &str) {
        (&self.0)
            .write_all(line.as_bytes())
            .expect("write to the journal");
    }
}

impl Entry<'_> {
    /// Records that the lock is held longer than was known. When no time remains, the lock may have been
    /// gone for long (the process was stopped, say), and nothing is recorded: "now" would be too late.
    ///
    /// # Panics
    /// If the file can't be written.
    pub fn extend(&self, remaining: impl FnOnce() -> Duration) {
        // The clock first: a process stopped in between must not record too late a deadline.
        let now = monotonic_ns();
        let remaining = remaining();
        if !remaining.is_zero() {
            self.write_deadline("extend", now, remaining, "");
        }
    }

    fn write_deadline(&self, event: &str, now: u64, remaining: Duration, kind: &str) {
        let remaining = u64::try_from(remaining.as_nanos()).unwrap_or(u64::MAX);
        let deadline = now.saturating_add(remaining);
        self.journal
            .write(&format!("{event} {} {now} {deadline}{kind}\n", self.name));
    }
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        let now = monotonic_ns();
        self.journal.write(&format!("end {} {now}\n", self.name));
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::Journal;
    use crate::directory::Directory;
    use crate::history::{Summary, check};
    use crate::process::Process;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_is_written_is_read() {
        let directory = Directory::new();
        let path = directory.path().join("history");
        let journal = Journal::open(&path);
        let entry = journal.begin("k", 1, "a", || SECOND);
        entry.extend(|| 2 * SECOND);
        entry.extend(|| Duration::ZERO);
        drop(entry);
        let unfinished = journal.begin("k", 2, "b", || SECOND);
        let history = std::fs::read_to_string(&path).expect("a history");
        drop(unfinished);
        assert_eq!(history.lines().count(), 4);
        let expected = Summary {
            sections: 2,
            unfinished: 1,
            ..Summary::default()
        };
        assert_eq!(check(&history), Ok(expected));
    }

    #[test]
    fn a_section_cut_short_by_a_panic_has_its_end() {
        let directory = Directory::new();
        let path = directory.path().join("history");
        let journal = Journal::open(&path);
        let section = std::panic::AssertUnwindSafe(|| {
            let _entry = journal.begin("k", 1, "a", || SECOND);
            std::panic::resume_unwind(Box::new(()));
        });
        assert!(std::panic::catch_unwind(section).is_err());
        let history = std::fs::read_to_string(&path).expect("a history");
        assert_eq!(history.lines().count(), 2);
    }

    const LINES: u64 = 500;

    #[test]
    #[ignore = "started as a child by the test below"]
    fn writing_child() {
        let Some(path) = std::env::var_os("HISTORY") else {
            return;
        };
        let journal = Journal::open(path.as_ref());
        let holder = std::process::id().to_string();
        for fence in 0..LINES {
            drop(journal.begin(&holder, fence, &holder, || SECOND));
        }
    }

    #[tokio::test]
    async fn lines_of_several_processes_do_not_mix() {
        let directory = Directory::new();
        let path = directory.path().join("history");
        let children: Vec<_> = (0..4)
            .map(|_| {
                Process::test("history::journal::tests::writing_child")
                    .env("HISTORY", &path)
                    .start()
            })
            .collect();
        for child in children {
            assert!(
                child.wait(20 * SECOND).await.success(),
                "{:?}",
                child.lines()
            );
        }
        let history = std::fs::read_to_string(&path).expect("a history");
        let summary = check(&history).expect("each process has a key of its own");
        assert_eq!(summary.sections, 4 * usize::try_from(LINES).expect("few"));
    }
}
