//! Every transition, and every pair of event and phase that must change nothing.

use std::cell::Cell;

use tokio::runtime::Handle;
use tokio::time::advance;

use super::*;
use crate::error::LockError;
use crate::kind::Kind;
use crate::locker::Locker;
use crate::store::memory::MemoryStore;
use crate::store::{Released, Store as _, StoreError};

const TTL: Duration = Duration::from_secs(10);
const SETTLES: Duration = Duration::from_secs(6);
const SECOND: Duration = Duration::from_secs(1);

fn terms() -> Terms {
    Terms {
        ttl: TTL,
        renew: false,
        max_hold: None,
        min_hold: None,
        max_idle: None,
        recorded: false,
        name: "test",
    }
}

fn renewed() -> Terms {
    Terms {
        renew: true,
        ..terms()
    }
}

fn next() -> Needs {
    Needs {
        fenced: false,
        record: None,
        ttl: TTL,
    }
}

fn wanted(now: Instant) -> Tenure {
    Tenure::new(terms(), now)
}

fn held_by(terms: Terms, now: Instant) -> Tenure {
    let mut tenure = Tenure::new(terms, now);
    let question = tenure.asking(now, SETTLES);
    tenure.answered(question);
    assert!(!matches!(tenure.granted(now, now, None), Begun::Late(_)));
    tenure
}

fn held(now: Instant) -> Tenure {
    held_by(terms(), now)
}

fn releasing(now: Instant) -> Tenure {
    let mut tenure = held(now);
    assert_eq!(tenure.release(), None);
    tenure
}

fn lost(now: Instant) -> Tenure {
    let mut tenure = held(now);
    assert!(tenure.missing(now, LostReason::Deleted).is_err());
    tenure
}

fn ended(now: Instant) -> Tenure {
    let mut tenure = releasing(now);
    let end = tenure.released(now);
    assert_eq!((end.cleanup, end.watched), (None, false));
    tenure
}

fn seated(now: Instant) -> Tenure {
    let mut tenure = wanted(now);
    tenure.seated(now + 10 * SECOND);
    tenure
}

/// One of each phase.
fn each(now: Instant) -> [Tenure; 6] {
    [
        wanted(now),
        seated(now),
        held(now),
        releasing(now),
        lost(now),
        ended(now),
    ]
}

/// What a tenure is, but for its phase.
fn rest_of(tenure: &Tenure) -> String {
    let phase = format!("{:?}", tenure.phase);
    format!("{tenure:?}").replacen(&phase, "", 1)
}

/// Changes nothing in the phases but for those named.
fn changes_only(phases: &[Phase], event: impl Fn(&mut Tenure)) {
    let now = Instant::now();
    for mut tenure in each(now) {
        let before = format!("{tenure:?}");
        let phase = tenure.phase;
        event(&mut tenure);
        let changed = format!("{tenure:?}") != before;
        assert_eq!(changed, phases.contains(&phase), "in {phase:?}");
    }
}

#[test]
fn clocks_may_drift_by_a_hundredth_and_two_milliseconds() {
    let now = Instant::now();
    assert_eq!(deadline(now, TTL), now + Duration::from_millis(9898));
}

#[test]
fn nothing_rests_of_what_has_passed() {
    let now = Instant::now();
    assert_eq!(rest(Some(now + SECOND), now), Some(SECOND));
    assert_eq!(rest(Some(now), now), None);
    assert_eq!(rest(Some(now), now + SECOND), None);
    assert_eq!(rest(None, now), None);
}

#[test]
fn a_grant_begins_the_first_turn() {
    let now = Instant::now();
    let mut tenure = wanted(now);
    let since = now;
    assert_eq!(tenure.granted(now + SECOND, since, Some(7)), Begun::Held);
    assert_eq!(tenure.phase, Phase::Held);
    assert_eq!(tenure.fence(), Some(7));
    assert_eq!(
        tenure.cutoff(),
        since + TTL - drift(TTL),
        "from the sending on"
    );
    assert!(tenure.is_held(now + TTL / 2) && !tenure.is_held(now + TTL));
}

#[test]
fn a_grant_that_comes_after_its_deadline_is_lost() {
    let now = Instant::now();
    let mut tenure = wanted(now);
    let late = Begun::Late(LostReason::Expired);
    assert_eq!(tenure.granted(now + TTL, now, None), late);
    assert_eq!(tenure.phase, Phase::Lost(LostReason::Expired));
    let cleanup = tenure
        .abandon(now + TTL)
        .cleanup
        .expect("its key may be there");
    assert!(!cleanup.had && !cleanup.held);
}

