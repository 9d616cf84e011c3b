//! The network: connections between processes and servers, and what is under way on them.
//!
//! Nothing is lost on a connection, and nothing is overtaken; but it may be late, stand still in one
//! direction, be cut, or have an end that is gone without a word.

mod stream;
mod wires;

pub(super) use stream::Server;
pub(super) use wires::{Arrival, Direction, LinkId, Network, Weather, What};
