//! The keys with their values and expiries, and a journal of their changes.

use std::collections::BTreeMap;
use std::mem::take;
use std::rc::Rc;

use super::ClientId;

/// Microseconds since 1970, by the server's clock.
pub type Micros = u64;

pub type Bytes = Rc<[u8]>;

/// The value of one key. The journal and whoever reads it share it; whoever changes it makes a copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    String(Bytes),
    Hash(Rc<Fields>),
    Set(Rc<Members>),
}

pub type Fields = BTreeMap<Bytes, Bytes>;

/// A sorted set: members and their scores, which are whole numbers here.
pub type Members = BTreeMap<Bytes, i64>;

impl Value {
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::String(_) => "string",
            Self::Hash(_) => "hash",
            Self::Set(_) => "zset",
        }
    }
}

/// A value, and when it goes away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    pub value: Value,
    /// The last millisecond since 1970 in which it is there.
    pub expires: Option<u64>,
}

impl Stored {
    fn is_gone(&self, now: Micros) -> bool {
        self.expires.is_some_and(|expires| now / 1000 > expires)
    }
}

/// What happened to a key.
#[derive(Debug, Clone)]
pub struct Change {
    pub at: Micros,
    /// Who did it; nobody, when the key expired.
    pub client: Option<ClientId>,
    /// The same for all that one command did, or one script.
    pub command: u64,
    pub database: usize,
    pub key: Bytes,
    pub before: Option<Stored>,
    pub after: Option<Stored>,
}

/// All keys, as they would be saved.
#[derive(Debug, Clone, Default)]
pub struct Data {
    databases: BTreeMap<usize, BTreeMap<Bytes, Stored>>,
}

#[derive(Default)]
pub(super) struct Keyspace {
    data: Data,
    journal: Vec<Change>,
    commands: u64,
    /// Before this millisecond, no key expires.
    first_expiry: u64,
}

/// By whom and when keys are changed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hand {
    pub(super) at: Micros,
    pub(super) client: Option<ClientId>,
    pub(super) database: usize,
}

impl Keyspace {
    pub(super) fn data(&self) -> Data {
        self.data.clone()
    }

    pub(super) fn restore(&mut self, data: Data) {
        self.data = data;
        self.first_expiry = 0;
    }

    /// What is changed from now on is done by another command.
    pub(super) fn next_command(&mut self) {
        self.commands += 1;
    }

    pub(super) fn journal(&mut self) -> Vec<Change> {
        take(&mut self.journal)
    }

    /// What is there, if it has not expired.
    pub(super) fn get(&self, hand: Hand, key: &[u8]) -> Option<&Stored> {
        let stored = self.data.databases.get(&hand.database)?.get(key)?;
        (!stored.is_gone(hand.at)).then_some(stored)
    }

    pub(super) fn has_expired(&self, hand: Hand, key: &[u8]) -> bool {
        let database = self.data.databases.get(&hand.database);
        let stored = database.and_then(|keys| keys.get(key));
        stored.is_some_and(|stored| stored.is_gone(hand.at))
    }

    /// Puts this in the key's place, or takes away what is there.
    pub(super) fn put(&mut self, hand: Hand, key: &[u8], after: Option<Stored>) {
        if let Some(expires) = after.as_ref().and_then(|stored| stored.expires) {
            self.first_expiry = self.first_expiry.min(expires);
        }
        let keys = self.data.databases.entry(hand.database).or_default();
        let key = Bytes::from(key);
        let before = match &after {
            Some(stored) => keys.insert(Rc::clone(&key), stored.clone()),
            None => keys.remove(&key),
        };
        self.journal.push(Change {
            at: hand.at,
            client: hand.client,
            command: self.commands,
            database: hand.database,
            key,
            before,
            after,
        });
    }

    /// All keys that have expired, each with its database.
    pub(super) fn expired(&mut self, now: Micros) -> Vec<(usize, Bytes)> {
        if now / 1000 <= self.first_expiry {
            return Vec::new();
        }
        let mut expired = Vec::new();
        self.first_expiry = u64::MAX;
        for (database, keys) in &self.data.databases {
            for (key, stored) in keys {
                if stored.is_gone(now) {
                    expired.push((*database, Rc::clone(key)));
                } else if let Some(expires) = stored.expires {
                    self.first_expiry = self.first_expiry.min(expires);
                }
            }
        }
        expired
    }

    /// The keys of one database, or of all.
    pub(super) fn keys(&self, only: Option<usize>) -> Vec<(usize, Bytes)> {
        let databases = self.data.databases.iter();
        databases
            .filter(|(database, _)| only.is_none_or(|only| only == **database))
            .flat_map(|(database, keys)| keys.keys().map(|key| (*database, Rc::clone(key))))
            .collect()
    }
}