#[test]
fn only_what_is_wanted_is_granted() {
    changes_only(&[Phase::Wanted, Phase::Seated], |tenure| {
        let now = Instant::now();
        let _ = tenure.granted(now, now, Some(1));
    });
    changes_only(&[Phase::Wanted, Phase::Seated], |tenure| {
        let now = Instant::now();
        let _ = tenure.passed(now, now, TERM, Some(1), &next());
    });
    changes_only(&[Phase::Wanted, Phase::Seated], |tenure| {
        tenure.seated(Instant::now() + 99 * SECOND);
    });
}

const TERM: Duration = Duration::from_secs(2);

#[test]
fn what_another_process_passed_on_counts_from_the_look_and_its_turn_from_now() {
    let now = Instant::now();
    let mut tenure = seated(now);
    let heard = now + SECOND;
    let begun = tenure.passed(heard, now, TERM, Some(7), &next());
    assert_eq!(begun, Some(Begun::ToWatch), "it was passed on for less");
    assert_eq!((tenure.phase, tenure.fence()), (Phase::Held, Some(7)));
    assert_eq!(tenure.cutoff(), now + TERM - drift(TERM));
    assert_eq!(tenure.began, heard);
    let at = now + TERM / 4;
    assert_eq!(tenure.next_extension(now), NextExtension::At(at));
    assert_eq!(tenure.extended(heard, TTL, heard), Ok(()));
    let at = heard + TTL / 4;
    assert_eq!(tenure.confirmed, heard + TTL - drift(TTL));
    assert_eq!(tenure.term, TTL);
    tenure.wanted = None;
    assert_eq!(tenure.next_extension(heard), NextExtension::At(at));
    assert!(tenure.pass_on(heard + PASSING_ON / 2, 0, &next()));
}

#[test]
fn what_was_passed_on_with_too_little_left_or_without_a_number_is_asked_for() {
    let now = Instant::now();
    let numbered = Needs {
        fenced: true,
        ..next()
    };
    let late = now + TERM / 4 * 3;
    for (at, fence, needs, begins) in [
        (late, None, next(), false),
        (now + TERM * 2, None, next(), false),
        (now, None, numbered, false),
        (now, Some(1), numbered, true),
        (late - drift(TERM), None, next(), true),
    ] {
        let mut tenure = seated(now);
        let before = format!("{tenure:?}");
        let begun = tenure.passed(at, now, TERM, fence, &needs);
        assert_eq!(begun.is_some(), begins, "{fence:?}");
        assert_eq!(format!("{tenure:?}") != before, begins);
    }
}

#[test]
fn a_bell_that_is_older_than_a_look_that_found_another_begins_nothing() {
    let now = Instant::now();
    let mut tenure = seated(now);
    tenure.found_busy(now + SECOND);
    tenure.found_busy(now);
    let passed = |tenure: &mut Tenure, since| tenure.passed(now, since, TTL, None, &next());
    assert_eq!(passed(&mut tenure, now), None);
    // The look itself has taken the seat that was then passed the lock; its stamp is a whole number
    // of microseconds.
    let stamp = now + SECOND - Duration::from_nanos(999);
    assert!(passed(&mut tenure, stamp).is_some());
}

#[test]
fn only_what_is_not_granted_is_inherited() {
    for (mut tenure, inherits) in [
        (wanted(Instant::now()), true),
        (seated(Instant::now()), true),
        (held(Instant::now()), false),
        (releasing(Instant::now()), false),
    ] {
        tenure.inherit(renewed());
        assert_eq!(tenure.terms.renew, inherits);
    }
    let now = Instant::now();
    assert!(seated(now).is_seated() && !wanted(now).is_seated() && !held(now).is_seated());
}

#[test]
fn a_look_that_is_unanswered_when_the_lock_is_passed_on_leaves_its_doubt() {
    let now = Instant::now();
    let mut tenure = seated(now);
    let _unanswered = tenure.asking(now, SETTLES);
    assert!(tenure.passed(now, now, TERM, None, &next()).is_some());
    assert_eq!(tenure.unsettled(now), Some(now + SETTLES));
    tenure.release();
    let cleanup = tenure.released(now).cleanup.expect("it may come late");
    assert_eq!(cleanup.unsettled_until, Some(now + SETTLES));
}

#[test]
fn a_seat_is_given_back_and_lasts_until_it_would_go_by_itself() {
    let now = Instant::now();
    let mut tenure = seated(now);
    tenure.seated(now + SECOND);
    let cleanup = tenure.abandon(now).cleanup.expect("it has a seat");
    assert_eq!(cleanup.expires, (now + 10 * SECOND).max(now + drift(TTL)));
    assert!(!cleanup.had && !cleanup.held);
}

