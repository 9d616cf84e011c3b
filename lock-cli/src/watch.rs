//! `watch`: the locks live.

mod changes;
mod events;
mod screen;
mod view;

use std::io::Write as _;

use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::exit::Failure;
use crate::lock::Lock;
use crate::options::Watch;
use crate::scan::{self, Search};
use crate::servers::{Nodes, Servers};
use changes::Changes;

pub(crate) async fn watch(options: &Watch) -> Result<u8, Failure> {
    let mut eye = Eye::new(options)?;
    if options.json {
        return write_changes(&mut eye, options).await;
    }
    // Before the screen is taken: what is wrong from the start is told in the usual way.
    let first = eye.look().await?;
    events::interact(eye, first, options).await
}

/// Looks at the servers, and connects to them anew when they did not answer.
struct Eye<'a> {
    options: &'a Watch,
    servers: Servers,
    nodes: Option<Nodes>,
}

impl<'a> Eye<'a> {
    fn new(options: &'a Watch) -> Result<Self, Failure> {
        Ok(Self {
            options,
            servers: options.connection.servers()?,
            nodes: None,
        })
    }

    async fn look(&mut self) -> Result<Vec<Lock>, Failure> {
        let mut nodes = match self.nodes.take() {
            // A server of the quorum that was missing may be back.
            Some(nodes) if nodes.quorum.is_none_or(|of| of == nodes.nodes.len()) => nodes,
            _ => self.servers.connect().await?,
        };
        let search = Search {
            prefix: &self.options.connection.prefix,
            pattern: &self.options.choice.pattern,
            foreign: self.options.choice.foreign,
        };
        let locks = scan::all(&mut nodes, search).await?;
        // After a failure, all are connected to anew: masters may have changed.
        self.nodes = Some(nodes);
        Ok(locks)
    }
}

/// One line of JSON for each change, until the reader has gone.
async fn write_changes(eye: &mut Eye<'_>, options: &Watch) -> Result<u8, Failure> {
    let mut changes = Changes::default();
    loop {
        match eye.look().await {
            Ok(locks) => {
                changes.see(locks, Instant::now());
                let mut out = std::io::stdout().lock();
                for (mark, lock) in changes.fresh() {
                    let line = json!({ "change": mark.name(), "lock": lock });
                    writeln!(out, "{line}")?;
                }
                out.flush()?;
            }
            Err(failure) => crate::exit::say(failure),
        }
        sleep(options.interval).await;
    }
}
