//! What the orders of threads in `tests/lines` do not show.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::kind::Kind::{self, Exclusive, Permits, Shared};
use super::{Before, Instruction, Lines, Ticket};

#[test]
fn the_number_of_a_line_that_is_gone_is_not_that_of_another_in_the_next() {
    let lines: Lines<(), (), ()> = Lines::default();
    let tenure = Arc::new(());
    let first = lines.join("k", Exclusive, (), true);
    let late = lines.join("k", Exclusive, (), true);
    let former = lines.acquired("k", &first, Arc::clone(&tenure), 64);
    assert!(former.is_empty());
    assert!(lines.pass_on("k", (&tenure, Exclusive), |()| true));
    // Lost on the way: the one it was passed on to asks by itself, and the line has ended meanwhile.
    lines.vacate("k", &tenure, None);
    assert!(lines.is_empty());
    let (head, second) = (
        lines.join("k", Exclusive, (), true),
        lines.join("k", Exclusive, (), true),
    );
    let tenure = Arc::new(());
    assert!(
        lines
            .acquired("k", &late, Arc::clone(&tenure), 64)
            .is_empty()
    );
    lines.vacate("k", &tenure, None);
    assert!(lines.leave("k", &head).is_none());
    let cx = Context::from_waker(Waker::noop());
    let called = Lines::<(), (), ()>::poll_instruction(&second, &cx);
    assert!(matches!(called, Poll::Ready(Instruction::Ask { .. })));
}

fn told(ticket: &Ticket<()>) -> Option<Instruction<()>> {
    let cx = Context::from_waker(Waker::noop());
    match Lines::<(), (), ()>::poll_instruction(ticket, &cx) {
        Poll::Ready(told) => Some(told),
        Poll::Pending => None,
    }
}

#[test]
fn one_that_may_have_to_go_itself_is_nobody_to_count_on() {
    let lines: Lines<(), (), ()> = Lines::default();
    let asking = lines.join("k", Exclusive, (), false);
    assert_eq!(lines.before("k", &asking), Before::Nobody);
    let behind = lines.join("k", Exclusive, (), false);
    assert_eq!(lines.before("k", &behind), Before::Undecided);
    assert!(told(&behind).is_none());
    lines.stays("k", &asking);
    assert!(matches!(told(&behind), Some(Instruction::Look)));
    assert_eq!(lines.before("k", &behind), Before::Waiting(1));
    let third = lines.join("k", Exclusive, (), true);
    let last = lines.join("k", Exclusive, (), false);
    assert_eq!(lines.before("k", &last), Before::Waiting(2));
    assert_eq!(lines.before("elsewhere", &last), Before::Nobody);
    for ticket in [&asking, &behind, &third] {
        assert!(lines.leave("k", ticket).is_none());
    }
    assert_eq!(lines.before("k", &last), Before::Nobody);
    assert!(matches!(told(&last), Some(Instruction::Ask { .. })));
}

#[test]
fn what_the_first_leaves_is_for_the_next_to_whom_it_is_of_use() {
    let lines: Lines<u8, bool, ()> = Lines::default();
    let (seat, other) = (Arc::new(1), Arc::new(2));
    let first = lines.join("k", Exclusive, true, true);
    assert!(
        !lines.bequeath("k", (&seat, Exclusive), |_| true),
        "nobody is there"
    );
    let next = lines.join("k", Exclusive, true, true);
    assert!(!lines.bequeath("k", (&seat, Exclusive), |has_a_use| !has_a_use));
    assert!(lines.bequeath("k", (&seat, Exclusive), |has_a_use| *has_a_use));
    assert!(
        !lines.bequeath("k", (&other, Exclusive), |_| true),
        "it has one"
    );
    assert_eq!(Lines::<u8, bool, ()>::legacy(&first), None);
    assert_eq!(Lines::<u8, bool, ()>::legacy(&next), Some(seat));
    assert_eq!(Lines::<u8, bool, ()>::legacy(&next), None);
    assert!(!lines.bequeath("elsewhere", (&other, Exclusive), |_| true));
}