#[test]
fn it_is_passed_on_for_a_while_only_and_not_before_min_hold() {
    let now = Instant::now();
    assert_eq!(held(now).passing_until(now), Some(now + PASSING_ON));
    assert_eq!(held(now).passing_until(now + PASSING_ON), None);
    assert_eq!(seated(now).passing_until(now), None);
    let kept = |min_hold| {
        let terms = Terms {
            min_hold: Some(min_hold),
            ..terms()
        };
        held_by(terms, now)
    };
    assert_eq!(kept(SECOND).passing_until(now), None);
    // It is kept until the moment from which on it is not passed on.
    let end = now + PASSING_ON;
    assert_eq!(kept(PASSING_ON).passing_until(now), None);
    let shorter = PASSING_ON.saturating_sub(Duration::from_nanos(1));
    assert_eq!(kept(shorter).passing_until(now), Some(end));
    let last = end - Duration::from_nanos(1);
    assert!(kept(shorter).pass_on(last, 0, &next()));
}

#[test]
fn a_key_is_surely_there_up_to_its_deadline_also_while_it_is_released() {
    let now = Instant::now();
    let end = deadline(now, TTL);
    let until = |at| each(now).map(|tenure| tenure.held_until(at));
    let there = [None, None, Some(end), Some(end), None, None];
    assert_eq!(until(now), there);
    assert_eq!(until(end - Duration::from_nanos(1)), there);
    assert_eq!(until(end), [None; 6]);
}

#[test]
fn doubt_is_settled_by_a_clean_answer_to_that_very_command() {
    let now = Instant::now();
    let mut tenure = wanted(now);
    let question = tenure.asking(now, SETTLES);
    assert_eq!(tenure.unsettled(now), Some(now + SETTLES));
    tenure.answered(question);
    assert_eq!(tenure.unsettled(now), None);
    assert!(!tenure.may_have_set());
}

#[test]
fn a_clean_answer_to_the_next_command_leaves_the_doubt_of_the_last() {
    let now = Instant::now();
    let mut tenure = wanted(now);
    let _lost = tenure.asking(now, SETTLES);
    let question = tenure.asking(now + SECOND, SETTLES);
    assert_eq!(tenure.unsettled(now), Some(now + SECOND + SETTLES));
    tenure.answered(question);
    assert_eq!(tenure.unsettled(now), Some(now + SETTLES));
    assert_eq!(tenure.unsettled(now + SETTLES), None, "time settles it");
    assert!(tenure.may_have_set(), "only a script can tell, from now on");
}

#[test]
fn doubt_never_shrinks() {
    let now = Instant::now();
    let mut tenure = wanted(now);
    let _lost = tenure.asking(now, SETTLES);
    let _lost = tenure.asking(now, SECOND);
    assert_eq!(tenure.unsettled(now), Some(now + SETTLES));
}

#[test]
fn nothing_else_settles_doubt() {
    let now = Instant::now();
    for event in [
        (|tenure, now| {
            let _ = tenure.granted(now, now, None);
        }) as fn(&mut Tenure, Instant),
        |tenure, now| {
            let _ = tenure.passed(now, now, TTL, None, &next());
        },
        |tenure, now| tenure.seated(now + TTL),
        |tenure, now| {
            let _ = tenure.accept(now, terms());
        },
        |tenure, now| {
            let _ = tenure.pass_on(now, 0, &next());
        },
        |tenure, now| {
            let _ = tenure.extended(now, TTL, now);
        },
        |tenure, now| {
            let _ = tenure.missing(now, LostReason::Deleted);
        },
        |tenure, now| {
            let _ = tenure.next_extension(now);
        },
        |tenure, _| {
            let _ = tenure.changed();
        },
        |tenure, _| tenure.want_confirmed(),
        |tenure, _| {
            let _ = tenure.release();
        },
        |tenure, now| {
            let _ = tenure.released(now);
        },
        |tenure, now| {
            let _ = tenure.abandon(now);
        },
    ] {
        for mut tenure in each(now) {
            let _lost = tenure.asking(now, SETTLES);
            event(&mut tenure, now);
            assert_eq!(tenure.unsettled(now), Some(now + SETTLES), "{tenure:?}");
        }
    }
}

#[test]
fn doubt_changes_no_phase() {
    let now = Instant::now();
    for mut tenure in each(now) {
        let phase = tenure.phase;
        let question = tenure.asking(now, SETTLES);
        assert_eq!(tenure.phase, phase);
        tenure.answered(question);
        assert_eq!(tenure.phase, phase);
    }
}

#[test]
fn what_was_released_in_doubt_is_released_again() {
    let now = Instant::now();
    let mut tenure = wanted(now);
    let _lost = tenure.asking(now, SETTLES);
    let question = tenure.asking(now, SETTLES);
    tenure.answered(question);
    assert_eq!(tenure.granted(now, now, None), Begun::Held);
    let cleanup = Cleanup {
        unsettled_until: Some(now + SETTLES),
        expires: now + SETTLES + TTL,
        keep_until: None,
        had: false,
        held: false,
    };
    assert_eq!(tenure.release(), None);
    assert_eq!(tenure.released(now).cleanup, Some(cleanup));
    assert_eq!(tenure.phase, Phase::Ended);
}

