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

#[test]
fn who_comes_is_told_only_if_it_is_to_ask() {
    let lines: Lines<(), (), ()> = Lines::default();
    let first = lines.join("k", Exclusive, (), true);
    assert!(matches!(told(&first), Some(Instruction::Ask { .. })));
    let second = lines.join("k", Exclusive, (), true);
    assert!(told(&first).is_none() && told(&second).is_none());
    for ticket in [&first, &second] {
        assert!(lines.leave("k", ticket).is_none());
    }
    let holder = lines.join("k", Exclusive, (), true);
    assert!(lines.acquired("k", &holder, Arc::new(()), 64).is_empty());
    let next = lines.join("k", Exclusive, (), true);
    assert!(told(&next).is_none(), "it looks of its own accord");
}

#[test]
fn the_holders_are_seen_whose_kind_is_passed_on() {
    let lines: Lines<u8, (), ()> = Lines::default();
    let see = |ticket: &Ticket<u8>| lines.look_at_holders("k", ticket, |number| Some(*number));
    let holder = lines.join("k", Exclusive, (), true);
    assert!(lines.acquired("k", &holder, Arc::new(1), 64).is_empty());
    let [first, second] = [(); 2].map(|()| lines.join("k", Exclusive, (), true));
    let other = lines.join("k", Permits(2), (), true);
    assert_eq!(see(&first), (vec![1], true));
    assert_eq!(see(&second), (vec![1], false));
    assert_eq!(see(&other), (vec![], false));
    let elsewhere = lines.look_at_holders("elsewhere", &first, |number| Some(*number));
    assert_eq!(elsewhere, (vec![], false));
    let ask = |ticket| {
        let told =
            Lines::<u8, (), ()>::poll_instruction(ticket, &Context::from_waker(Waker::noop()));
        matches!(told, Poll::Ready(Instruction::Ask { .. }))
    };
    assert!(!ask(&first));
    // The holder's time has ended, and it has said nothing.
    let ended = |ticket: &Ticket<u8>| lines.look_at_holders("k", ticket, |_| None::<u8>);
    assert_eq!(ended(&other), (vec![], false));
    assert!(!ask(&first), "it is not the other's to notice");
    assert_eq!(ended(&second), (vec![], false));
    assert!(ask(&first));
    assert_eq!(ended(&second), (vec![], false));
    assert!(!ask(&first), "it was told");
}

#[test]
fn the_first_looks_again_when_there_is_another_holder() {
    let lines: Lines<(), (), ()> = Lines::default();
    let [one, two, three] = [(); 3].map(|()| lines.join("k", Exclusive, (), true));
    assert!(lines.acquired("k", &one, Arc::new(()), 64).is_empty());
    assert!(matches!(told(&two), Some(Instruction::Look)));
    let _ = lines.look_at_holders("k", &two, |()| Some(()));
    // The key of the one was lost.
    assert_eq!(lines.acquired("k", &three, Arc::new(()), 64).len(), 1);
    assert!(matches!(told(&two), Some(Instruction::Look)));
}

#[test]
fn the_first_looks_again_when_one_who_did_not_wait_has_passed_on_its_permit() {
    let (lines, permits): (Lines<(), (), ()>, _) = (Lines::default(), Permits(2));
    let [one, two, three] = [(); 3].map(|()| lines.join("k", permits, (), true));
    let (held, other) = (Arc::new(()), Arc::new(()));
    assert!(lines.acquired("k", &one, Arc::clone(&held), 64).is_empty());
    let _ = lines.look_at_holders("k", &three, |()| Some(()));
    assert!(lines.pass_on("k", (&other, permits), |()| true));
    assert!(matches!(told(&two), Some(Instruction::Take(_))));
    assert!(matches!(told(&three), Some(Instruction::Look)));
    // It sees both now, and a third that comes and goes tells it nothing.
    let (seen, _) = lines.look_at_holders("k", &three, |()| Some(()));
    assert_eq!(seen.len(), 2);
    let last = lines.join("k", permits, (), true);
    let third = Arc::new(());
    assert!(
        lines
            .acquired("k", &last, Arc::clone(&third), 64)
            .is_empty()
    );
    assert!(matches!(told(&three), Some(Instruction::Look)));
    let (seen, _) = lines.look_at_holders("k", &three, |()| Some(()));
    assert_eq!(seen.len(), 3);
    lines.vacate("k", &third, None);
    assert!(told(&three).is_none());
}

#[test]
fn who_has_lost_the_key_to_another_of_its_line_does_not_pass_it_on() {
    let lines: Lines<(), (), ()> = Lines::default();
    let [one, two, _waits] = [(); 3].map(|()| lines.join("k", Exclusive, (), true));
    let (lost, held) = (Arc::new(()), Arc::new(()));
    assert!(lines.acquired("k", &one, Arc::clone(&lost), 64).is_empty());
    assert_eq!(lines.acquired("k", &two, Arc::clone(&held), 64).len(), 1);
    assert!(!lines.pass_on("k", (&lost, Exclusive), |()| true));
    assert!(lines.pass_on("k", (&held, Exclusive), |()| true));
    // Permits do stand beside each other.
    let [one, two, _waits] = [(); 3].map(|()| lines.join("p", Permits(2), (), true));
    for ticket in [&one, &two] {
        let holder = Arc::clone(&held);
        assert!(lines.acquired("p", ticket, holder, 64).is_empty());
    }
    assert!(lines.pass_on("p", (&lost, Permits(2)), |()| true));
}

#[test]
fn the_trouble_of_the_first_is_known_until_one_acquires() {
    let lines: Lines<(), (), u8> = Lines::default();
    lines.set_trouble("k", Some(1));
    assert_eq!(lines.trouble("k"), None, "nobody is there");
    let ticket = lines.join("k", Exclusive, (), true);
    let _waits = lines.join("k", Exclusive, (), true);
    assert_eq!(lines.trouble("k"), None);
    lines.set_trouble("k", Some(2));
    assert_eq!(lines.trouble("k"), Some(2));
    assert_eq!(lines.trouble("elsewhere"), None);
    lines.set_trouble("k", None);
    assert_eq!(lines.trouble("k"), None);
    lines.set_trouble("k", Some(3));
    assert!(lines.acquired("k", &ticket, Arc::new(()), 64).is_empty());
    assert_eq!(lines.trouble("k"), None);
}
