//! The line of a process, as `lock-runtime` has it, in every order of its threads' steps.
#![cfg(test)]

#[path = "../../../lock-runtime/src/kind.rs"]
mod kind;
#[expect(dead_code, reason = "not all of it is needed here")]
#[path = "../../../lock-runtime/src/line/lines.rs"]
mod lines;
mod sync;

use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use loom::future::block_on;
use loom::sync::Mutex;
use loom::thread;
use tokio::time::Instant;

use kind::Kind;
use lines::{Instruction, Lines, Ticket};

const KEY: &str = "key";

/// One tenure of the key.
struct Tenure;

/// A line for one key, and the store that it is asked of.
struct World {
    lines: Lines<Tenure, (), ()>,
    store: Mutex<Store>,
}

#[derive(Default)]
struct Store {
    taken: bool,
    /// How many believe that they have the lock.
    holders: usize,
}

impl World {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            lines: Lines::default(),
            store: Mutex::new(Store::default()),
        })
    }

    /// Asks the store.
    fn take(&self) -> bool {
        let mut store = self.store.lock().expect("no panic");
        !std::mem::replace(&mut store.taken, true)
    }

    fn hold(&self) {
        let mut store = self.store.lock().expect("no panic");
        store.holders += 1;
        assert_eq!(store.holders, 1, "two hold the lock at once");
    }

    fn let_go(&self) {
        self.store.lock().expect("no panic").holders -= 1;
    }

    /// Passes the lock on, or gives it back to the store.
    fn release(&self, tenure: &Arc<Tenure>) {
        if !self
            .lines
            .pass_on(KEY, (tenure, Kind::Exclusive), |()| true)
        {
            self.store.lock().expect("no panic").taken = false;
            self.lines.vacate(KEY, tenure, None);
        }
    }

    fn step(&self, ticket: &Ticket<Tenure>, call: Instruction<Tenure>) -> Option<Arc<Tenure>> {
        match call {
            Instruction::Take(tenure) => Some(tenure),
            Instruction::Ask { .. } => self.take().then(|| {
                let tenure = Arc::new(Tenure);
                self.lines.acquired(KEY, ticket, Arc::clone(&tenure), 64);
                tenure
            }),
            Instruction::Look => {
                let hour = Duration::from_secs(3600);
                let until = |_: &Tenure| Some(Instant::now() + hour);
                self.lines.look_at_holders(KEY, ticket, until);
                None
            }
        }
    }

    /// Waits for the lock, holds it once and releases it. Without a wake-up, this never ends, which
    /// loom reports.
    fn wait(&self) {
        let ticket = self.lines.join(KEY, Kind::Exclusive, (), true);
        let tenure = loop {
            let call = poll_fn(|cx| Lines::<_, (), ()>::poll_instruction(&ticket, cx));
            if let Some(tenure) = self.step(&ticket, block_on(call)) {
                break tenure;
            }
        };
        assert!(self.lines.leave(KEY, &ticket).is_none(), "it was heard");
        self.hold();
        self.let_go();
        self.release(&tenure);
    }

    /// Joins and leaves, whatever it was told meanwhile.
    fn come_and_go(&self) {
        let ticket = self.lines.join(KEY, Kind::Exclusive, (), true);
        if let Some(tenure) = self.lines.leave(KEY, &ticket) {
            self.release(&tenure);
        }
    }
}

fn in_every_order(run: impl Fn() + Send + Sync + 'static) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(run);
}

fn together(callers: &'static [fn(&World)]) {
    in_every_order(move || {
        let world = World::new();
        let (last, others) = callers.split_last().expect("some");
        let threads: Vec<_> = others
            .iter()
            .map(|caller| {
                let world = Arc::clone(&world);
                thread::spawn(move || caller(&world))
            })
            .collect();
        last(&world);
        for thread in threads {
            thread.join().expect("no panic");
        }
        assert!(
            !world.store.lock().expect("no panic").taken,
            "kept for nobody"
        );
        assert!(world.lines.is_empty(), "a line is left behind");
    });
}

#[test]
fn three_who_wait_are_all_served() {
    together(&[World::wait, World::wait, World::wait]);
}

#[test]
fn one_who_leaves_takes_nothing_along() {
    together(&[World::wait, World::come_and_go, World::wait]);
}

#[test]
fn two_who_leave_take_nothing_along() {
    together(&[World::come_and_go, World::wait, World::come_and_go]);
}