#[test]
fn each_phase_leaves_what_may_be_in_the_store() {
    let now = Instant::now();
    let cleanups = each(now).map(|mut tenure| {
        let cleanup = tenure.abandon(now).cleanup;
        assert_eq!(tenure.phase, Phase::Ended);
        cleanup.map(|cleanup| (cleanup.had, cleanup.held, cleanup.unsettled_until))
    });
    let [wanted, seated, held, releasing, lost, ended] = cleanups;
    assert_eq!(wanted, None, "nothing was asked");
    assert_eq!(seated, Some((false, false, None)), "the seat");
    assert_eq!(held, Some((true, true, None)));
    assert_eq!(releasing, Some((true, false, None)));
    assert_eq!(lost, None, "the key is not ours");
    assert_eq!(ended, None);
    let held = super::tests::held(now).abandon(now).cleanup;
    assert_eq!(held.expect("its key").expires, now + TTL);
    let are_lost = each(now).map(|tenure| tenure.is_lost());
    assert_eq!(are_lost, [false, false, false, false, true, false]);
    let are_over = each(now).map(|tenure| tenure.is_over());
    assert_eq!(are_over, [false, false, false, false, false, true]);
}

#[test]
fn a_caller_that_leaves_while_it_asks_leaves_a_key_until_shown_otherwise() {
    let now = Instant::now();
    let mut tenure = wanted(now);
    let _unheard = tenure.asking(now, SETTLES);
    let cleanup = tenure.abandon(now).cleanup.expect("it may be granted");
    assert_eq!(cleanup.unsettled_until, Some(now + SETTLES));
    assert_eq!(cleanup.expires, now + SETTLES + TTL);
    assert!(!cleanup.had);
}

#[test]
fn a_command_that_time_has_settled_may_have_set_the_key() {
    let now = Instant::now();
    let mut tenure = wanted(now);
    let _unheard = tenure.asking(now, SETTLES);
    let cleanup = tenure.abandon(now + SETTLES).cleanup;
    let cleanup = cleanup.expect("it may have been granted before");
    assert_eq!(cleanup.unsettled_until, None, "one release will do");
    assert_eq!(cleanup.expires, now + SETTLES + TTL);
}

#[test]
fn a_lock_that_has_expired_leaves_a_key_that_may_still_be_there() {
    let now = Instant::now();
    let mut tenure = held(now);
    assert_eq!(tenure.loss(now + TTL), Some(LostReason::Expired));
    let extended = tenure.extended(now + TTL, TTL, now + TTL);
    assert_eq!(extended, Err(LostReason::Expired), "it brings nothing back");
    assert!(tenure.abandon(now + TTL).cleanup.is_some());
}

#[test]
fn a_release_ends_what_is_held_and_nothing_else() {
    changes_only(&[Phase::Held], |tenure| {
        let _ = tenure.release();
    });
    let now = Instant::now();
    let mut tenure = held_by(
        Terms {
            min_hold: Some(SECOND),
            ..terms()
        },
        now,
    );
    assert_eq!(tenure.release(), Some(now + SECOND));
    assert_eq!(tenure.phase, Phase::Releasing);
    assert!(!tenure.is_held(now), "it is neither extended nor passed on");
}

#[test]
fn a_missing_key_loses_what_is_held_and_nothing_else() {
    changes_only(&[Phase::Held], |tenure| {
        {
            let _ = tenure.missing(Instant::now(), LostReason::TakenOver);
        };
    });
    let now = Instant::now();
    let answers = each(now).map(|mut tenure| tenure.missing(now, LostReason::TakenOver));
    let (taken_over, deleted) = (Err(LostReason::TakenOver), Err(LostReason::Deleted));
    assert_eq!(
        answers,
        [Ok(()), Ok(()), taken_over, Ok(()), deleted, Ok(())]
    );
}

#[test]
fn an_extension_moves_the_deadline_of_what_is_held_and_nothing_else() {
    changes_only(&[Phase::Held], |tenure| {
        let now = Instant::now();
        {
            let _ = tenure.extended(now, 2 * TTL, now);
        };
    });
    let now = Instant::now();
    let mut tenure = held(now);
    let confirmed = tenure.confirmed;
    assert_eq!(tenure.extended(now, TTL / 2, now), Ok(()));
    assert_eq!(tenure.confirmed, confirmed, "it never shortens");
}

