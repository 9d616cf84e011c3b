//! The signals that are passed on to the command.

use std::task::Poll;

use nix::sys::signal::Signal;
use tokio::signal::unix::{SignalKind, signal};

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
        let ignored = ignored();
        let listened = PASSED_ON
            .into_iter()
            .filter(|&signal| ignored & (1 << (signal as u32 - 1)) == 0)
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
            match self.next().await {
                Signal::SIGUSR1 | Signal::SIGUSR2 => {}
                signal => return signal,
            }
        }
    }
}

pub(crate) fn listen(which: Signal) -> Result<tokio::signal::unix::Signal, Failure> {
    signal(SignalKind::from_raw(which as i32))
        .map_err(|error| Failure::system(&format!("cannot listen for {which}"), error))
}

/// A bit for each signal that is ignored; where the system does not tell, none.
fn ignored() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mut lines = status.lines();
    let mask = lines.find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
        .unwrap_or(0)
}
