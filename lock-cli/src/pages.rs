//! Manual pages and shell completions, made from the command line's own description.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use clap::{Command, CommandFactory as _};
use clap_mangen::Man;

use crate::exit::Failure;
use crate::options::Cli;

/// One page for the tool and one for each command.
pub(crate) fn manual(directory: &Path) -> Result<u8, Failure> {
    fs::create_dir_all(directory)?;
    let mut tool = Cli::command().disable_help_subcommand(true);
    tool.build();
    pages(&tool, directory)?;
    Ok(0)
}

fn pages(command: &Command, directory: &Path) -> io::Result<()> {
    for command in command.get_subcommands() {
        if !command.is_hide_set() {
            pages(command, directory)?;
        }
    }
    let page = Man::new(command.clone());
    let mut file = File::create(directory.join(page.get_filename()))?;
    page.render_title(&mut file)?;
    page.render_name_section(&mut file)?;
    // What stands there by default has neither values nor the `--` before a command.
    let usage = command.clone().render_usage().to_string();
    let usage = usage.strip_prefix("Usage: ").unwrap_or(&usage);
    let usage = usage.replace('\\', "\\\\").replace('-', "\\-");
    writeln!(file, ".SH SYNOPSIS\n{}", usage.trim())?;
    page.render_description_section(&mut file)?;
    page.render_options_section(&mut file)?;
    if command
        .get_subcommands()
        .any(|command| !command.is_hide_set())
    {
        page.render_subcommands_section(&mut file)?;
    }
    if command.get_after_long_help().is_some() {
        page.render_extra_section(&mut file)?;
    }
    file.flush()
}

/// The completions of a shell, whole before anything is written: the reader may have gone.
pub(crate) fn completions(shell: clap_complete::Shell) -> Result<u8, Failure> {
    let mut command = Cli::command();
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut command, "redis-locked", &mut text);
    io::stdout().lock().write_all(&text)?;
    Ok(0)
}