#[test]
fn the_deadline_moves_along_only_when_the_holder_wants_it() {
    let now = Instant::now();
    let mut tenure = held(now);
    let wanted = tenure.cutoff();
    assert_eq!(tenure.extended(now, 2 * TTL, now), Ok(()));
    assert_eq!(tenure.cutoff(), wanted, "as for one whose turn is over");
    tenure.want_confirmed();
    assert_eq!(tenure.cutoff(), deadline(now, 2 * TTL));
}

#[test]
fn max_hold_limits_what_is_wanted() {
    let now = Instant::now();
    let terms = Terms {
        max_hold: Some(2 * TTL),
        ..renewed()
    };
    let mut tenure = held_by(terms, now);
    assert_eq!(tenure.extended(now, 3 * TTL, now), Ok(()));
    tenure.want_confirmed();
    assert_eq!(tenure.cutoff(), now + 2 * TTL);
    assert_eq!(tenure.loss(now + 2 * TTL), Some(LostReason::MaxHold));
}

#[test]
fn a_lock_is_passed_on_by_its_holder_while_it_is_young() {
    let now = Instant::now();
    let mut tenure = held(now);
    assert!(tenure.pass_on(now, 0, &next()));
    assert_eq!(tenure.turn(), 1);
    assert!(!tenure.pass_on(now, 0, &next()), "not by a former holder");
    assert_eq!(tenure.accept(now, terms()), Begun::Held);
    assert!(tenure.pass_on(now, 1, &next()));
    assert!(!tenure.pass_on(now + PASSING_ON, 2, &next()), "others wait");
}

/// The number of a turn is the lower part of the fencing token.
#[test]
fn a_lock_with_a_number_is_passed_on_as_often_as_there_are_turns() {
    let now = Instant::now();
    let numbered = |turn| {
        let mut tenure = wanted(now);
        assert_eq!(tenure.granted(now, now, Some(7)), Begun::Held);
        tenure.turn = turn;
        tenure
    };
    let last = FencingToken::TURNS - 1;
    assert!(numbered(0).pass_on(now, 0, &next()));
    assert!(numbered(last - 1).pass_on(now, last - 1, &next()));
    assert!(!numbered(last).pass_on(now, last, &next()));
}

#[test]
fn only_what_is_held_is_passed_on_and_accepted() {
    changes_only(&[Phase::Held], |tenure| {
        tenure.pass_on(Instant::now(), 0, &next());
    });
    changes_only(&[Phase::Held], |tenure| {
        let _ = tenure.accept(Instant::now() + SECOND, renewed());
    });
    let now = Instant::now();
    assert_eq!(
        held(now).accept(now + TTL, terms()),
        Begun::Late(LostReason::Expired)
    );
}

#[test]
fn nothing_is_passed_on_that_the_next_could_not_use() {
    let now = Instant::now();
    let fenced = Needs {
        fenced: true,
        ..next()
    };
    assert!(!held(now).pass_on(now, 0, &fenced), "it has no number");
    let shorter = Needs {
        ttl: TTL / 2,
        ..next()
    };
    assert!(!held(now).pass_on(now, 0, &shorter), "its key would stay");
    let kept = Terms {
        min_hold: Some(SECOND),
        ..terms()
    };
    assert!(!held_by(kept, now).pass_on(now, 0, &next()));
    let later = now + TTL * 4 / 5;
    let mut old = held(now);
    old.began = later;
    assert!(!old.pass_on(later, 0, &next()), "little of it is left");
}

#[test]
fn one_that_was_passed_on_and_not_begun_was_never_had() {
    let now = Instant::now();
    let mut tenure = held(now);
    assert!(tenure.pass_on(now, 0, &next()));
    let cleanup = tenure.abandon(now).cleanup.expect("the key is there");
    assert!(!cleanup.had && !cleanup.held);
}

#[test]
fn the_keeper_watches_what_is_to_be_extended_once() {
    let now = Instant::now();
    let mut tenure = wanted(now);
    tenure.terms = renewed();
    assert_eq!(tenure.granted(now, now, None), Begun::ToWatch);
    assert!(tenure.pass_on(now, 0, &next()));
    assert_eq!(tenure.accept(now, renewed()), Begun::Held, "it is watched");
    let at = now + TTL / 4;
    assert_eq!(tenure.next_extension(now), NextExtension::At(at));
    assert!(tenure.is_due(at) && !tenure.is_due(now));
    assert!(tenure.abandon(now).watched);
    assert_eq!(tenure.next_extension(now), NextExtension::Unwatched);
}

#[test]
fn the_keeper_stops_when_nothing_is_to_be_extended() {
    let now = Instant::now();
    let mut tenure = held_by(renewed(), now);
    assert!(tenure.pass_on(now, 0, &next()));
    assert_eq!(
        tenure.next_extension(now),
        NextExtension::Over,
        "between two holders"
    );
    assert_eq!(tenure.next_extension(now), NextExtension::Unwatched);
    assert_eq!(tenure.accept(now, renewed()), Begun::ToWatch);
    let mut lost = held_by(renewed(), now);
    assert!(lost.missing(now, LostReason::Deleted).is_err());
    assert_eq!(lost.next_extension(now), NextExtension::Over);
    assert!(!lost.abandon(now).watched, "it was counted out");
}

