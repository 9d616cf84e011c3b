//! Promises 1, 6 and 7, as the caller sees them: it gets what became of its body.

use super::super::testimony::{Event, Outcome, Patience};
use super::{Facts, Rule};

pub(super) struct Results;

impl Rule for Results {
    fn hear(&mut self, facts: &Facts, event: &Event) -> Result<(), String> {
        let Event::Got {
            errand, outcome, ..
        } = event
        else {
            return Ok(());
        };
        let at = &facts.errands[errand];
        let entered = at.entered.as_ref();
        let has_ended = entered.is_some_and(|entered| entered.has_ended);
        if entered.is_some_and(|entered| entered.is_inside) {
            return Err(format!("errand {errand} is over, and its body is not"));
        }
        match outcome {
            Outcome::Ran(result) if !has_ended || result != errand => Err(format!(
                "the caller of errand {errand} got {result}, which its body has not returned"
            )),
            Outcome::Busy { attempts } if entered.is_some() => Err(format!(
                "errand {errand} ran, and its caller hears that it is busy after {attempts} attempts"
            )),
            Outcome::Busy { attempts } => match at.terms.patience {
                Patience::Retries(retries) if *attempts != retries + 1 => Err(format!(
                    "errand {errand} was to make {retries} retries, and made {attempts} attempts"
                )),
                _ => Ok(()),
            },
            Outcome::LostByTime | Outcome::LostByOthers | Outcome::LostByLimit if has_ended => {
                Err(format!("the result of errand {errand} is masked by a loss"))
            }
            Outcome::NotHeld => match entered {
                Some(entered) if facts.was_released(at.key, entered.token) => Err(format!(
                    "errand {errand} was told that it holds nothing, and its release was carried out"
                )),
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }
}
