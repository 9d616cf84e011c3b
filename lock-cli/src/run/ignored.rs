//! Which signals were ignored when this program was started, as SIGHUP by nohup(1).

use std::process::{Child, Stdio};

use clap::Args;
use nix::sys::resource::{Resource, setrlimit};
use nix::sys::signal::{Signal, raise};

use super::itself::this_program;
use crate::exit::Failure;

#[derive(Debug, Args)]
pub(crate) struct Outlive {
    /// The signal, by its number.
    signal: i32,
}

/// Those that are ignored.
pub(crate) fn ignored(signals: &[Signal]) -> Result<Vec<Signal>, Failure> {
    if let Some(mask) = mask() {
        let is_ignored = |signal: Signal| mask & (1 << (signal as u32 - 1)) != 0;
        return Ok(signals.iter().copied().filter(|&s| is_ignored(s)).collect());
    }
    // Nothing tells, but what we ignore, our children ignore as well: one for each tries to die.
    let trying = signals.iter().map(|&signal| Ok((signal, try_on(signal)?)));
    let mut ignored = Vec::new();
    for (signal, mut child) in trying.collect::<Result<Vec<_>, Failure>>()? {
        let ended = child.wait().map_err(cannot_try)?;
        if ended.success() {
            ignored.push(signal);
        }
    }
    Ok(ignored)
}

/// A bit for each signal that is ignored, where the system tells.
fn mask() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    u64::from_str_radix(mask?.trim(), 16).ok()
}

fn try_on(signal: Signal) -> Result<Child, Failure> {
    let mut child = this_program()?;
    child.arg("outlive").arg((signal as i32).to_string());
    child.stdin(Stdio::null()).stdout(Stdio::null());
    child.spawn().map_err(cannot_try)
}

fn cannot_try(error: std::io::Error) -> Failure {
    Failure::system("it cannot be found out which signals are ignored", error)
}

/// Returns only if the signal is ignored.
pub(crate) fn outlive(options: &Outlive) -> Result<u8, Failure> {
    // SIGQUIT would leave a picture of this process.
    let tried = setrlimit(Resource::RLIMIT_CORE, 0, 0)
        .and_then(|()| Signal::try_from(options.signal))
        .and_then(raise);
    tried.map_err(|error| Failure::system("the signal cannot be tried", error))?;
    Ok(0)
}
