//! `once_per` and `record`: one success in a period of the server's clock, which is that of the run's
//! beginning. It is written with the release, and nobody writes over what another has begun. Who is told
//! that all is done can count on a success.

use std::collections::BTreeMap;

use super::super::testimony::{
    By, Content, Event, How, Kept, KeyId, LastRun, Noted, Outcome, ProcessId, Record, Run, Token,
    Which,
};
use super::{Facts, Rule};

#[derive(Default)]
pub(super) struct Records {
    now: BTreeMap<KeyId, Noted>,
    /// Of each run that the server has begun: what it is, and what was done before.
    begun: BTreeMap<Token, (Run, Option<u64>)>,
    /// Those that have entered and are to succeed once in so many milliseconds.
    once: BTreeMap<Token, u64>,
    ended: BTreeMap<Token, How>,
    /// The latest period with a success that was written, and not lost since, and whose it was.
    done: BTreeMap<KeyId, (u64, Token)>,
    /// The same, whether lost or not.
    ever: BTreeMap<KeyId, u64>,
}

impl Rule for Records {
    fn hear(&mut self, facts: &Facts, event: &Event) -> Result<(), String> {
        match event {
            Event::Recorded {
                by,
                key,
                before,
                after,
                ..
            } => {
                match after {
                    Some(after) => self.now.insert(*key, *after),
                    None => self.now.remove(key),
                };
                match by {
                    By::Process(process) => self.written(facts, *process, *key, *before, *after),
                    By::Foreigner | By::Loss | By::Time => {
                        self.done.remove(key);
                        Ok(())
                    }
                }
            }
            Event::Entered { errand, token, .. } => {
                let at = &facts.errands[errand];
                match at.terms.once_per {
                    Some(length) => self.entered(*token, at.key, length),
                    None => Ok(()),
                }
            }
            Event::Left { errand, how } => {
                if let Some(entered) = &facts.errands[errand].entered {
                    self.ended.insert(entered.token, *how);
                }
                Ok(())
            }
            Event::Changed {
                by: By::Process(process),
                key,
                which: Which::Lock,
                before,
                after,
                ..
            } => self.given_back(*process, *key, *before, *after),
            Event::Got {
                errand,
                outcome: Outcome::AlreadyDone,
                ..
            } => {
                let at = &facts.errands[errand];
                let length = at.terms.once_per.unwrap_or(u64::MAX);
                // Where the clock was set back since, this is earlier than it was then.
                let asked = facts.server_clocks[0].millis(at.asked);
                match self.ever.get(&at.key) {
                    Some(done) if beginning(*done, length) >= beginning(asked, length) => Ok(()),
                    done => Err(format!(
                        "errand {errand} is told that all is done in the period of {asked}, and the last \
                         success is of {done:?}"
                    )),
                }
            }
            _ => Ok(()),
        }
    }
}

/// Of the period in which this is.
fn beginning(at: u64, length: u64) -> u64 {
    at - at % length
}

impl Records {
    fn entered(&mut self, token: Token, key: KeyId, length: u64) -> Result<(), String> {
        self.once.insert(token, length);
        let Some((run, done_before)) = self.begun.get(&token) else {
            return Err(format!("{token:?} runs, and the server has not begun it"));
        };
        if let Some(done) = done_before
            && beginning(*done, length) >= run.period
        {
            return Err(format!(
                "{token:?} runs in the period {}, and {done} is done",
                run.period
            ));
        }
        if let Some((done, whose)) = self.done.get(&key)
            && *whose != token
            && beginning(*done, length) >= run.period
        {
            return Err(format!(
                "{token:?} runs in the period {}, in which {whose:?} has succeeded",
                run.period
            ));
        }
        Ok(())
    }

    /// By a process, with a script.
    fn written(
        &mut self,
        facts: &Facts,
        process: ProcessId,
        key: KeyId,
        before: Option<Noted>,
        after: Option<Noted>,
    ) -> Result<(), String> {
        let ours = |noted: Option<Noted>| match noted {
            None => Some(Record::default()),
            Some(Noted::Ours(record)) => Some(record),
            Some(Noted::Foreign) => None,
        };
        let Some((before, after)) = ours(before).zip(ours(after)) else {
            return Err("what is in the record's place is not ours, and was changed".to_owned());
        };
        if before.last != after.last {
            self.ended(facts, process, key, &before, &after)?;
        }
        if before.done != after.done {
            self.done(key, &before, &after)?;
        }
        if before.run == after.run {
            return Ok(());
        }
        match after.run {
            Some(run) if !facts.has(0, key, run.token) => {
                Err(format!("a run of {:?} begins without the lock", run.token))
            }
            Some(run) => {
                self.begun.insert(run.token, (run, before.done));
                Ok(())
            }
            None => match before.run {
                Some(run) if run.owner != process => Err(format!(
                    "process {process} ends the run of process {}",
                    run.owner
                )),
                _ => Ok(()),
            },
        }
    }