#[test]
fn an_extension_under_way_is_tried_again_beside() {
    let now = Instant::now();
    let mut tenure = held_by(renewed(), now);
    let later = now + TTL / 2;
    assert_eq!(
        tenure.next_extension(later),
        NextExtension::At(now + TTL / 4)
    );
    let sending = tenure.extending(later, SECOND);
    assert_eq!((sending.again, sending.listening), (later + SECOND, false));
    assert!(tenure.is_due(later + SECOND) && !tenure.is_due(now + TTL / 4));
}

/// The second attempt goes another way than the first, until one has succeeded.
#[test]
fn one_that_is_beside_another_does_not_listen() {
    let now = Instant::now();
    let mut tenure = held_by(renewed(), now);
    tenure.listens();
    assert!(tenure.extending(now, SECOND).listening);
    assert!(!tenure.extending(now + SECOND, SECOND).listening);
    assert_eq!(tenure.extended(now + SECOND, TTL, now), Ok(()));
    assert!(tenure.extending(now + SECOND, SECOND).listening);
}

#[test]
fn a_key_that_was_changed_is_looked_at_at_once() {
    let now = Instant::now();
    let mut tenure = held_by(renewed(), now);
    tenure.listens();
    assert_eq!(tenure.next_extension(now), NextExtension::At(now + TTL / 4));
    assert!(tenure.changed());
    assert_eq!(tenure.next_extension(now), NextExtension::At(now));
    // It is in no hurry: an attempt beside it would end what it begins.
    assert_eq!(tenure.extending(now, SECOND).again, now + TTL / 4);
    // Changed once more while it is under way.
    assert!(tenure.changed());
    assert_eq!(tenure.extended(now, TTL, now), Ok(()));
    assert_eq!(tenure.next_extension(now), NextExtension::At(now));
}

#[test]
fn a_key_that_is_listened_to_is_watched_to_the_end() {
    let now = Instant::now();
    let limited = Terms {
        max_hold: Some(TTL / 2),
        ..renewed()
    };
    let mut tenure = held_by(limited, now);
    tenure.due = Some(now);
    tenure.listens();
    assert_eq!(tenure.next_extension(now), NextExtension::At(now + TTL / 2));
    assert!(tenure.changed());
    assert_eq!(tenure.next_extension(now), NextExtension::At(now));
    let end = now + TTL / 2;
    assert_eq!(tenure.next_extension(end), NextExtension::Over);
    assert!(!tenure.changed(), "nobody extends it any more");
}

#[test]
fn the_end_is_the_end() {
    let now = Instant::now();
    let mut tenure = ended(now);
    let before = rest_of(&tenure);
    let _ = tenure.granted(now, now, Some(1));
    let _ = tenure.accept(now, renewed());
    let _ = tenure.pass_on(now, 0, &next());
    let _ = tenure.extended(now, TTL, now);
    let _ = tenure.missing(now, LostReason::Deleted);
    let _ = tenure.next_extension(now);
    let _ = tenure.release();
    let _ = tenure.abandon(now);
    assert_eq!(tenure.phase, Phase::Ended);
    assert_eq!(rest_of(&tenure), before);
}

#[test]
fn a_seat_that_the_store_has_taken_back_leaves_nothing() {
    let now = Instant::now();
    let mut tenure = seated(now);
    tenure.unseated();
    assert!(!tenure.is_seated());
    assert!(tenure.abandon(now).cleanup.is_none());
    changes_only(&[Phase::Seated], Tenure::unseated);
}

#[test]
fn a_run_that_is_recorded_is_not_passed_on_and_tells_how_it_ended() {
    let now = Instant::now();
    let recorded = || {
        let terms = Terms {
            recorded: true,
            ..terms()
        };
        held_by(terms, now)
    };
    assert!(held(now).pass_on(now, 0, &next()));
    assert!(!recorded().pass_on(now, 0, &next()));
    assert!(held(now).passing_until(now).is_some());
    assert_eq!(recorded().passing_until(now), None);
    let wants = Needs {
        record: Some(crate::store::Recording {
            period: None,
            lifetime: TTL,
        }),
        ..next()
    };
    assert!(!held(now).pass_on(now, 0, &wants));
    assert!(seated(now).passed(now, now, TTL, None, &wants).is_none());
    // Its key is gone, and the release goes out for the record's sake.
    for (mut tenure, goes_out) in [(held(now), false), (recorded(), true)] {
        assert!(tenure.missing(now, LostReason::Deleted).is_err());
        assert_eq!(tenure.abandon(now).cleanup.is_some(), goes_out);
    }
}

