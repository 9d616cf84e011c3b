//! All that commands work on.

use std::collections::BTreeMap;
use std::mem::take;

use super::client::{Client, ClientId};
use super::command::{Arguments, NotFound, Run, find};
use super::keyspace::{Bytes, Hand, Keyspace, Micros, Stored, Value};
use super::mood::Mood;
use super::reply::{Refusal, Reply};
use super::tracking::Tracking;
use super::{Options, Said};

pub(super) const WRONG_TYPE: &str =
    "WRONGTYPE Operation against a key holding the wrong kind of value";

const NOT_ALLOWED: &str = "ERR This Redis command is not allowed from script";

pub(super) struct Running {
    /// The keys that it was given.
    pub(super) keys: Vec<Vec<u8>>,
    pub(super) has_written: bool,
}

pub(super) struct Core {
    pub(super) options: Options,
    pub(super) keyspace: Keyspace,
    pub(super) tracking: Tracking,
    pub(super) mood: Mood,
    /// How many replicas have all that was written.
    pub(super) replicas: u32,
    pub(super) clients: BTreeMap<ClientId, Client>,
    pub(super) now: Micros,
    /// Whose command is carried out.
    pub(super) current: Option<ClientId>,
    /// The script that is its command.
    pub(super) running: Option<Running>,
    /// What those who asked for it are to be told of their own command's changes, once it is
    /// answered.
    own_news: Vec<Option<Bytes>>,
    said: Vec<(ClientId, Said)>,
}

impl Core {
    pub(super) fn new(options: Options) -> Self {
        Self {
            options,
            keyspace: Keyspace::default(),
            tracking: Tracking::default(),
            mood: Mood::Well,
            replicas: 0,
            clients: BTreeMap::new(),
            now: 0,
            current: None,
            running: None,
            own_news: Vec::new(),
            said: Vec::new(),
        }
    }

    pub(super) fn client(&mut self) -> &mut Client {
        let client = self.current.and_then(|id| self.clients.get_mut(&id));
        client.expect("a command is carried out only for a client that is there")
    }

    fn hand(&self) -> Hand {
        let client = self.current.and_then(|id| self.clients.get(&id));
        Hand {
            at: self.now,
            client: self.current,
            database: client.map_or(0, |client| client.database),
        }
    }

    /// What a key holds. One that has expired is taken away first.
    pub(super) fn look_up(&mut self, key: &[u8]) -> Option<&Stored> {
        let hand = self.hand();
        if self.keyspace.has_expired(hand, key) {
            self.expire(hand.database, key);
        }
        self.keyspace.get(hand, key)
    }

    /// Changes a key, or takes it away. Its readers are told.
    pub(super) fn put(&mut self, key: &[u8], after: Option<Stored>) {
        self.keyspace.put(self.hand(), key, after);
        self.tell_readers(key);
    }

    pub(super) fn put_value(&mut self, key: &[u8], value: Value, expires: Option<u64>) {
        self.put(key, Some(Stored { value, expires }));
    }

    /// A replica waits until its master says so.
    pub(super) fn expire(&mut self, database: usize, key: &[u8]) {
        if self.mood == Mood::ReadOnly {
            return;
        }
        let hand = Hand {
            at: self.now,
            client: None,
            database,
        };
        self.keyspace.put(hand, key, None);
        self.tell_readers(key);
    }

    pub(super) fn string(&mut self, key: &[u8]) -> Result<Option<Bytes>, Refusal> {
        match self.look_up(key).map(|stored| &stored.value) {
            None => Ok(None),
            Some(Value::String(value)) => Ok(Some(Bytes::clone(value))),
            Some(_) => Err(WRONG_TYPE.into()),
        }
    }

    /// Takes away all keys, or those of one database.
    pub(super) fn flush(&mut self, only: Option<usize>) {
        for (database, key) in self.keyspace.keys(only) {
            let hand = self.hand();
            self.keyspace.put(Hand { database, ..hand }, &key, None);
        }
        self.tracking.forget_all();
        let ids: Vec<_> = self.clients.keys().copied().collect();
        for id in ids {
            if self.clients[&id].tracking.is_none() {
                continue;
            }
            if self.current == Some(id) {
                self.own_news.push(None);
            } else {
                self.tell(id, None);
            }
        }
    }

