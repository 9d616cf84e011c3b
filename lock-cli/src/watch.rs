//! `watch`: the locks live.

mod changes;
mod events;
mod screen;
mod view;

use std::io::Write as _;
use std::time::SystemTime;

use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::exit::Failure;
use crate::lock::Lock;
use crate::options::Watch;
use crate::scan::{self, Search};
use crate::servers::{Nodes, Servers};
use changes::{Changes, Mark};

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
        let mut locks = scan::all(&mut nodes, search).await?;
        self.options.choice.of_owner(&mut locks);
        // After a failure, all are connected to anew: masters may have changed.
        self.nodes = Some(nodes);
        Ok(locks)
    }
}

/// Lines of JSON, until the reader has gone: first all locks that are held, then each change, and each
/// time of trouble.
async fn write_changes(eye: &mut Eye<'_>, options: &Watch) -> Result<u8, Failure> {
    let mut changes = Changes::default();
    let mut last_trouble = None;
    loop {
        let answer = eye.look().await;
        let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        let mut lines = Vec::new();
        match answer {
            Ok(locks) => {
                if changes.last().is_none() {
                    lines.push(json!({ "time": time, "snapshot": locks }));
                    changes.see(locks, Instant::now());
                } else {
                    changes.see(locks, Instant::now());
                    let change = |(mark, lock): &(Mark, Lock)| json!({ "time": time, "change": mark.name(), "lock": lock });
                    lines.extend(changes.fresh().iter().map(change));
                }
                last_trouble = None;
            }
            Err(failure) => {
                let trouble = Some(failure.to_string());
                // Once, for as long as it lasts.
                if trouble != last_trouble {
                    lines.push(json!({ "time": time, "trouble": trouble }));
                }
                last_trouble = trouble;
            }
        }
        let mut out = std::io::stdout().lock();
        for line in lines {
            writeln!(out, "{line}")?;
        }
        out.flush()?;
        drop(out);
        sleep(options.interval).await;
    }
}
