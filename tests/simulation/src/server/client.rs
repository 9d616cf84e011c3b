//! One connection, as the server knows it.

use std::collections::BTreeSet;

use super::input::Input;
use super::keyspace::{Bytes, Micros};
use super::reply::Protocol;
use super::tracking::Wishes;

/// Counts the connections, in the order in which they were accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(pub u64);

pub(super) struct Client {
    pub(super) protocol: Protocol,
    pub(super) name: Vec<u8>,
    pub(super) database: usize,
    pub(super) is_authenticated: bool,
    /// What it wants to be told of the keys that it reads.
    pub(super) tracking: Option<Wishes>,
    /// What it is subscribed to.
    pub(super) channels: BTreeSet<Bytes>,
    pub(super) input: Input,
    /// Its `WAIT` is answered when so many replicas have all, or then at the latest; nothing else
    /// before.
    pub(super) waits_for: Option<(i64, Option<Micros>)>,
    /// Nothing more is read from it.
    pub(super) is_closing: bool,
}

impl Client {
    pub(super) fn new(is_authenticated: bool) -> Self {
        Self {
            protocol: Protocol::Resp2,
            name: Vec::new(),
            database: 0,
            is_authenticated,
            tracking: None,
            channels: BTreeSet::new(),
            input: Input::default(),
            waits_for: None,
            is_closing: false,
        }
    }
}
