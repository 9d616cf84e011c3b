//! Who hears from the store that it has the lock, or is the first in line.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::Notify;
use tokio::time::Instant;

/// The values that wait in a line on the store, or hold a lock that was passed on to them.
#[derive(Debug, Default)]
pub(crate) struct Ears {
    listening: Mutex<HashMap<String, Arc<Heard>>>,
}

#[derive(Debug)]
struct Heard {
    key: String,
    words: Mutex<Words>,
    any: Notify,
}

/// What was heard and not yet taken note of.
#[derive(Debug, Default)]
struct Words {
    passed: Option<Passed>,
    look: bool,
    open: Option<Duration>,
    first: bool,
}

/// What the store tells one who waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Word {
    Passed(Passed),
    /// Something may have been missed.
    LookAgain,
    /// It is the first, and the key is left to those who are in no line, for so long.
    Open(Duration),
    /// It is the first now.
    First,
}

/// The lock was passed on by whoever had it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Passed {
    /// Just before the last look was sent of which the store knew; `None` where the store has to be
    /// asked whether the lock may be begun.
    pub(crate) since: Option<Instant>,
    /// For how long the key is reserved.
    pub(crate) term: Duration,
    /// The fencing number, if one was drawn.
    pub(crate) fence: Option<u64>,
}

impl Ears {
    fn listening(&self) -> MutexGuard<'_, HashMap<String, Arc<Heard>>> {
        self.listening
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Hears what is said to this value, which waits for the key, from now on.
    pub(crate) fn listen(self: &Arc<Self>, key: &str, value: &str) -> Ear {
        let heard = Arc::new(Heard {
            key: key.to_owned(),
            words: Mutex::default(),
            any: Notify::new(),
        });
        let known = Arc::clone(&heard);
        self.listening().insert(value.to_owned(), known);
        Ear(Box::new(Listening {
            ears: Arc::clone(self),
            value: value.to_owned(),
            heard,
        }))
    }

    /// False when nobody is there any more who has this value.
    pub(crate) fn tell(&self, value: &str, word: Word) -> bool {
        let heard = self.listening().get(value).cloned();
        let Some(heard) = heard else {
            return false;
        };
        heard.hear(word);
        true
    }

    /// What was said may have been missed.
    pub(crate) fn tell_all_to_look(&self) {
        self.tell_to_look(|_| true);
    }

    /// The same to those only who wait for such a key.
    pub(crate) fn tell_to_look(&self, concerns: impl Fn(&str) -> bool) {
        let mut all: Vec<_> = self.listening().values().cloned().collect();
        all.retain(|heard| concerns(&heard.key));
        for heard in all {
            heard.hear(Word::LookAgain);
        }
    }
}

impl Heard {
    fn words(&self) -> MutexGuard<'_, Words> {
        self.words.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hear(&self, word: Word) {
        {
            let mut words = self.words();
            match word {
                Word::Passed(passed) => words.passed = Some(passed),
                Word::LookAgain => words.look = true,
                Word::Open(time) => words.open = Some(time),
                Word::First => words.first = true,
            }
        }
        // Not while the words are kept: this runs the wakers of others.
        self.any.notify_one();
    }

    /// The weightiest word; the others of its time are old news then.
    fn take(&self) -> Option<Word> {
        let words = std::mem::take(&mut *self.words());
        let Words {
            passed,
            look,
            open,
            first,
        } = words;
        passed
            .map(Word::Passed)
            .or(look.then_some(Word::LookAgain))
            .or(open.map(Word::Open))
            .or(first.then_some(Word::First))
    }
}

/// Hears what the store says to one value, until it is dropped.
///
/// Behind a `dyn`, for rustc to see no deeper: every future that has a guard has one of these, and
/// whether it is `Send` is found out anew in each function of a nest.
pub(crate) struct Ear(Box<dyn Hear>);

trait Hear: Send + Sync {
    fn word(&self) -> BoxFuture<'_, Word>;
}

struct Listening {
    ears: Arc<Ears>,
    value: String,
    heard: Arc<Heard>,
}

impl Ear {
    pub(crate) fn word(&self) -> BoxFuture<'_, Word> {
        self.0.word()
    }
}

impl Hear for Listening {
    fn word(&self) -> BoxFuture<'_, Word> {
        Box::pin(async {
            loop {
                if let Some(word) = self.heard.take() {
                    return word;
                }
                self.heard.any.notified().await;
            }
        })
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.ears.listening().remove(&self.value);
    }
}
