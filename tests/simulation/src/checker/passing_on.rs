//! Promise 13: a lock is passed on to nobody who is gone. And to nobody whose turn is over, whatever
//! of its own arrives late; nor is one that is lost.

use std::collections::{BTreeMap, BTreeSet};

use super::super::testimony::{
    By, Content, ErrandId, Event, How, Kept, KeyId, Outcome, ProcessId, ServerId, Token, Which,
};
use super::{Facts, Rule};

#[derive(Default)]
pub(super) struct PassingOn {
    /// When they died whose connections were closed then.
    died: BTreeMap<ProcessId, u64>,
    /// Whose turns are over, since its server last started anew.
    over: BTreeMap<Token, (ServerId, KeyId)>,
    /// Those that their holders know to be lost.
    lost: BTreeSet<Token>,
    /// Who entered last with each.
    had: BTreeMap<Token, ErrandId>,
}

impl Rule for PassingOn {
    fn hear(&mut self, facts: &Facts, event: &Event) -> Result<(), String> {
        match event {
            Event::Died {
                process,
                with_machine: false,
            } => {
                self.died.insert(*process, facts.now);
            }
            Event::Left {
                errand,
                how: How::Stopped,
            } => {
                let entered = facts.errands[errand].entered.as_ref();
                self.lost.extend(entered.map(|entered| entered.token));
            }
            Event::Entered { errand, token, .. } => {
                if self.lost.contains(token) {
                    return Err(format!(
                        "errand {errand} is passed {token:?}, which is known to be lost"
                    ));
                }
                self.had.insert(*token, *errand);
            }
            Event::Got {
                errand,
                outcome: Outcome::LostByOthers | Outcome::LostByTime | Outcome::LostByLimit,
                ..
            } => {
                let token = facts.errands[errand].entered.as_ref().map(|it| it.token);
                if let Some(next) = token.and_then(|token| self.had.get(&token))
                    && next != errand
                {
                    return Err(format!(
                        "errand {errand} is told that its lock is lost, and {next} was passed it"
                    ));
                }
            }
            // It remembers nothing of them, or not all.
            Event::Restored { server } => self.over.retain(|_, (at, _)| at != server),
            Event::Changed {
                server,
                by: By::Process(by),
                key,
                which: Which::Lock,
                before,
                after,
            } if facts.locks.len() == 1 => {
                let (was, now) = (lock(*before), lock(*after));
                if let Some((token, owner)) = was
                    && owner == *by
                    && before.is_some_and(|kept| !facts.may_have_ended(*server, &kept))
                    && now.is_none_or(|(now, _)| now != token)
                    // Given back by one who still waits, since its run could not be written down.
                    && (self.had.contains_key(&token) || !waits(facts, *by, *key))
                {
                    self.over.insert(token, (*server, *key));
                }
                if let Some((token, owner)) = now
                    && owner != *by
                    && was != now
                {
                    return self.check(facts, token, owner);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// Whether a caller of the process waits for the key.
fn waits(facts: &Facts, process: ProcessId, key: KeyId) -> bool {
    let mut errands = facts.errands.values();
    errands.any(|errand| errand.process == process && errand.key == key && errand.entered.is_none())
}

impl PassingOn {
    fn check(&self, facts: &Facts, token: Token, to: ProcessId) -> Result<(), String> {
        if let Some(&died) = self.died.get(&to)
            && facts.now > died + 2 * facts.limits.parcel + 1
            // Where a connection was cut before, the server may not know that, and believe that it is heard.
            && facts.troubles.is_empty()
        {
            return Err(format!(
                "a lock is passed on to process {to}, which died at {died}"
            ));
        }
        if self.over.contains_key(&token) {
            return Err(format!(
                "a lock is passed on to {token:?} of process {to}, whose turn is over"
            ));
        }
        Ok(())
    }
}

fn lock(kept: Option<Kept>) -> Option<(Token, ProcessId)> {
    match kept?.content {
        Content::Lock {
            token,
            owner,
            kept: false,
            ..
        } => Some((token, owner)),
        _ => None,
    }
}
