//! The model as the checker sees it.

use stateright::{Model, Property};

use crate::config::Line;
use crate::judge::{Promise, Seen};
use crate::state::{Net, State};
use crate::steps::Step;

impl Model for Line {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let mut state = State::new(self);
        for client in 0..self.there {
            state.take(self, Step::Come(client));
            state.take(self, Step::ServeLook(client));
            state.take(self, Step::HearAnswer(client));
            if state.nets[client].watch.is_some() {
                state.take(self, Step::ServeWatch(client));
            }
        }
        for &(dead, how) in &self.dead {
            state.die(self, self.process(dead), how);
            state.nets[dead] = Net::default();
        }
        vec![state]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        if state.judge.broken != 0 {
            return;
        }
        for client in 0..self.count() {
            state.client_steps(self, client, steps);
        }
        for process in 0..self.count() {
            state.process_steps(self, process, steps);
        }
        state.world_steps(steps);
        if state.may_tick(self) {
            steps.push(Step::Tick);
        }
        if steps.is_empty() {
            self.see(Seen::Stuck);
        }
    }

    fn next_state(&self, state: &State, step: Step) -> Option<State> {
        let mut next = *state;
        next.take(self, step);
        next.judge_holders(self);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn keeps<const AT: usize>(_: &Line, state: &State) -> bool {
            state.judge.keeps(Promise::ALL[AT])
        }
        let always = [
            keeps::<0>, keeps::<1>, keeps::<2>, keeps::<3>, keeps::<4>, keeps::<5>, keeps::<6>,
        ];
        Promise::ALL
            .iter()
            .zip(always)
            .map(|(promise, keeps)| Property::always(promise.name(), keeps))
            .collect()
    }
}
