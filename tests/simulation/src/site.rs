//! A machine with a server on it: its clock, its connections, and what its journal testifies.

use std::collections::{BTreeMap, BTreeSet};

use super::chance::{between, one_in};
use super::checker::Witness;
use super::clock::Clock;
use super::network::{Arrival, Direction, LinkId, Network, What};
use super::read::{self, differences, key_of, name_beside, name_of};
use super::server::{self, Change, ClientId, Data, Mood, Options, Said, Stored};
use super::testimony::{By, Event, KeyId, ProcessId, ServerId, Which};

pub(super) struct Site {
    id: ServerId,
    server: server::Server,
    pub(super) clock: Clock,
    /// Whose connection is whose.
    clients: BTreeMap<ClientId, (LinkId, ProcessId)>,
    links: BTreeMap<LinkId, ClientId>,
    /// The connection of somebody who is no process of this world.
    foreigner: ClientId,
    /// What somebody else has taken away, since it would have stayed for ever.
    taken_away: BTreeSet<String>,
    /// How often it looks for keys that have expired, as Redis does beside its work.
    sweeps_each: u64,
    /// Nobody answers at its address, or a machine says that nobody does.
    pub(super) is_down: bool,
    witness: Witness,
    network: Network,
}

impl Site {
    pub(super) fn new(id: ServerId, clock: Clock, witness: Witness, network: Network) -> Self {
        let mut server = server::Server::new(Options {
            run_id: format!("{:040x}", id + 1),
            short_ways: one_in(2),
            ..Options::default()
        });
        let foreigner = server.open(micros(&clock, 0));
        Self {
            id,
            server,
            clock,
            clients: BTreeMap::new(),
            links: BTreeMap::new(),
            foreigner,
            taken_away: BTreeSet::new(),
            sweeps_each: between(1..=100),
            is_down: false,
            witness,
            network,
        }
    }

    pub(super) fn arrive(&mut self, arrival: Arrival, now: u64) {
        let Arrival {
            link,
            process,
            what,
            ..
        } = arrival;
        let at = micros(&self.clock, now);
        let send = |what| self.network.wires().send(link, Direction::Down, what);
        match (what, self.links.get(&link).copied()) {
            (_, _) if self.is_down => send(What::Reset),
            (What::Open, _) => {
                let client = self.server.open(at);
                self.clients.insert(client, (link, process));
                self.links.insert(link, client);
                send(What::Open);
            }
            (What::Bytes(bytes), Some(client)) => {
                self.server.hear(client, &bytes, at);
                self.publish(now);
            }
            (What::Bytes(_), None) => send(What::Reset),
            (What::End | What::Reset, Some(client)) => {
                self.server.close(client);
                self.clients.remove(&client);
                self.links.remove(&link);
            }
            (What::End | What::Reset, None) => {}
        }
    }

    /// What was changed: of one key by one command, as one. What is between the steps of a script is seen
    /// by nobody.
    fn changes(&mut self) -> Vec<Change> {
        let mut changes: Vec<Change> = Vec::new();
        for change in self.server.journal() {
            let same = |last: &Change| {
                (last.command, last.client, &last.key)
                    == (change.command, change.client, &change.key)
            };
            let before = match changes.iter().rposition(same) {
                Some(last) => changes.remove(last).before,
                None => change.before,
            };
            changes.push(Change { before, ..change });
        }
        changes
    }

    fn tell(
        &self,
        by: By,
        key: KeyId,
        which: Which,
        before: Option<&Stored>,
        after: Option<&Stored>,
    ) {
        let server = self.id;
        if which == Which::Record {
            let (before, after) = (read::record(before), read::record(after));
            if before != after {
                self.witness.tell(&Event::Recorded {
                    server,
                    by,
                    key,
                    before,
                    after,
                });
            }
            return;
        }
        let (before, after) = (read::all(before, which), read::all(after, which));
        for (before, after) in differences(&before, &after) {
            self.witness.tell(&Event::Changed {
                server,
                by,
                key,
                which,
                before,
                after,
            });
        }
    }

