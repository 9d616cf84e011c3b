//! Another process of this program: the step before the command.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::exit::Failure;

/// This program, under its usual name.
pub(crate) fn this_program() -> Result<Command, Failure> {
    use std::os::unix::process::CommandExt as _;
    let mut program = Command::new(path()?);
    program.arg0("redis-locked");
    Ok(program)
}

fn path() -> Result<PathBuf, Failure> {
    // Found also when the file was replaced by a newer version while we waited for the lock.
    let running = Path::new("/proc/self/exe");
    if cfg!(target_os = "linux") && running.exists() {
        return Ok(running.into());
    }
    // Where /proc is missing, as in a chroot, what we were called by leads to the file again; a mere
    // name is looked for on the path, as it was then.
    std::env::current_exe()
        .or_else(|error| std::env::args_os().next().map(PathBuf::from).ok_or(error))
        .map_err(|error| Failure::system("this program cannot find its own file", error))
}
