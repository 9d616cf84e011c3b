//! A simulated world for the runtime: processes, a network and servers on one thread, with clocks
//! that are moved by hand and all chance from one seed.

pub mod server;
