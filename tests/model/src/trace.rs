//! A counterexample, to be read.

use std::fmt::Write;

use stateright::Path;

use crate::config::Line;
use crate::state::{Phase, State};
use crate::steps::Step;

/// One line for each step: what is, and what happens then.
pub(crate) fn trace(line: &Line, path: Path<State, Step>) -> String {
    let mut text = String::new();
    for (state, step) in path.into_vec() {
        let _ = write!(text, "{:?}, line [", state.key);
        for client in state.entries() {
            let seat = &state.seats[client];
            let _ = write!(text, " {client}: score {} stamp {}", seat.score, seat.stamp);
        }
        text.push_str(" ]");
        for client in (0..line.count()).filter(|&client| state.phase(client) != Phase::Absent) {
            let net = &state.nets[client];
            let _ = write!(text, " | {client} {:?}", state.phase(client));
            let under_way = [
                ("look", net.look.is_some()),
                ("late look", net.late_look.is_some()),
                ("answer", net.answer.is_some()),
                ("bell", net.bells[0].is_some()),
                ("watch", net.watch.is_some()),
                ("release", net.release.is_some()),
                ("extension", net.extension.is_some()),
                ("late extension", net.late_extension.is_some()),
            ];
            for (what, _) in under_way.iter().filter(|(_, is)| *is) {
                let _ = write!(text, " {what}");
            }
        }
        match step {
            Some(step) => writeln!(text, "\n  {step:?}"),
            None => writeln!(text),
        }
        .expect("a string takes all");
    }
    text
}
