//! A simulated world for the runtime: processes, a network and servers on one thread, with clocks
//! that are moved by hand and all chance from one seed.
//!
//! A process is a tokio runtime on a paused clock, with a locker of its own. Its connections are byte
//! streams to servers that run the scripts which are shipped. The [`world`] goes on by one
//! millisecond at a time: what the [`network`] has for this millisecond arrives, the servers answer,
//! and each process runs until nothing moves in it. Callers ([`workload`]) testify to the [`checker`]
//! what they do and what they get, and so does the world; the checker knows the promises.

pub mod alike;
mod chance;
mod checker;
mod clock;
mod faults;
mod log;
mod network;
mod plan;
mod process;
mod read;
mod run;
pub mod server;
mod site;
mod testimony;
mod words;
mod workload;
mod world;

/// A run allocates all the time, and nothing else of it can be made faster so easily.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub use crate::store::redis::{SHORT_WAYS, source_of};
pub use run::{Line, Report, Sort, Violation, run, sort, story};
