//! Who has the terminal: the group in its foreground reads the keyboard and gets Ctrl-C.

use std::fs::File;
use std::io::{IsTerminal as _, stderr, stdin, stdout};
use std::os::fd::{AsFd as _, OwnedFd};

use nix::sys::signal::{SigSet, Signal, killpg};
use nix::unistd::{Pid, getpgrp, tcgetpgrp, tcsetpgrp};

/// The terminal that controls this process, whatever it reads and writes.
pub(crate) struct Terminal(OwnedFd);

impl Terminal {
    /// `None` where there is none, as under cron.
    pub(crate) fn find() -> Option<Self> {
        let named = File::options().read(true).write(true).open("/dev/tty");
        let (input, output, errors) = (stdin(), stdout(), stderr());
        // In a chroot, it may have no name.
        let standard = [input.as_fd(), output.as_fd(), errors.as_fd()];
        let standard = standard
            .into_iter()
            .filter_map(|stream| stream.try_clone_to_owned().ok());
        let mut all = named.ok().map(OwnedFd::from).into_iter().chain(standard);
        // Fails for a terminal that is another's.
        all.find(|terminal| tcgetpgrp(terminal).is_ok()).map(Self)
    }

    /// Puts our own group into the foreground.
    pub(crate) fn take(&self) {
        self.put_in_foreground(getpgrp());
    }

    fn is_ours(&self) -> bool {
        self.is_foreground(getpgrp())
    }

    fn is_foreground(&self, group: Pid) -> bool {
        tcgetpgrp(&self.0) == Ok(group)
    }

    fn put_in_foreground(&self, group: Pid) {
        let mut background = SigSet::empty();
        background.add(Signal::SIGTTOU);
        // From the background, this is allowed only to those whom that signal does not reach.
        let blocked = background.thread_block();
        // Fails when the terminal has gone; then there is no foreground.
        let _ = tcsetpgrp(&self.0, group);
        if blocked.is_ok() {
            let _ = background.thread_unblock();
        }
    }
}

/// What the command's group is to have of the terminal.
pub(crate) struct Loan {
    terminal: Terminal,
    /// Whether it gets the foreground whenever ours has it. In a pipeline, what comes next may need
    /// it more, as a pager does; then it has to ask for it.
    pub(crate) is_wanted: bool,
}

impl Loan {
    pub(crate) fn offer() -> Option<Self> {
        let is_wanted = stdout().is_terminal();
        Terminal::find().map(|terminal| Self {
            terminal,
            is_wanted,
        })
    }

    /// Whether the command has the foreground from its start.
    pub(crate) fn is_due(&self) -> bool {
        self.is_wanted && self.terminal.is_ours()
    }

    /// Lends it to a group that asks for it, if it is ours to lend.
    pub(crate) fn ask(&mut self, group: Pid) -> bool {
        let is_ours = self.terminal.is_ours();
        if is_ours {
            self.is_wanted = true;
            self.lend(group);
        }
        is_ours
    }

    /// Lends it, if it is wanted and we have been put into the foreground.
    pub(crate) fn lend(&self, group: Pid) {
        if self.is_due() {
            self.terminal.put_in_foreground(group);
        }
    }

    pub(crate) fn is_lent_to(&self, group: Pid) -> bool {
        self.terminal.is_foreground(group)
    }

    pub(crate) fn take_back(&self, group: Pid) {
        // In the background, it is the shell's.
        if self.is_lent_to(group) {
            self.terminal.take();
        }
    }
}

/// Stops our whole job, by a signal that we do not listen for: between hearing of one and obeying it,
/// the job may have been continued. Returns when it is, or at once where nobody could continue it.
pub(crate) fn stop_job(by: Signal) {
    // Fails only where there is nobody, and we are.
    let _ = killpg(getpgrp(), by);
}
