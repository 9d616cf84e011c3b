//! `redis-locked`, the operators' tool: shows, watches and breaks locks, and runs commands under
//! them.
//!
//! `docs/tool.md` is its guide; `redis-locked man DIRECTORY` writes its manual pages.

#[cfg(not(unix))]
compile_error!("redis-locked-cli passes on signals and needs a Unix; the library does not");

mod breaking;
mod connection;
mod duration;
mod exit;
mod forget;
mod glob;
mod holding;
mod last;
mod list;
mod lock;
mod options;
mod pages;
mod records;
mod run;
mod scan;
mod servers;
mod share;
mod show;
mod table;
mod text;
mod usage;
mod waiting;
mod watch;

use std::process::ExitCode;

use clap::Parser as _;

use exit::{Failure, say};
use options::{Cli, Command};

fn main() -> ExitCode {
    let code = Cli::try_parse().map_err(|error| usage::answer(&error));
    let code = code.and_then(|cli| execute(cli.command));
    let code = code.unwrap_or_else(|failure| {
        let message = failure.to_string();
        if !message.is_empty() {
            say(message);
        }
        failure.code
    });
    ExitCode::from(code)
}

fn execute(command: Command) -> Result<u8, Failure> {
    match command {
        Command::Man { directory } => return pages::manual(&directory),
        Command::Completions { shell } => return pages::completions(shell),
        Command::UnderLock(command) => return Err(run::under_lock::become_command(&command)),
        Command::Outlive(signal) => return run::ignored::outlive(&signal),
        _ => {}
    }
    // One thread: what `run` starts must not outlive the thread that started it.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::system("cannot start", error))?;
    runtime.block_on(async {
        match command {
            Command::List(options) => list::list(&options).await,
            Command::Show(options) => show::show(&options).await,
            Command::Watch(options) => watch::watch(&options).await,
            Command::Break(options) => breaking::free(&options).await,
            Command::Forget(options) => forget::forget(&options).await,
            Command::Last(options) => last::last(&options).await,
            Command::Hold(options) => holding::hold(&options).await,
            Command::Unhold(options) => holding::unhold(&options).await,
            Command::Run(options) => run::run(&options).await,
            Command::Man { .. }
            | Command::Completions { .. }
            | Command::UnderLock(_)
            | Command::Outlive(_) => Ok(0),
        }
    })
}
