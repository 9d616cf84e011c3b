//! A temporary directory that goes when its owner does.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};

/// A fresh directory, removed with all that is in it when dropped.
pub struct Directory(PathBuf);

impl Directory {
    /// Makes one.
    ///
    /// # Panics
    /// If it can't be made.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "it does something")]
    pub fn new() -> Self {
        let path = std::env::temp_dir().join(format!("redis-locked-{:016x}", random()));
        fs::create_dir(&path).unwrap_or_else(|error| panic!("create {}: {error}", path.display()));
        Self(path)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// The seed of the standard library's hash maps: different each time and in each process.
pub(crate) fn random() -> u64 {
    RandomState::new().hash_one(std::process::id())
}

#[cfg(test)]
mod tests {
    use super::Directory;

    #[test]
    fn it_goes_with_all_that_is_in_it() {
        let directory = Directory::new();
        let path = directory.path().to_owned();
        std::fs::write(path.join("file"), "x").expect("write");
        drop(directory);
        assert!(!path.exists());
    }
}
