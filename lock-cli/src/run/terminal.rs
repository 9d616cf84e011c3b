//! Who has the terminal: the group in its foreground reads the keyboard and gets Ctrl-C.

use std::io::{IsTerminal as _, stdin, stdout};

use nix::sys::signal::{SigSet, Signal, killpg};
use nix::unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp};

/// Whether the terminal is the command's from the start. In a pipeline, what comes next may need it
/// more, as a pager does.
pub(crate) fn is_for_us() -> bool {
    stdout().is_terminal() && is_ours()
}

/// Whether it is ours to lend.
pub(crate) fn is_ours() -> bool {
    stdin().is_terminal() && is_foreground(getpgrp())
}

/// Puts our own group into the foreground.
pub(crate) fn take() {
    put_in_foreground(getpgrp());
}

/// The terminal, lent to the command's group.
pub(crate) struct Terminal {
    lent_to: Pid,
}

impl Terminal {
    pub(crate) fn lent_to(group: Pid) -> Self {
        Self { lent_to: group }
    }

    /// Lends it again, if we have been put into the foreground.
    pub(crate) fn lend(&self) {
        if is_foreground(getpgrp()) {
            put_in_foreground(self.lent_to);
        }
    }

    /// Takes it back, and stops the whole job, as the key that stopped the command would have.
    /// Returns when the job is continued.
    pub(crate) fn suspend(&self) {
        self.take_back();
        // Fails only where there is nobody, and we are.
        let _ = killpg(getpgrp(), Signal::SIGTSTP);
    }

    fn take_back(&self) {
        // In the background, it is the shell's.
        if is_foreground(self.lent_to) {
            take();
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        self.take_back();
    }
}

fn is_foreground(group: Pid) -> bool {
    tcgetpgrp(stdin()) == Ok(group)
}

fn put_in_foreground(group: Pid) {
    let mut background = SigSet::empty();
    background.add(Signal::SIGTTOU);
    // From the background, this is allowed only to those whom that signal does not reach.
    let blocked = background.thread_block();
    // Fails when the terminal has gone; then there is no foreground.
    let _ = tcsetpgrp(stdin(), group);
    if blocked.is_ok() {
        let _ = background.thread_unblock();
    }
}
