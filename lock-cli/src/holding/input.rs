//! Standard input, of which nothing counts but its end.

use std::io;
use std::thread;

use tokio::sync::oneshot;

use crate::exit::Failure;

pub(super) struct Input(oneshot::Receiver<io::Result<u64>>);

impl Input {
    /// Reads from now on. On a thread of its own: one of the runtime's would keep the tool from ending while
    /// nothing is written.
    pub(super) fn watch() -> Result<Self, Failure> {
        let (ended, end) = oneshot::channel();
        let read = move || {
            let read = io::copy(&mut io::stdin().lock(), &mut io::sink());
            // Nobody may be left to be told.
            let _ = ended.send(read);
        };
        let started = thread::Builder::new().spawn(read);
        started.map_err(|error| Failure::system("cannot read standard input", error))?;
        Ok(Self(end))
    }

    /// Waits until it has ended. To be called until it says so, and not again.
    pub(super) async fn end(&mut self) -> Result<(), Failure> {
        match (&mut self.0).await {
            Ok(Err(error)) => Err(Failure::system("standard input could not be read", error)),
            Ok(Ok(_)) | Err(_) => Ok(()),
        }
    }
}