    fn ended(
        &self,
        facts: &Facts,
        process: ProcessId,
        key: KeyId,
        before: &Record,
        after: &Record,
    ) -> Result<(), String> {
        let Some(last) = after.last else {
            return Err("the last run is forgotten".to_owned());
        };
        if last.owner != process {
            return Err(format!("process {process} writes of a run of another"));
        }
        let Some(run) = before.run else {
            // It was lost with the record. The lock tells that nobody has run since.
            return match self.of(after.last) {
                Some(token) if !facts.has(0, key, token) => Err(format!(
                    "the end of {token:?} is written, which has the lock no more"
                )),
                _ => Ok(()),
            };
        };
        if last.how == How::Ended && run.period > after.done.unwrap_or(0) {
            return Err(format!(
                "{:?} has succeeded, and its period {} is not done",
                run.token, run.period
            ));
        }
        if (run.owner, run.started) != (last.owner, last.started) {
            return Err(format!(
                "the end of what began at {} is written while {:?} runs",
                last.started, run.token
            ));
        }
        let how = self.ended.get(&run.token);
        let is_true = match last.how {
            How::Ended | How::Failed | How::Panicked => how == Some(&last.how),
            // It may have been dropped before it was polled.
            How::Dropped | How::Stopped => {
                matches!(how, None | Some(How::Dropped | How::Stopped))
            }
        };
        if is_true {
            Ok(())
        } else {
            Err(format!(
                "{:?} is written to be {:?}, and was {how:?}",
                run.token, last.how
            ))
        }
    }

    fn done(&mut self, key: KeyId, before: &Record, after: &Record) -> Result<(), String> {
        let done = after.done.unwrap_or(0);
        if before.done.is_some_and(|before| done < before) {
            return Err(format!("{done} is done, and {:?} was before", before.done));
        }
        let how = after.last.map(|last| last.how);
        if how != Some(How::Ended) {
            return Err(format!("{done} is done by a run that was {how:?}"));
        }
        let token = match before.run {
            Some(run) if run.period != done => {
                return Err(format!("{done} is done by a run of {}", run.period));
            }
            Some(run) => run.token,
            None => self.of(after.last).unwrap_or(Token::NONE),
        };
        self.done.insert(key, (done, token));
        let ever = self.ever.entry(key).or_insert(done);
        *ever = done.max(*ever);
        Ok(())
    }

    /// Whose run that was.
    fn of(&self, last: Option<LastRun>) -> Option<Token> {
        let last = last?;
        let mut begun = self.begun.values();
        let is_it = |run: &Run| (run.owner, run.started) == (last.owner, last.started);
        begun.find_map(|(run, _)| is_it(run).then_some(run.token))
    }

    /// A success is written before the lock is given back.
    fn given_back(
        &self,
        process: ProcessId,
        key: KeyId,
        before: Option<Kept>,
        after: Option<Kept>,
    ) -> Result<(), String> {
        let lock = |kept: Option<Kept>| match kept?.content {
            Content::Lock {
                token, owner, kept, ..
            } => Some((token, owner, kept)),
            _ => None,
        };
        let Some((token, owner, false)) = lock(before) else {
            return Ok(());
        };
        let is_over = lock(after).is_none_or(|(now, _, kept)| now != token || kept);
        let has_succeeded = self.ended.get(&token) == Some(&How::Ended);
        if owner != process || !is_over || !has_succeeded || !self.once.contains_key(&token) {
            return Ok(());
        }
        let began = self.begun.get(&token).map(|(run, _)| run.started);
        match self.now.get(&key) {
            Some(Noted::Foreign) => Ok(()),
            Some(Noted::Ours(Record {
                last: Some(last), ..
            })) if Some(last.started) == began && last.how == How::Ended => Ok(()),
            now => Err(format!(
                "{token:?} is given back, and its success is not written: {now:?}"
            )),
        }
    }
}
