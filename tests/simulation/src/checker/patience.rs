//! Promise 11: what passes is outlasted.

use super::super::testimony::{Event, Outcome, Patience};
use super::facts::Errand;
use super::{COALESCE, Facts, Rule};

/// Below, a few round trips are a large part of the ttl.
const LONG_TTL: u64 = 1_000;

/// For so long, a lock is passed on to one who waits in line (`seats.rs`). Who loses it by time before that
/// is over, or while it waits for other keys, may never have had it extended.
const RESERVED: u64 = 2_000;

pub(super) struct PatienceKept;

impl Rule for PatienceKept {
    fn hear(&mut self, facts: &Facts, event: &Event) -> Result<(), String> {
        let Event::Got {
            errand,
            outcome,
            local,
        } = event
        else {
            return Ok(());
        };
        let at = &facts.errands[errand];
        let waited = local.saturating_sub(at.asked_local);
        match (outcome, at.terms.patience) {
            // It leaves the work to another.
            (Outcome::Busy { .. }, _) if at.terms.kind == COALESCE => Ok(()),
            (Outcome::Backend, _) if facts.may_not_be_recorded(at) => Ok(()),
            (Outcome::Busy { .. } | Outcome::Backend, Patience::Wait(limit))
                if at.entered.is_none() && waited < limit =>
            {
                Err(format!(
                    "errand {errand} gave up after {waited} ms of a wait of {limit} ms"
                ))
            }
            (Outcome::Busy { .. } | Outcome::Backend, Patience::Forever)
                if at.entered.is_none() =>
            {
                Err(format!("errand {errand} gave up, though it waits forever"))
            }
            (Outcome::LostByTime, _) if is_renewed(at) && at.terms.ttl >= LONG_TTL => {
                // It outlasts a break of two thirds of the ttl, less what it takes to connect anew.
                let ttl = match &at.entered {
                    Some(entered) if facts.now > entered.at + RESERVED => at.terms.ttl,
                    _ => at.terms.ttl.min(RESERVED),
                };
                let from = facts.now.saturating_sub(ttl + ttl / 10);
                let troubled = facts.troubled(from, facts.now, facts.limits.operation);
                if troubled < ttl / 2 {
                    return Err(format!(
                        "errand {errand} was renewed and is lost, though only {troubled} ms of the \
                         last {ttl} ms were troubled"
                    ));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

/// Keys that are had are held on to while others are asked for.
fn is_renewed(errand: &Errand) -> bool {
    errand.terms.renew || errand.array.is_some() && errand.entered.is_none()
}
