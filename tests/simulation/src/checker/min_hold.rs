//! `min_hold`: whoever gives a lock back before its time leaves the key there for the rest.

use std::collections::BTreeMap;

use super::super::testimony::{By, Content, Event, Kept, ProcessId, Token, Which};
use super::{Facts, Rule};

/// What a process and a server may count differently in a hundred, and what is rounded.
const DRIFT: u64 = 2;
const GRAIN: u64 = 5;

#[derive(Default)]
pub(super) struct MinHold {
    /// Until when the key with this token has to stay, at least, by its process's clock: the holder's
    /// time began no earlier than it was asked for.
    stays: BTreeMap<Token, (ProcessId, u64)>,
}

impl Rule for MinHold {
    fn hear(&mut self, facts: &Facts, event: &Event) -> Result<(), String> {
        match event {
            Event::Entered { errand, token, .. } => {
                let errand = &facts.errands[errand];
                // Who comes next in the process has another wish, or none.
                if let Some((process, until)) = self.stays.remove(token) {
                    let now = facts.local(process);
                    if now + GRAIN < until {
                        return Err(format!("{token:?} is passed on at {now}, within min_hold"));
                    }
                }
                if let Some(min_hold) = errand.terms.min_hold {
                    let until = errand.asked_local + min_hold;
                    self.stays.insert(*token, (errand.process, until));
                }
                Ok(())
            }
            Event::Changed {
                server,
                by: By::Process(_),
                which: Which::Lock,
                before,
                after,
                ..
            } => {
                let Some(token) = token_of(*before) else {
                    return Ok(());
                };
                // What was lost comes again where it is passed on to one that a restored line still has.
                if facts.was_taken(*server, token) {
                    return Ok(());
                }
                let Some((process, until)) = self.stays.get(&token) else {
                    return Ok(());
                };
                let left = until.saturating_sub(facts.local(*process));
                let stays = match after {
                    None => 0,
                    Some(Kept {
                        content: Content::Lock { kept: true, .. },
                        expires: Some(expires),
                    }) => expires.saturating_sub(facts.server_clocks[*server].millis(facts.now)),
                    // Passed on.
                    Some(_) if token_of(*after) != Some(token) => 0,
                    Some(_) => return Ok(()),
                };
                let least = left * (100 - DRIFT) / 100;
                if stays + GRAIN < least {
                    return Err(format!(
                        "server {server} keeps {token:?} for {stays} ms, and min_hold has {least} left"
                    ));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Of a lock that was not given back.
fn token_of(kept: Option<Kept>) -> Option<Token> {
    match kept?.content {
        Content::Lock {
            token, kept: false, ..
        } => Some(token),
        _ => None,
    }
}
