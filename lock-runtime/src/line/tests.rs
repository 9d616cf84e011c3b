//! What the orders of threads in `tests/lines` do not show.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::{Before, Instruction, Lines, Ticket};

#[test]
fn the_number_of_a_line_that_is_gone_is_not_that_of_another_in_the_next() {
    let lines: Lines<(), (), ()> = Lines::default();
    let tenure = Arc::new(());
    let first = lines.join("k", (), true);
    let late = lines.join("k", (), true);
    let former = lines.acquired("k", &first, Arc::clone(&tenure));
    assert!(former.is_none());
    assert!(lines.pass_on("k", &tenure, |()| true));
    // Lost on the way: the one it was passed on to asks by itself, and the line has ended meanwhile.
    lines.vacate("k", &tenure, None);
    assert!(lines.is_empty());
    let (head, second) = (lines.join("k", (), true), lines.join("k", (), true));
    let tenure = Arc::new(());
    assert!(lines.acquired("k", &late, Arc::clone(&tenure)).is_none());
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
    let asking = lines.join("k", (), false);
    assert_eq!(lines.before("k", &asking), Before::Nobody);
    let behind = lines.join("k", (), false);
    assert_eq!(lines.before("k", &behind), Before::Undecided);
    assert!(told(&behind).is_none());
    lines.stays("k", &asking);
    assert!(matches!(told(&behind), Some(Instruction::Look)));
    assert_eq!(lines.before("k", &behind), Before::Waiting(1));
    let third = lines.join("k", (), true);
    let last = lines.join("k", (), false);
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
    let first = lines.join("k", true, true);
    assert!(!lines.bequeath("k", &seat, |_| true), "nobody is there");
    let next = lines.join("k", true, true);
    assert!(!lines.bequeath("k", &seat, |has_a_use| !has_a_use));
    assert!(lines.bequeath("k", &seat, |has_a_use| *has_a_use));
    assert!(!lines.bequeath("k", &other, |_| true), "it has one");
    assert_eq!(Lines::<u8, bool, ()>::legacy(&first), None);
    assert_eq!(Lines::<u8, bool, ()>::legacy(&next), Some(seat));
    assert_eq!(Lines::<u8, bool, ()>::legacy(&next), None);
    assert!(!lines.bequeath("elsewhere", &other, |_| true));
}