    /// A tracking client has read these keys.
    pub(super) fn remember<'a>(&mut self, keys: impl Iterator<Item = &'a [u8]>) {
        let Some(reader) = self.current else {
            return;
        };
        if self.client().tracking.is_some() {
            keys.for_each(|key| self.tracking.remember(key, reader));
        }
    }

    /// Carries out a command of the script that runs.
    pub(super) fn call_from_script(&mut self, arguments: &Arguments) -> Reply {
        let command = match find(arguments) {
            Ok(command) => command,
            Err(NotFound::Unknown(_)) => {
                return Reply::error("ERR Unknown Redis command called from script");
            }
            Err(NotFound::WrongNumber(_)) => {
                return Reply::error("ERR Wrong number of args calling Redis command from script");
            }
        };
        let Run::Plain(run) = command.run else {
            return Reply::error(NOT_ALLOWED);
        };
        let traits = command.traits;
        if traits.outside_of_scripts {
            return Reply::error(NOT_ALLOWED);
        }
        let mood = self.mood;
        let running = self.running.as_mut().expect("a script runs");
        if let Some(refusal) = mood.refuses_in_script(traits, running.has_written) {
            return Reply::error(&refusal);
        }
        running.has_written |= traits.writes;
        let reply = run(self, arguments).into();
        if traits.reads {
            let running = self.running.take().expect("it still runs");
            self.remember(running.keys.iter().map(Vec::as_slice));
            self.running = Some(running);
        }
        reply
    }

    fn tell_readers(&mut self, key: &[u8]) {
        for reader in self.tracking.forget(key) {
            let client = self.clients.get(&reader);
            let Some(wishes) = client.and_then(|client| client.tracking) else {
                continue;
            };
            if self.current != Some(reader) {
                self.tell(reader, Some(key.into()));
            } else if !wishes.no_loop {
                self.own_news.push(Some(key.into()));
            }
        }
    }

    pub(super) fn tell_own_news(&mut self) {
        let Some(id) = self.current else {
            return;
        };
        for key in take(&mut self.own_news) {
            self.tell(id, key);
        }
    }

    /// That this key was changed, or any.
    fn tell(&mut self, id: ClientId, key: Option<Bytes>) {
        use super::reply::Protocol::Resp3;
        // The older protocol has no words for it.
        if self.clients.get(&id).is_some_and(|it| it.protocol == Resp3) {
            let keys = key.map_or(Reply::Null, |key| Reply::Array(vec![Reply::Bulk(key)]));
            self.say(id, &Reply::Push(vec![Reply::bulk("invalidate"), keys]));
        }
    }

    fn listeners(&self, channel: &[u8]) -> Vec<ClientId> {
        let clients = self.clients.iter();
        let listening = clients.filter(|(_, client)| client.channels.contains(channel));
        listening.map(|(id, _)| *id).collect()
    }

    pub(super) fn subscribers(&self, channel: &[u8]) -> i64 {
        i64::try_from(self.listeners(channel).len()).expect("they are few")
    }

    /// Answers how many are told.
    pub(super) fn publish(&mut self, channel: &[u8], words: &[u8]) -> i64 {
        let listeners = self.listeners(channel);
        for id in &listeners {
            let message = vec![
                Reply::bulk("message"),
                Reply::bulk(channel),
                Reply::bulk(words),
            ];
            self.say(*id, &Reply::Push(message));
        }
        i64::try_from(listeners.len()).expect("they are few")
    }

    pub(super) fn say(&mut self, id: ClientId, reply: &Reply) {
        let Some(client) = self.clients.get(&id) else {
            return;
        };
        match self.said.last_mut() {
            Some((last, Said::Bytes(bytes))) if *last == id => client.protocol.write(reply, bytes),
            _ => {
                let mut bytes = Vec::new();
                client.protocol.write(reply, &mut bytes);
                self.said.push((id, Said::Bytes(bytes)));
            }
        }
    }

    pub(super) fn hang_up(&mut self, id: ClientId) {
        if self.clients.remove(&id).is_some() {
            self.said.push((id, Said::Closed));
        }
    }

    pub(super) fn said(&mut self) -> Vec<(ClientId, Said)> {
        take(&mut self.said)
    }
}
