//! What a request may want of the record of its run.

use std::time::Duration;

use crate::hold::LONGEST_TIME;
use crate::key::record_key;
use crate::store::{Recording, Store};

const SECOND: Duration = Duration::from_secs(1);
/// For how long a run is recorded where nothing is said.
pub(super) const RECORDED_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// In the longest, a leap year fits.
const LONGEST_PERIOD: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// What is to be recorded, at least for two periods: the next one has to know of the last. An error says
/// what is wrong with it.
pub(super) fn recording(
    once_per: Option<Duration>,
    lifetime: Option<Duration>,
) -> Result<Option<Recording>, String> {
    if let Some(period) = once_per.filter(|period| !(SECOND..=LONGEST_PERIOD).contains(period)) {
        return Err(format!(
            "its once_per is {period:?}; give a period from 1s to 366 days"
        ));
    }
    if let Some(lifetime) = lifetime.filter(|time| !(SECOND..=LONGEST_TIME).contains(time)) {
        return Err(format!(
            "its record is to live for {lifetime:?}; give a time from 1s to ten years"
        ));
    }
    Ok(once_per.or(lifetime).map(|_| {
        let lifetime = lifetime.unwrap_or(RECORDED_FOR);
        Recording {
            period: once_per,
            lifetime: lifetime.max(2 * once_per.unwrap_or_default()),
        }
    }))
}

/// Where it is recorded, for the key with the prefix. An error says why it can't be.
pub(super) fn recording_at(
    key: &str,
    recording: Option<Recording>,
    store: &dyn Store,
) -> Result<Option<(String, Recording)>, String> {
    let Some(recording) = recording else {
        return Ok(None);
    };
    if let Some(reason) = store.refuses_records() {
        return Err(reason.to_owned());
    }
    match record_key(key) {
        Some(record) => Ok(Some((record, recording))),
        None => Err(
            "its braces allow no record in the same cluster slot; leave out the `}`, or put a part of \
             the key between braces"
                .to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::memory::MemoryStore;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    #[test]
    fn a_run_is_recorded_beside_its_key_where_there_may_be_a_record() {
        let store = MemoryStore::default();
        let recording = recording(None, Some(DAY)).expect("fine");
        let at = |key, recording| recording_at(key, recording, &store);
        assert_eq!(at("k", None), Ok(None));
        let (record, of) = at("k", recording).expect("fine").expect("recorded");
        assert_eq!((Some(record), Some(of)), (record_key("k"), recording));
        assert!(at("a}b", recording).expect_err("braces").contains("slot"));
    }

    #[test]
    fn periods_and_lifetimes_have_bounds() {
        let moment = Duration::from_nanos(1);
        for (longest, of) in [
            (
                LONGEST_PERIOD,
                (|time| recording(Some(time), None)) as fn(_) -> _,
            ),
            (LONGEST_TIME, |time| recording(None, Some(time))),
        ] {
            assert!(of(SECOND).is_ok() && of(longest).is_ok());
            assert!(of(SECOND.saturating_sub(moment)).is_err());
            assert!(of(longest + moment).is_err());
        }
        assert_eq!(LONGEST_PERIOD, 366 * DAY);
        assert_eq!(RECORDED_FOR, 30 * DAY);
    }

    #[test]
    fn a_record_lives_for_two_periods_at_least() {
        let recorded = |once_per, lifetime| recording(once_per, lifetime).expect("fine");
        assert_eq!(recorded(None, None), None);
        let lives = |once_per, lifetime| recorded(once_per, lifetime).expect("recorded").lifetime;
        assert_eq!(lives(None, Some(DAY)), DAY);
        assert_eq!(lives(Some(DAY), None), RECORDED_FOR);
        assert_eq!(lives(Some(DAY), Some(SECOND)), 2 * DAY);
        assert_eq!(lives(Some(DAY * 30), None), DAY * 60);
        assert_eq!(
            recorded(Some(DAY), None).expect("recorded").period,
            Some(DAY)
        );
    }
}
