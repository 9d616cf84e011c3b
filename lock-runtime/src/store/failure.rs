//! Why a store could not answer, in words for the one who is on call.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::error::LockError;

/// A store that did not do what it was asked.
#[derive(Debug, Clone)]
pub(crate) struct StoreError {
    /// What happened, as the end of a sentence that begins with "because".
    pub(crate) happened: String,
    /// What the reader should do.
    pub(crate) advice: &'static str,
    /// Whether asking again may help.
    pub(crate) may_pass: bool,
    pub(crate) source: Arc<dyn Error + Send + Sync>,
}

impl StoreError {
    pub(crate) fn unexpected(answer: &dyn fmt::Debug) -> Self {
        Self {
            happened: "the store gave an answer that no lock script gives".to_owned(),
            advice: "check that nothing between here and Redis rewrites answers",
            may_pass: false,
            source: plain(format!("unexpected answer {answer:?}")),
        }
    }

    /// What is in the place of a lock's fencing counter is left alone.
    pub(crate) fn foreign_counter(counter: Option<&str>) -> Self {
        let counter = counter.unwrap_or_default();
        Self {
            happened: format!(
                "the key {counter:?}, where its fencing numbers are counted, holds something else"
            ),
            advice: "delete that key if nobody needs it, or name the lock in another way",
            may_pass: false,
            source: plain("the counter's value is no number that was drawn"),
        }
    }

    /// What is in the place of a lock's record is left alone, and without it nobody knows what is done.
    pub(crate) fn foreign_record(record: &str) -> Self {
        Self {
            happened: format!(
                "the key {record:?}, where the record of its runs is kept, holds something else"
            ),
            advice: "delete that key if nobody needs it, or name the lock in another way",
            may_pass: false,
            source: plain("the record's key is no hash with an expiry"),
        }
    }

    /// The same, where it says that no scripts can be run.
    pub(crate) fn of_scripts(self) -> Self {
        Self {
            happened: format!(
                "this server runs no scripts, without which no lock can be released ({})",
                self.happened
            ),
            advice: "use one that has EVAL and EVALSHA, or grant these commands to this user",
            may_pass: false,
            ..self
        }
    }

    /// A server has the value of an attempt that it was not asked in.
    pub(crate) fn voted_before() -> Self {
        Self {
            happened: "it has the key for this attempt already, through another of the URLs"
                .to_owned(),
            advice: "find the two URLs that lead to one server, and leave one out",
            may_pass: false,
            source: plain("one server, two votes"),
        }
    }

    /// There is no connection on which the store could tell of changes.
    pub(crate) fn not_watched() -> Self {
        Self {
            happened: "it does not tell of changed keys here".to_owned(),
            advice: "none is needed: it is asked again and again",
            may_pass: true,
            source: plain("no second connection"),
        }
    }

    pub(crate) fn late(patience: Duration) -> Self {
        Self {
            happened: format!("no answer within {patience:.1?}"),
            advice: "check its load and the network, or raise the locker's timeouts",
            may_pass: true,
            source: plain("no answer in time"),
        }
    }

    /// The same, with where the server is.
    pub(crate) fn at(self, place: &str) -> Self {
        Self {
            happened: format!("{}, at {place}", self.happened),
            ..self
        }
    }

    /// So many of these servers failed that the rest decides nothing.
    pub(crate) fn no_majority(mut errors: Vec<Self>, servers: usize) -> Self {
        let failed = errors.len();
        let each: Vec<_> = errors.iter().map(|error| error.happened.as_str()).collect();
        let happened = format!(
            "{failed} of {servers} servers failed, and without them there is no majority ({})",
            each.join("; ")
        );
        let may_pass = errors.iter().any(|error| error.may_pass);
        let source: Arc<dyn Error + Send + Sync> = match errors.pop() {
            Some(error) => Arc::new(error),
            None => plain("no server answered"),
        };
        Self {
            happened,
            advice: "check the servers; a lock needs more than half of them",
            may_pass,
            source,
        }
    }

    /// What the caller is told who was doing this with the key, if there is one.
    pub(crate) fn into_error(
        self,
        key: Option<&str>,
        doing: &'static str,
        attempts: u32,
        waited: Duration,
    ) -> LockError {
        LockError::Backend {
            key: key.map(str::to_owned),
            doing,
            happened: self.happened,
            advice: self.advice,
            attempts,
            waited,
            source: self.source,
        }
    }
}

/// A cause that is nothing but words.
pub(super) fn plain(text: impl Into<Box<dyn Error + Send + Sync>>) -> Arc<dyn Error + Send + Sync> {
    text.into().into()
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}; {}", self.happened, self.advice)
    }
}

impl Error for StoreError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.source)
    }
}
