//! A Redis server without a socket: it is given bytes and a time, and answers bytes.
//!
//! It answers as Redis 7.0 does; `tests/equal_to_redis` compares them. What it does not know, it
//! refuses as an unknown command. All that it does follows from what it is told: it has no clock and
//! no chance of its own.

mod client;
mod command;
mod commands;
mod core;
mod input;
mod keyspace;
mod lua;
mod mood;
mod reply;
mod tracking;

use std::cell::RefCell;
use std::rc::Rc;

use client::Client;
pub use client::ClientId;
use command::{Arguments, Command, Run};
use core::Core;
pub use keyspace::{Bytes, Change, Data, Fields, Members, Micros, Stored, Value};
use lua::Scripts;
pub use lua::run_instead;
pub use mood::Mood;
use reply::{Answer, Reply};

/// What a server is started with.
#[derive(Debug, Clone)]
pub struct Options {
    pub version: String,
    /// Forty hexadecimal digits.
    pub run_id: String,
    /// What clients have to log in with, if anything.
    pub password: Option<String>,
    /// Whether scripts take their short ways. What stands behind these is to be tried as well.
    pub short_ways: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            version: "7.0.15".to_owned(),
            run_id: "a".repeat(40),
            password: None,
            short_ways: true,
        }
    }
}

/// What a client hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    Bytes(Vec<u8>),
    /// The server has closed the connection.
    Closed,
}

pub struct Server {
    core: Rc<RefCell<Core>>,
    scripts: Scripts,
    last_client: u64,
}

impl Server {
    #[must_use]
    pub fn new(options: Options) -> Self {
        let core = Rc::new(RefCell::new(Core::new(options)));
        Self {
            scripts: Scripts::new(&core),
            core,
            last_client: 0,
        }
    }

    /// A connection was accepted.
    pub fn open(&mut self, now: Micros) -> ClientId {
        self.last_client += 1;
        let id = ClientId(self.last_client);
        let mut core = self.core.borrow_mut();
        core.now = now;
        let client = Client::new(core.options.password.is_none());
        core.clients.insert(id, client);
        id
    }

    /// These bytes came from a client. Whole commands are carried out; the rest is kept until more
    /// comes.
    pub fn hear(&mut self, client: ClientId, bytes: &[u8], now: Micros) {
        let mut core = self.core.borrow_mut();
        core.now = now;
        if let Some(client) = core.clients.get_mut(&client) {
            client.input.add(bytes);
        }
        drop(core);
        self.go_on(client);
    }

    /// Carries out what a client has sent, up to the first command that waits.
    fn go_on(&mut self, id: ClientId) {
        loop {
            let mut core = self.core.borrow_mut();
            let Some(client) = core.clients.get_mut(&id) else {
                return;
            };
            if client.is_closing {
                core.hang_up(id);
                return;
            }
            if client.waits_for.is_some() {
                return;
            }
            match client.input.next() {
                Ok(None) => return,
                Ok(Some(arguments)) => {
                    core.current = Some(id);
                    core.keyspace.next_command();
                    drop(core);
                    self.carry_out(id, &arguments);
                    self.core.borrow_mut().current = None;
                }
                Err(input::Malformed) => {
                    client.is_closing = true;
                    core.say(id, &Reply::error("ERR Protocol error: expected '$'"));
                }
            }
        }
    }

    fn carry_out(&mut self, id: ClientId, arguments: &Arguments) {
        if arguments.is_empty() {
            return;
        }
        let reply = match self.allowed(arguments) {
            Err(refusal) => Err(refusal),
            Ok(command) => self.run(command, arguments),
        };
        let mut core = self.core.borrow_mut();
        let waits = core.client().waits_for.is_some();
        if !waits {
            core.say(id, &reply.into());
        }
        core.tell_own_news();
    }

