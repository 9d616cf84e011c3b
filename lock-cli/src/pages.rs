//! Manual pages and shell completions, made from the command line's own description.

use std::fs;
use std::path::Path;

use clap::CommandFactory as _;

use crate::exit::Failure;
use crate::options::Cli;

/// One page for the tool and one for each command.
pub(crate) fn manual(directory: &Path) -> Result<u8, Failure> {
    fs::create_dir_all(directory)?;
    clap_mangen::generate_to(Cli::command(), directory)?;
    Ok(0)
}

pub(crate) fn completions(shell: clap_complete::Shell) -> u8 {
    let mut command = Cli::command();
    clap_complete::generate(shell, &mut command, "redis-locked", &mut std::io::stdout());
    0
}
