//! The step between `run` and its command: a process that makes sure it dies with `run`, and then
//! becomes the command.
//!
//! Between fork and exec nothing but the kernel's own calls is safe, so this is a program: ours.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use clap::Args;

use super::terminal::Terminal;
use crate::exit::Failure;

#[derive(Debug, Args)]
pub(crate) struct UnderLock {
    /// Whose end is the command's end.
    #[arg(long)]
    parent: i32,
    /// Take the terminal's foreground.
    #[arg(long)]
    foreground: bool,
    #[arg(last = true, required = true)]
    command: Vec<OsString>,
}

/// Returns only when there is no such command, or it cannot be executed.
pub(crate) fn become_command(options: &UnderLock) -> Failure {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    if let Err(error) = nix::sys::prctl::set_pdeathsig(nix::sys::signal::Signal::SIGKILL) {
        return Failure::system("the command cannot be tied to its lock", error);
    }
    if nix::unistd::getppid().as_raw() != options.parent {
        return Failure::system("not started", "redis-locked has died");
    }
    if let Some(terminal) = options.foreground.then(Terminal::find).flatten() {
        terminal.take();
    }
    let [program, arguments @ ..] = options.command.as_slice() else {
        return Failure::usage("there is no command");
    };
    let error = Command::new(program).args(arguments).exec();
    // As shells and env(1) do.
    let code = match error.kind() {
        std::io::ErrorKind::NotFound => 127,
        _ => 126,
    };
    Failure::new(
        code,
        format_args!("cannot run {}: {error}", program.display()),
    )
}