#[test]
fn a_body_is_idle_from_its_last_move_on_and_what_is_lost_stays_lost() {
    let now = Instant::now();
    let terms = Terms {
        max_idle: Some(3 * SECOND),
        ..renewed()
    };
    let mut tenure = held_by(terms, now);
    assert!(tenure.watches_idleness() && !held(now).watches_idleness());
    let confirmed = tenure.cutoff();
    tenure.moved(now);
    assert_eq!(tenure.cutoff(), now + 3 * SECOND);
    tenure.moved(now + 2 * SECOND);
    assert_eq!(tenure.cutoff(), now + 5 * SECOND);
    let before = now + 5 * SECOND - Duration::from_nanos(1);
    assert_eq!(tenure.loss(before), None);
    assert_eq!(tenure.loss(now + 5 * SECOND), Some(LostReason::Idle));
    tenure.moved(now + 6 * SECOND);
    assert_eq!(tenure.loss(now + 6 * SECOND), Some(LostReason::Idle));
    assert_eq!(tenure.next_extension(now + 6 * SECOND), NextExtension::Over);
    // A machine that slept took its bodies along.
    let mut slept = held_by(terms, now);
    slept.moved(now);
    slept.slept(SECOND);
    assert_eq!(slept.cutoff(), now + 3 * SECOND);
    // Where it is confirmed for less, that ends it.
    let mut longer = held_by(
        Terms {
            max_idle: Some(TTL),
            ..terms
        },
        now,
    );
    longer.moved(now + SECOND);
    assert_eq!(longer.cutoff(), confirmed);
    assert_eq!(longer.loss(confirmed), Some(LostReason::Expired));
}

#[test]
fn what_its_caller_holds_on_to_is_extended_until_its_turn_begins() {
    let now = Instant::now();
    let mut tenure = held(now);
    let quarter = now + TTL / 4;
    assert_eq!(tenure.hold_on(quarter), Begun::ToWatch);
    assert_eq!(tenure.hold_on(quarter), Begun::Held, "it is watched");
    assert_eq!(
        tenure.next_extension(quarter),
        NextExtension::At(quarter),
        "it is due"
    );
    assert_eq!(tenure.extended(quarter, TTL, quarter), Ok(()));
    let had = quarter + SECOND;
    let terms = Terms {
        min_hold: Some(SECOND),
        ..terms()
    };
    assert_eq!(tenure.complete(had, terms), Begun::Held, "it is watched");
    assert_eq!(tenure.keep_until, Some(had + SECOND));
    assert_eq!(
        tenure.wanted,
        Some(deadline(had, TTL)),
        "for a ttl from now"
    );
    assert_eq!(
        tenure.next_extension(had),
        NextExtension::At(quarter + TTL / 4)
    );
}

#[test]
fn what_was_not_held_on_to_keeps_its_deadline_when_its_turn_begins() {
    let now = Instant::now();
    let had = now + SECOND;
    let mut tenure = held(now);
    assert_eq!(tenure.complete(had, terms()), Begun::Held, "not watched");
    assert_eq!(tenure.cutoff(), deadline(now, TTL));
    let limited = Terms {
        max_hold: Some(TTL / 2),
        ..renewed()
    };
    let mut renewed = held(now);
    assert_eq!(renewed.complete(had, limited), Begun::Held);
    assert_eq!(renewed.cutoff(), had + TTL / 2);
    let mut endless = held(now);
    assert_eq!(
        endless.complete(had, super::tests::renewed()),
        Begun::ToWatch
    );
}

#[test]
fn only_what_is_held_is_held_on_to_and_completed() {
    changes_only(&[Phase::Held], |tenure| {
        let _ = tenure.hold_on(Instant::now());
    });
    changes_only(&[Phase::Held], |tenure| {
        let _ = tenure.complete(Instant::now(), renewed());
    });
    let now = Instant::now();
    let late = Begun::Late(LostReason::Expired);
    assert_eq!(held(now).hold_on(now + TTL), late);
    assert_eq!(held(now).complete(now + TTL, terms()), late);
    assert_eq!(
        lost(now).hold_on(now),
        Begun::Late(LostReason::Deleted),
        "it stays lost"
    );
}

fn shared(kind: Kind, tenure: Tenure, now: Instant) -> SharedTenure {
    let common = Locker::in_memory().common();
    let entry = common.entry("k:1", kind, None, None, now, &Handle::current());
    SharedTenure::new(entry, 2, tenure, now, false)
}

