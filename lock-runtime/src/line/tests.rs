//! What the orders of threads in `tests/lines` do not show.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::{Instruction, Lines};

#[test]
fn the_number_of_a_line_that_is_gone_is_not_that_of_another_in_the_next() {
    let lines: Lines<(), (), ()> = Lines::default();
    let tenure = Arc::new(());
    let first = lines.join("k", (), true);
    let late = lines.join("k", (), true);
    lines.acquired("k", &first, Arc::clone(&tenure));
    assert!(lines.pass_on("k", &tenure, |()| true));
    // Lost on the way: the one it was passed on to asks by itself, and the line has ended meanwhile.
    lines.vacate("k", &tenure, None);
    assert!(lines.is_empty());
    let (head, second) = (lines.join("k", (), true), lines.join("k", (), true));
    let tenure = Arc::new(());
    lines.acquired("k", &late, Arc::clone(&tenure));
    lines.vacate("k", &tenure, None);
    assert!(lines.leave("k", &head).is_none());
    let cx = Context::from_waker(Waker::noop());
    let called = Lines::<(), (), ()>::poll_instruction(&second, &cx);
    assert!(matches!(called, Poll::Ready(Instruction::Ask { .. })));
}
