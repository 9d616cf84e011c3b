//! Looks, keys and the clock: what makes the screen change.

use std::time::Duration;

use nix::sys::signal::Signal;
use ratatui::crossterm::event::{self, Event, KeyEventKind};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::view::View;
use super::{Eye, screen};
use crate::exit::Failure;
use crate::lock::Lock;
use crate::options::Watch;
use crate::run::signals::listen;

/// How often the times left are drawn anew.
const TICK: Duration = Duration::from_millis(200);

pub(crate) async fn interact(
    eye: Eye<'_>,
    first: Vec<Lock>,
    options: &Watch,
) -> Result<u8, Failure> {
    let mut view = View::new(options, eye.servers.title.clone(), first);
    let (mut end, mut hangup) = (listen(Signal::SIGTERM)?, listen(Signal::SIGHUP)?);
    let mut terminal = ratatui::try_init().map_err(|error| no_terminal(&error))?;
    let restored = Restored;
    let mut keys = keys();
    let mut looking = Box::pin(look(eye, options.interval));
    loop {
        terminal.draw(|frame| screen::draw(frame, &mut view))?;
        tokio::select! {
            biased;
            _ = end.recv() => break,
            _ = hangup.recv() => break,
            event = keys.recv() => match event {
                Some(Event::Key(key)) if key.kind != KeyEventKind::Release => {
                    if !view.press(key) {
                        break;
                    }
                }
                Some(_) => {}
                None => break,
            },
            (eye, answer) = &mut looking => {
                match answer {
                    Ok(locks) => {
                        view.changes.see(locks, Instant::now());
                        view.trouble = None;
                    }
                    Err(failure) => view.trouble = Some(failure.to_string()),
                }
                looking = Box::pin(look(eye, options.interval));
            }
            () = sleep(TICK) => {}
        }
    }
    drop(restored);
    Ok(0)
}

/// The pause counts from the last answer, so that slow servers are not asked all the time.
async fn look(mut eye: Eye<'_>, pause: Duration) -> (Eye<'_>, Result<Vec<Lock>, Failure>) {
    sleep(pause).await;
    let answer = eye.look().await;
    (eye, answer)
}

/// Gives the terminal back as it was, whatever happens.
struct Restored;

impl Drop for Restored {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Keys, read by a thread that ends with the process.
fn keys() -> mpsc::Receiver<Event> {
    let (sender, events) = mpsc::channel(16);
    std::thread::spawn(move || {
        while let Ok(event) = event::read() {
            if sender.blocking_send(event).is_err() {
                return;
            }
        }
    });
    events
}

fn no_terminal(error: &std::io::Error) -> Failure {
    Failure::usage(format_args!(
        "there is no terminal to draw on ({error}); `watch --json` and `list` need none"
    ))
}
