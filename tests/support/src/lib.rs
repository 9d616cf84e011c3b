//! Real servers and real faults for the tests of redis-locked.

mod ask;
mod background;
mod control;
mod faults;
mod lock;
mod port;
mod signal;

pub mod clock;
pub mod directory;
pub mod fake;
pub mod history;
pub mod logs;
pub mod monitor;
pub mod process;
pub mod proxy;
pub mod server;
pub mod until;

pub use directory::Directory;
pub use fake::FakeAnswers;
pub use history::Journal;
pub use logs::Logs;
pub use monitor::{Event, Monitor};
pub use process::Process;
pub use proxy::{AfterLoss, Proxy, bulk};
pub use server::Server;
pub use until::{until, until_some};