    fn allowed(&self, arguments: &Arguments) -> Result<&'static Command, reply::Refusal> {
        let command = command::find(arguments)?;
        let mut core = self.core.borrow_mut();
        let logs_in = matches!(command.name, "auth" | "hello" | "quit");
        if !core.client().is_authenticated && !logs_in {
            return Err("NOAUTH Authentication required.".into());
        }
        match core.mood.refuses(command.name, command.traits) {
            Some(refusal) => Err(refusal),
            None => Ok(command),
        }
    }

    fn run(&mut self, command: &Command, arguments: &Arguments) -> Answer {
        let run = match command.run {
            Run::Plain(run) => run,
            Run::Script(given) => return self.scripts.run(&self.core, given, arguments),
            Run::Scripts(about) => return self.scripts.tell(about, arguments),
        };
        let mut core = self.core.borrow_mut();
        let answer = run(&mut core, arguments);
        if command.traits.reads {
            core.remember(command.keys_of(arguments));
        }
        answer
    }

    /// What was said since the last time, in order.
    pub fn said(&mut self) -> impl Iterator<Item = (ClientId, Said)> + use<> {
        self.core.borrow_mut().said().into_iter()
    }

    /// The client's end is gone.
    pub fn close(&mut self, client: ClientId) {
        self.core.borrow_mut().clients.remove(&client);
    }

    pub fn set_mood(&mut self, mood: Mood) {
        self.core.borrow_mut().mood = mood;
    }

    #[must_use]
    pub fn mood(&self) -> Mood {
        self.core.borrow().mood
    }

    /// So many replicas have all that is written.
    pub fn set_replicas(&mut self, count: u32) {
        self.core.borrow_mut().replicas = count;
        self.answer_waits();
    }

    /// All keys, as a replica or a file has them.
    #[must_use]
    pub fn data(&self) -> Data {
        self.core.borrow().keyspace.data()
    }

    /// Starts anew with these keys: all connections are closed, and no script is known.
    pub fn restore(&mut self, data: Data) {
        let mut core = self.core.borrow_mut();
        let clients: Vec<_> = core.clients.keys().copied().collect();
        for id in clients {
            core.hang_up(id);
        }
        core.tracking.forget_all();
        core.keyspace.restore(data);
        self.scripts.forget();
    }

    /// Time has passed: expired keys go, and commands that waited are answered.
    pub fn tick(&mut self, now: Micros) {
        let mut core = self.core.borrow_mut();
        core.now = now;
        core.keyspace.next_command();
        for (database, key) in core.keyspace.expired(now) {
            core.expire(database, &key);
        }
        drop(core);
        self.answer_waits();
    }

    /// When a command that waits has to be answered, if one does.
    #[must_use]
    pub fn wakes_at(&self) -> Option<Micros> {
        let core = self.core.borrow();
        core.clients
            .values()
            .filter_map(|client| client.waits_for?.1)
            .min()
    }

    fn answer_waits(&mut self) {
        let mut core = self.core.borrow_mut();
        let (now, replicas) = (core.now, core.replicas);
        let mut answered = Vec::new();
        for (id, client) in &mut core.clients {
            let is_over = |(wanted, until): (i64, Option<Micros>)| {
                wanted <= i64::from(replicas) || until.is_some_and(|until| until <= now)
            };
            if client.waits_for.is_some_and(is_over) {
                client.waits_for = None;
                answered.push(*id);
            }
        }
        for id in &answered {
            core.say(*id, &Reply::Integer(replicas.into()));
        }
        drop(core);
        for id in answered {
            self.go_on(id);
        }
    }

    /// What a key holds.
    #[must_use]
    pub fn get(&self, key: &[u8], now: Micros) -> Option<Stored> {
        let core = self.core.borrow();
        let hand = keyspace::Hand {
            at: now,
            client: None,
            database: 0,
        };
        core.keyspace.get(hand, key).cloned()
    }

    /// All changes of keys since the last time.
    pub fn journal(&mut self) -> Vec<Change> {
        self.core.borrow_mut().keyspace.journal()
    }
}
