//! Messages while the command runs.

use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

use nix::sys::signal::{SigSet, Signal};

use crate::exit::{Failure, say};

/// Speaks on a thread of its own: standard error may be a pipe that nobody reads, and a command
/// whose lock is lost is to be killed in time all the same.
pub(crate) struct Voice {
    messages: Option<Sender<String>>,
    thread: Option<JoinHandle<()>>,
}

impl Voice {
    pub(crate) fn new() -> Result<Self, Failure> {
        let (messages, spoken) = channel::<String>();
        let speak = move || {
            // In the background of a terminal, writing may be forbidden; it must not stop us.
            let mut stop = SigSet::empty();
            stop.add(Signal::SIGTTOU);
            let _ = stop.thread_block();
            spoken.iter().for_each(say);
        };
        let thread = std::thread::Builder::new().spawn(speak);
        let thread =
            thread.map_err(|error| Failure::system("no thread could be started", error))?;
        Ok(Self {
            messages: Some(messages),
            thread: Some(thread),
        })
    }

    pub(crate) fn say(&self, message: String) {
        if let Some(messages) = &self.messages {
            // The thread lasts as long as this.
            let _ = messages.send(message);
        }
    }
}

/// Waits until all is said.
impl Drop for Voice {
    fn drop(&mut self) {
        self.messages = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