/// What the first is told that wants this, where callers of its line hold these.
fn told_first(wants: Kind, held: &[Kind]) -> Option<Instruction<()>> {
    let lines: Lines<(), (), ()> = Lines::default();
    let holders: Vec<_> = held
        .iter()
        .map(|kind| lines.join("k", *kind, (), true))
        .collect();
    let first = lines.join("k", wants, (), true);
    for holder in &holders {
        assert!(lines.acquired("k", holder, Arc::new(()), 64).is_empty());
    }
    told(&first)
}

#[test]
fn the_first_asks_unless_what_it_wants_will_be_passed_on_to_it() {
    let asks = |wants, held: &[Kind]| match told_first(wants, held) {
        Some(Instruction::Ask { .. }) => true,
        Some(Instruction::Look) => false,
        _ => panic!("{wants:?} was told nothing, {held:?}"),
    };
    for wants in [Exclusive, Permits(2), Shared] {
        assert!(asks(wants, &[]), "{wants:?}");
    }
    assert!(!asks(Exclusive, &[Exclusive]));
    assert!(asks(Exclusive, &[Permits(2), Permits(2)]));
    assert!(asks(Exclusive, &[Shared, Shared]));
    assert!(!asks(Permits(2), &[Permits(2), Permits(2)]));
    assert!(!asks(Permits(2), &[Permits(2), Permits(3), Permits(2)]));
    assert!(asks(Permits(2), &[Permits(2)]));
    assert!(asks(Permits(2), &[Permits(2), Permits(3)]));
    assert!(asks(Permits(2), &[Exclusive]));
    assert!(asks(Shared, &[Exclusive]));
    assert!(asks(Shared, &[Shared]));
}

#[test]
fn a_permit_is_passed_on_to_one_of_the_same_number_and_a_shared_place_to_nobody() {
    let (all, held) = ([Exclusive, Permits(2), Permits(3), Shared], Arc::new(()));
    for holds in all {
        for wants in all {
            let lines: Lines<(), (), ()> = Lines::default();
            let first = lines.join("k", wants, (), true);
            let is_passed_on = lines.pass_on("k", (&held, holds), |()| true);
            assert_eq!(
                is_passed_on,
                holds == wants && wants != Shared,
                "{holds:?}, {wants:?}"
            );
            let took = matches!(told(&first), Some(Instruction::Take(_)));
            assert_eq!(took, is_passed_on);
        }
    }
}

#[test]
fn who_has_had_a_place_has_lost_it_when_the_whole_key_is_granted() {
    let lines: Lines<u8, (), ()> = Lines::default();
    let [one, two, three] =
        [Permits(2), Permits(3), Exclusive].map(|kind| lines.join("k", kind, (), true));
    assert!(lines.acquired("k", &one, Arc::new(1), 64).is_empty());
    assert!(lines.acquired("k", &two, Arc::new(2), 64).is_empty());
    let mut lost = lines.acquired("k", &three, Arc::new(3), 64);
    lost.sort_unstable();
    assert_eq!(lost, [Arc::new(1), Arc::new(2)]);
    lines.vacate("k", &lost[0], None);
    assert!(!lines.is_empty(), "it is held");
}

#[test]
fn those_who_share_ask_side_by_side_up_to_one_who_does_not() {
    let lines: Lines<(), (), ()> = Lines::default();
    let join = |kind| lines.join("k", kind, (), true);
    let readers: Vec<_> = (0..5).map(|_| join(Shared)).collect();
    let (writer, last) = (join(Exclusive), join(Shared));
    let asks = |ticket: &Ticket<()>| matches!(told(ticket), Some(Instruction::Ask { .. }));
    assert!(asks(&readers[0]));
    assert!(!asks(&readers[1]), "the first may have to wait");
    assert!(lines.acquired("k", &readers[0], Arc::new(()), 3).is_empty());
    let called: Vec<_> = readers[1..].iter().map(asks).collect();
    assert_eq!(called, [true, true, true, false]);
    assert!(lines.acquired("k", &readers[2], Arc::new(()), 3).is_empty());
    assert!(!asks(&readers[1]), "it asks already");
    assert!(asks(&readers[4]) && !asks(&writer) && !asks(&last));
    for reader in [&readers[1], &readers[3], &readers[4]] {
        assert!(lines.acquired("k", reader, Arc::new(()), 3).is_empty());
    }
    assert!(asks(&writer) && !asks(&last));
}