/// A look of one who has never listened takes no seat.
#[tokio::test]
async fn the_store_has_to_remember_the_release_of_one_that_has_listened() {
    let (store, now) = (MemoryStore::default(), Instant::now());
    let tenure = shared(Kind::Exclusive, wanted(now), now);
    assert_eq!(tenure.key(), "1");
    assert!(format!("{tenure:?}").contains("k:1"), "{tenure:?}");
    let unsettled = Some(now + SETTLES);
    tenure.listen(|_| None);
    assert_eq!(tenure.looks_until(unsettled), None);
    tenure.listen(|entry| store.listen(entry));
    assert!(tenure.ear().is_some());
    tenure.listen(|_| panic!("it listens already"));
    assert_eq!(tenure.looks_until(unsettled), unsettled);
    assert_eq!(tenure.looks_until(None), None);
    let _ = tenure.tell(|tenure| tenure.abandon(now));
    assert!(tenure.ear().is_none(), "it is over");
    assert_eq!(tenure.looks_until(unsettled), unsettled);
}

#[tokio::test]
async fn changes_of_a_key_are_heard_by_one_who_renews_it_alone() {
    let now = Instant::now();
    for (kind, tenure, hears) in [
        (Kind::Exclusive, held_by(renewed(), now), true),
        (Kind::Shared, held_by(renewed(), now), false),
        (Kind::Exclusive, held(now), false),
        (Kind::Exclusive, Tenure::new(renewed(), now), false),
        (Kind::Permits(2), wanted(now), false),
    ] {
        let asked = Cell::new(false);
        shared(kind, tenure, now).listen_to_key(|_| {
            asked.set(true);
            None
        });
        assert_eq!(asked.get(), hears, "{kind:?}");
    }
}

#[tokio::test]
async fn each_trouble_is_told_once_and_a_loss_says_how_many_extensions_failed() {
    let now = Instant::now();
    let tenure = shared(Kind::Exclusive, held_by(renewed(), now), now);
    assert_eq!(tenure.name(), "test");
    assert_eq!(
        tenure.first_word(|tenure| &mut tenure.reported.failed_extension),
        Some("test")
    );
    assert_eq!(
        tenure.first_word(|tenure| &mut tenure.reported.failed_extension),
        None
    );
    assert!(tenure.count_failed_release());
    assert!(!tenure.count_failed_release());
    let failed = |tenure: &SharedTenure| match tenure.loss(LostReason::Expired) {
        LockError::Lost {
            failed_extensions,
            last_failure,
            ..
        } => (failed_extensions, last_failure.is_some()),
        error => panic!("{error}"),
    };
    assert_eq!(failed(&tenure), (0, false));
    for count in 1..=3 {
        tenure.count_failure(&StoreError::late(SECOND));
        assert_eq!(failed(&tenure), (count, true));
    }
    assert!(!tenure.loss_is_told());
    tenure.tell_loss(LostReason::Expired);
    assert!(tenure.loss_is_told());
    for tell in [
        (|tenure| tenure.count_loss()) as fn(&SharedTenure),
        |tenure| tenure.was_not_there(Released::Gone),
    ] {
        let tenure = shared(Kind::Exclusive, held(now), now);
        tell(&tenure);
        assert!(tenure.loss_is_told());
    }
    // A release that does not find the key has failed, unless that was told before.
    for was_told in [false, true] {
        let tenure = shared(Kind::Exclusive, held(now), now);
        if was_told {
            tenure.tell_loss(LostReason::Deleted);
        }
        tenure.was_not_there(Released::Gone);
        assert_eq!(tenure.count_failed_release(), was_told);
    }
}

#[tokio::test(start_paused = true)]
async fn an_extension_that_fails_is_told_when_half_of_the_ttl_is_over() {
    let now = Instant::now();
    let tenure = shared(Kind::Exclusive, held_by(renewed(), now), now);
    let is_told = || {
        tenure.was_not_extended(&StoreError::late(SECOND));
        tenure.look(|tenure| tenure.reported.failed_extension)
    };
    assert!(!is_told());
    advance((TTL / 2).saturating_sub(drift(TTL))).await;
    assert!(!is_told(), "half of it is left");
    advance(Duration::from_millis(1)).await;
    assert!(is_told());
}

#[tokio::test]
async fn a_key_that_a_release_has_not_found_has_expired_or_somebody_has_taken_it_away() {
    let now = Instant::now();
    let tenure = shared(Kind::Exclusive, held(now), now);
    let end = deadline(now, TTL);
    for (answer, before) in [
        (Released::Gone, LostReason::Deleted),
        (Released::Done, LostReason::Deleted),
        (Released::TakenOver, LostReason::TakenOver),
    ] {
        let why = |at| tenure.why_not_there(answer, at);
        assert_eq!(why(end - Duration::from_nanos(1)), before);
        assert_eq!(why(end), LostReason::Expired);
        assert_eq!(why(end + SECOND), LostReason::Expired);
    }
}
