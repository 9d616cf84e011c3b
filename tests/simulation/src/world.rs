//! The world: it goes on by one millisecond at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::chance::{between, shuffle, weighed};
use super::checker::Witness;
use super::network::{Direction, Network};
use super::plan::Plan;
use super::process::Process;
use super::server::Mood;
use super::site::Site;
use super::testimony::Event;

/// So long everything may take to come to its end when nothing goes wrong any more.
const END: u64 = 200_000;

type Deferred = Box<dyn FnOnce(&mut World)>;

pub(super) struct World {
    pub(super) now: u64,
    pub(super) plan: Arc<Plan>,
    pub(super) network: Network,
    pub(super) sites: Vec<Site>,
    pub(super) processes: Vec<Process>,
    pub(super) witness: Witness,
    started: usize,
    next_fault: u64,
    deferred: BTreeMap<(u64, u64), Deferred>,
    deferrals: u64,
}

impl World {
    pub(super) fn new(plan: Plan, with_story: bool) -> Self {
        let clocks: Vec<_> = (0..plan.servers).map(|_| plan.clocks.server()).collect();
        let witness = Witness::new(clocks.clone(), plan.keys, plan.limits(), with_story);
        let network = Network::new(plan.weather.clone(), plan.places, plan.servers);
        let sites = clocks.into_iter().enumerate();
        let sites = sites
            .map(|(id, clock)| Site::new(id, clock, witness.clone(), network.clone()))
            .collect();
        let mut world = Self {
            now: 0,
            network,
            sites,
            processes: Vec::new(),
            witness,
            started: 0,
            next_fault: between(1..=2 * plan.calm),
            deferred: BTreeMap::new(),
            deferrals: 0,
            plan: Arc::new(plan),
        };
        for place in 0..world.plan.places {
            world.start(place);
        }
        world
    }

    /// From its beginning to its end, or to the first promise that is broken.
    pub(super) fn run(&mut self) {
        while self.now < self.plan.length && !self.is_over() {
            self.go_wrong();
            self.step();
        }
        self.heal();
        self.processes.iter().for_each(Process::end);
        let limit = self.now + END;
        while self.processes.iter().any(Process::has_callers) && !self.is_over() {
            self.step();
            if self.now > limit {
                self.witness.accuse("some callers do not come to their end");
            }
        }
        while !self.is_over() && !self.settle() {
            self.step();
            if self.now > limit {
                self.witness.accuse("a locker does not shut down");
            }
        }
    }

    fn is_over(&self) -> bool {
        self.witness.is_violated()
    }

    fn settle(&mut self) -> bool {
        let mut all = true;
        for process in &mut self.processes {
            all &= process.settle(&self.witness);
        }
        all
    }

    fn step(&mut self) {
        self.now += 1;
        let now = self.now;
        self.witness.now(now);
        while let Some(entry) = self.deferred.first_entry()
            && entry.key().0 <= now
        {
            entry.remove()(self);
        }
        while let Some(arrival) = self.network.arrival(now) {
            self.sites[arrival.server].arrive(arrival, now);
        }
        for late in self.network.wires().late() {
            self.witness.tell(&Event::Late {
                place: late.place,
                server: late.server,
                is_to_server: late.direction == Direction::Up,
                sent: late.sent,
            });
        }
        for site in &mut self.sites {
            site.tick(now);
        }
        let mut order: Vec<_> = (0..self.processes.len()).collect();
        shuffle(&mut order);
        for process in order {
            self.processes[process].run(now);
        }
    }

    fn go_wrong(&mut self) {
        if self.plan.faults.is_empty() || self.now < self.next_fault {
            return;
        }
        self.next_fault = self.now + between(1..=2 * self.plan.calm);
        let plan = Arc::clone(&self.plan);
        let (fault, _) = weighed(&plan.faults, |(_, weight)| *weight);
        (fault.happen)(self);
    }

    /// Nothing goes wrong from now on. What has is not undone.
    fn heal(&mut self) {
        for (_, deferred) in std::mem::take(&mut self.deferred) {
            deferred(self);
        }
        for site in &mut self.sites {
            site.set_mood(Mood::Well);
            site.is_down = false;
        }
    }

    // What faults do.

    pub(super) fn later(&mut self, after: u64, what: impl FnOnce(&mut Self) + 'static) {
        self.deferrals += 1;
        let key = (self.now + after, self.deferrals);
        self.deferred.insert(key, Box::new(what));
    }

    pub(super) fn trouble(&self, what: String, time: u64) {
        let until = self.now + time;
        self.witness.tell(&Event::Trouble { what, until });
    }

    pub(super) fn still(&self, place: usize, server: usize, direction: Direction, time: u64) {
        let mut wires = self.network.wires();
        wires.stand_still(place, server, direction, self.now + time);
    }

    pub(super) fn some_place(&self) -> usize {
        between(0..=self.plan.places - 1)
    }

    pub(super) fn some_server(&self) -> usize {
        between(0..=self.plan.servers - 1)
    }

    pub(super) fn start(&mut self, place: usize) {
        let id = self.started;
        self.started += 1;
        let (plan, network, witness) = (&self.plan, &self.network, &self.witness);
        let process = Process::start(id, place, plan, network, witness, self.now);
        self.processes.push(process);
    }

    /// False if nothing runs there.
    pub(super) fn kill(&mut self, place: usize, with_machine: bool) -> bool {
        let found = self.processes.iter().position(|it| it.place == place);
        let Some(found) = found else {
            return false;
        };
        let process = self.processes.remove(found);
        self.witness.tell(&Event::Died {
            process: process.id,
            with_machine,
        });
        self.network.wires().die(process.id, with_machine);
        process.die();
        true
    }
}
