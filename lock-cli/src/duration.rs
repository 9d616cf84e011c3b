//! Durations as options give them.

use std::time::Duration;

/// No time of a lock is longer, and clocks can count to its end.
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

const LONGEST_ANSWER: Duration = Duration::from_secs(60 * 60);

/// A duration in humantime's form, without its months and years.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    if text.trim().parse::<f64>().is_ok() {
        let number = text.trim();
        return Err(format!(
            "it has no unit; write {number}s, {number}m or {number}h"
        ));
    }
    if !text.contains(|c: char| c.is_ascii_digit()) {
        return Err(
            "it is no duration; write a number and a unit, such as 30s, 1m 30s or 1d".into(),
        );
    }
    let duration = humantime::parse_duration(text)
        .map_err(|error| format!("{error}; write 500ms, 30s or 1m 30s"))?;
    let mut units = text.split(|c: char| !c.is_alphabetic());
    match units.find(|unit| is_of_the_calendar(unit)) {
        Some("M") => Err(format!(
            "M is a month, not a minute; write {}",
            text.replace('M', "m")
        )),
        Some(_) => Err("months and years differ in length; write days, as in 30d".into()),
        None if duration > LONGEST => Err("it is over ten years; give less".into()),
        None => Ok(duration),
    }
}

/// A duration over zero.
pub(crate) fn positive(text: &str) -> Result<Duration, String> {
    let text = if text.trim() == "0" { "0s" } else { text };
    match duration(text)? {
        Duration::ZERO => Err("it is zero; give more".into()),
        more => Ok(more),
    }
}

/// How long an answer may take: the kernel counts such times in milliseconds, up to some days.
pub(crate) fn answer_time(text: &str) -> Result<Duration, String> {
    match positive(text)? {
        long if long > LONGEST_ANSWER => Err("it is over an hour; give less".into()),
        time => Ok(time),
    }
}

fn is_of_the_calendar(unit: &str) -> bool {
    matches!(
        unit,
        "M" | "month" | "months" | "y" | "yr" | "yrs" | "year" | "years"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_that_was_meant_as_a_minute_is_refused() {
        let told = |text: &str| duration(text).expect_err("it is of the calendar");
        assert_eq!(told("1M"), "M is a month, not a minute; write 1m");
        assert_eq!(told("1M 30s"), "M is a month, not a minute; write 1m 30s");
        for unit in ["month", "months", "y", "yr", "yrs", "year", "years"] {
            assert!(told(&format!("1s 2{unit}")).contains("30d"), "{unit}");
        }
        assert_eq!(duration("1m 2h 3w"), Ok(Duration::from_secs(1_821_660)));
    }

    #[test]
    fn a_number_without_a_unit_is_told_which_to_add() {
        let told = duration("5").expect_err("five of what?");
        assert_eq!(told, "it has no unit; write 5s, 5m or 5h");
    }

    #[test]
    fn a_word_is_told_what_a_duration_is() {
        for text in ["daily", "", "* * * * *"] {
            let told = duration(text).expect_err("no number");
            assert!(told.contains("a number and a unit"), "{text}: {told}");
        }
        assert_eq!(positive("0"), Err("it is zero; give more".to_owned()));
    }

    #[test]
    fn what_no_clock_can_count_to_is_refused() {
        assert_eq!(duration("3650d"), Ok(LONGEST));
        for text in ["3650d 1ns", "18446744073709551615s"] {
            assert!(duration(text).is_err(), "{text}");
        }
    }
}
