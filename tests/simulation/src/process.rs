//! One process: a runtime on a clock of its own, a locker, and its callers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;
use tokio::time::{Instant, advance, sleep};

use super::checker::Witness;
use super::clock::Clock;
use super::network::{Network, Server};
use super::plan::Plan;
use super::read::owner_of;
use super::testimony::{Event, ProcessId, Watch};
use super::workload::Caller;
use crate::store::redis::Dial;
use crate::{Locker, LockerBuilder};

pub(super) struct Process {
    pub(super) id: ProcessId,
    /// The machine that it runs on.
    pub(super) place: usize,
    runtime: Option<Runtime>,
    locker: Locker,
    began: Instant,
    clock: Clock,
    /// Up to which millisecond of its own clock it has run.
    has_run: u64,
    pub(super) stopped_until: u64,
    /// Its callers are to come to their end.
    is_ending: Arc<AtomicBool>,
    callers: Arc<AtomicUsize>,
    settling: Option<JoinHandle<()>>,
}

impl Process {
    pub(super) fn start(
        id: ProcessId,
        place: usize,
        plan: &Arc<Plan>,
        network: &Network,
        witness: &Witness,
        now: u64,
    ) -> Self {
        let mut builder = Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build();
        let runtime = runtime.expect("a runtime without I/O");
        let clock = plan.clocks.process();
        let servers = (0..plan.servers).map(|server| {
            Arc::new(Server {
                network: network.clone(),
                process: id,
                place,
                id: server,
                connection_timeout: plan.connection_timeout,
            }) as Arc<dyn Dial>
        });
        let servers: Vec<_> = servers.collect();
        let (locker, began) = runtime.block_on(async {
            let builder: LockerBuilder = Locker::builder()
                .owner(owner_of(id))
                .connection_timeout(plan.connection_timeout)
                .response_timeout(plan.response_timeout)
                .server_timeout(plan.server_timeout);
            (builder.simulated(servers), Instant::now())
        });
        let has_run = clock.millis(now);
        witness.started(
            id,
            place,
            Watch {
                clock: clock.clone(),
                began: has_run,
            },
        );
        let process = Self {
            id,
            place,
            runtime: Some(runtime),
            locker,
            began,
            clock,
            has_run,
            stopped_until: 0,
            is_ending: Arc::default(),
            callers: Arc::default(),
            settling: None,
        };
        process.start_callers(plan, witness);
        process
    }

    fn start_callers(&self, plan: &Arc<Plan>, witness: &Witness) {
        let runtime = self.runtime.as_ref().expect("it lives");
        for _ in 0..plan.callers {
            let caller = Caller {
                process: self.id,
                locker: self.locker.clone(),
                began: self.began,
                plan: Arc::clone(plan),
                witness: witness.clone(),
                is_ending: Arc::clone(&self.is_ending),
            };
            let present = Present::new(&self.callers, witness);
            runtime.spawn(async move {
                caller.call_again_and_again().await;
                drop(present);
            });
        }
    }

    /// Runs until its own clock shows what it has to at this moment.
    pub(super) fn run(&mut self, now: u64) {
        if now < self.stopped_until {
            return;
        }
        let runtime = self.runtime.as_ref().expect("it lives");
        let share = self.clock.millis(now).saturating_sub(self.has_run);
        self.has_run += share;
        match share {
            0 => {}
            1..=2 => runtime.block_on(async { sleep(Duration::from_millis(share)).await }),
            // It was stopped: all that has become due meanwhile is due at once.
            _ => runtime.block_on(async {
                advance(Duration::from_millis(share - 1)).await;
                sleep(Duration::from_millis(1)).await;
            }),
        }
    }

    /// Its callers begin nothing new.
    pub(super) fn end(&self) {
        self.is_ending.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_callers(&self) -> bool {
        self.callers.load(Ordering::Relaxed) > 0
    }

    /// Shuts its locker down; true when that is done.
    pub(super) fn settle(&mut self, witness: &Witness) -> bool {
        let runtime = self.runtime.as_ref().expect("it lives");
        let (locker, witness, process) = (self.locker.clone(), witness.clone(), self.id);
        let settling = self.settling.get_or_insert_with(|| {
            runtime.spawn(async move {
                locker.shutdown().await;
                witness.tell(&Event::Settled { process });
            })
        });
        settling.is_finished()
    }

    pub(super) fn die(mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Counts a caller for as long as it has not come to its end. One that panics accuses itself.
struct Present(Arc<AtomicUsize>, Witness);

impl Present {
    fn new(callers: &Arc<AtomicUsize>, witness: &Witness) -> Self {
        callers.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(callers), witness.clone())
    }
}

impl Drop for Present {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
        if std::thread::panicking() {
            self.1.accuse("a caller panicked");
        }
    }
}