    /// Sends what the server has to say, and tells what it has changed.
    fn publish(&mut self, now: u64) {
        for change in self.changes() {
            let Some((key, which)) = key_of(&change.key) else {
                for token in read::lined_up(&change) {
                    self.witness.tell(&Event::LinedUp { token });
                }
                self.witness.log(|| read::beside(self.id, &change));
                continue;
            };
            let by = match change.client {
                None => By::Time,
                Some(client) if client == self.foreigner => By::Foreigner,
                Some(client) => By::Process(self.clients[&client].1),
            };
            self.tell(
                by,
                key,
                which,
                change.before.as_ref(),
                change.after.as_ref(),
            );
        }
        for (client, said) in self.server.said() {
            let Some((link, _)) = self.clients.get(&client).copied() else {
                if client == self.foreigner && said == Said::Closed {
                    self.foreigner = self.server.open(micros(&self.clock, now));
                }
                continue;
            };
            let what = match said {
                Said::Bytes(bytes) => What::Bytes(bytes),
                Said::Closed => {
                    self.clients.remove(&client);
                    self.links.remove(&link);
                    What::End
                }
            };
            self.network.wires().send(link, Direction::Down, what);
        }
    }

    /// Time has come to this millisecond.
    pub(super) fn tick(&mut self, now: u64) {
        if now.is_multiple_of(self.sweeps_each) {
            self.server.tick(micros(&self.clock, now));
            self.publish(now);
        }
    }

    pub(super) fn set_mood(&mut self, mood: Mood) {
        self.server.set_mood(mood);
    }

    /// Somebody else's command.
    pub(super) fn meddle(&mut self, command: &[&str], now: u64) {
        let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
        for argument in command {
            bytes.extend(format!("${}\r\n{argument}\r\n", argument.len()).bytes());
        }
        let at = micros(&self.clock, now);
        self.server.hear(self.foreigner, &bytes, at);
        self.publish(now);
    }

    /// Somebody else takes away what would stay for ever, whatever the server refuses.
    pub(super) fn take_away(&mut self, name: &str, now: u64) {
        let mood = self.server.mood();
        self.server.set_mood(Mood::Well);
        self.meddle(&["DEL", name], now);
        self.server.set_mood(mood);
        self.taken_away.insert(name.to_owned());
    }

    pub(super) fn data(&self) -> Data {
        self.server.data()
    }

    /// It starts anew with these keys.
    pub(super) fn restore(&mut self, data: Data, keys: KeyId, now: u64) {
        self.publish(now);
        let before = self.all(keys, now);
        self.witness.tell(&Event::Restored { server: self.id });
        self.server.restore(data);
        self.publish(now);
        for ((key, which, before), (_, _, after)) in before.iter().zip(self.all(keys, now)) {
            self.tell(By::Loss, *key, *which, before.as_ref(), after.as_ref());
        }
        // What comes back with old data, and has no end, would be in the way for ever.
        let at = micros(&self.clock, now);
        for name in self.taken_away.clone() {
            let stored = self.server.get(name.as_bytes(), at);
            if stored.is_some_and(|stored| stored.expires.is_none()) {
                self.take_away(&name, now);
            }
        }
    }

    fn all(&self, keys: KeyId, now: u64) -> Vec<(KeyId, Which, Option<Stored>)> {
        let at = micros(&self.clock, now);
        let mut all = Vec::new();
        for key in 0..keys {
            for (which, name) in [
                (Which::Lock, name_of(key)),
                (Which::Counter, name_beside(key, "fence")),
                (Which::Record, name_beside(key, "last")),
            ] {
                all.push((key, which, self.server.get(name.as_bytes(), at)));
            }
        }
        all
    }

    /// Its clock is set back.
    pub(super) fn set_back(&mut self, millis: u32) {
        self.clock.set_back(millis);
        self.witness.set_server_clock(self.id, self.clock.clone());
    }
}

fn micros(clock: &Clock, now: u64) -> u64 {
    u64::try_from(clock.micros(now)).expect("after 1970")
}
