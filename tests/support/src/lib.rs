//! Real servers and real faults for the tests of redis-locked.

mod ask;
mod background;
mod certificates;
mod control;
mod faults;
mod lock;
mod moving_clock;
mod port;
mod signal;

pub mod calculation;
pub mod clock;
pub mod cluster;
pub mod directory;
pub mod fake;
pub mod history;
pub mod logs;
pub mod monitor;
pub mod pace;
pub mod pair;
pub mod process;
pub mod proxy;
pub mod sentinel;
pub mod server;
pub mod trouble;
pub mod until;

pub use calculation::step_back;
pub use certificates::{Authority, Certificate, Files, servers_have_tls};
pub use cluster::Cluster;
pub use directory::Directory;
pub use fake::FakeAnswers;
pub use history::Journal;
pub use logs::Logs;
pub use monitor::{Event, Monitor};
pub use moving_clock::MovingClock;
pub use pace::Pace;
pub use pair::Pair;
pub use process::Process;
pub use proxy::{AfterLoss, Proxy, bulk};
pub use sentinel::Sentinels;
pub use server::Server;
pub use until::{until, until_some};
