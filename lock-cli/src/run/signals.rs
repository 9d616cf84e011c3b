//! The signals that are passed on to the command.

use std::task::Poll;

use nix::sys::signal::Signal;
use tokio::signal::unix::{SignalKind, signal};

use super::ignored::ignored;
use crate::exit::Failure;

const PASSED_ON: [Signal; 6] = [
    Signal::SIGINT,
    Signal::SIGTERM,
    Signal::SIGHUP,
    Signal::SIGQUIT,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
];

pub(crate) struct Signals(Vec<(Signal, tokio::signal::unix::Signal)>);

impl Signals {
    /// Listens from now on. What was ignored when we were started, as SIGHUP by nohup(1), stays so.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let ignored = ignored(&PASSED_ON)?;
        let listened = PASSED_ON
            .into_iter()
            .filter(|signal| !ignored.contains(signal))
            .map(|signal| Ok((signal, listen(signal)?)));
        listened.collect::<Result<_, Failure>>().map(Self)
    }

    /// Listens for one more.
    pub(crate) fn add(&mut self, signal: Signal) -> Result<(), Failure> {
        self.0.push((signal, listen(signal)?));
        Ok(())
    }

    pub(crate) async fn next(&mut self) -> Signal {
        std::future::poll_fn(|cx| {
            for (signal, stream) in &mut self.0 {
                if stream.poll_recv(cx).is_ready() {
                    return Poll::Ready(*signal);
                }
            }
            Poll::Pending
        })
        .await
    }

    /// The next one that ends a process which has nothing to pass it on to.
    pub(crate) async fn next_ending(&mut self) -> Signal {
        loop {
            let signal = self.next().await;
            if ends(signal) {
                return signal;
            }
        }
    }
}

/// Whether it is meant to end whom it is sent to.
pub(crate) fn ends(signal: Signal) -> bool {
    !matches!(signal, Signal::SIGUSR1 | Signal::SIGUSR2)
}

pub(crate) fn listen(which: Signal) -> Result<tokio::signal::unix::Signal, Failure> {
    signal(SignalKind::from_raw(which as i32))
        .map_err(|error| Failure::system(&format!("cannot listen for {which}"), error))
}
