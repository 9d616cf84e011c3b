//! Connections, and the parcels under way on them.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use super::super::chance::{between, one_in};

/// Idle connections show after this time whether the other end is there (`settings.rs`).
const KEEPALIVE: u64 = 15_000;

/// What takes longer is a part of the story.
const LATE: u64 = 30;

pub(in super::super) type LinkId = usize;

/// How long things take.
#[derive(Debug, Clone)]
pub(in super::super) struct Weather {
    /// The usual delays end here, in milliseconds.
    pub(in super::super) usual: u64,
    /// One in so many parcels is late, if any is.
    pub(in super::super) late_one_in: Option<u32>,
    pub(in super::super) latest: u64,
    /// How long a kernel sends again what is not confirmed.
    pub(in super::super) user_timeout: u64,
}

impl Weather {
    fn delay(&self) -> u64 {
        match self.late_one_in {
            Some(chances) if one_in(chances) => between(self.usual..=self.latest),
            _ => between(1..=self.usual),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Direction {
    /// To the server.
    Up,
    /// To the process.
    Down,
}

#[derive(Debug, PartialEq, Eq)]
pub(in super::super) enum What {
    /// Asks for a connection, or accepts it.
    Open,
    Bytes(Vec<u8>),
    /// This end sends no more.
    End,
    /// There is no such connection.
    Reset,
}

/// What a server hears at this moment.
pub(in super::super) struct Arrival {
    pub(in super::super) link: LinkId,
    pub(in super::super) process: usize,
    pub(in super::super) server: usize,
    pub(in super::super) what: What,
}

struct Parcel {
    sent: u64,
    due: u64,
    number: u64,
    link: LinkId,
    direction: Direction,
    what: What,
}

impl Parcel {
    fn key(&self) -> (u64, u64) {
        (self.due, self.number)
    }
}

impl PartialEq for Parcel {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Parcel {}

impl PartialOrd for Parcel {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Parcel {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Opening,
    Open,
    /// The client hears no more, for this reason.
    Over(Option<io::ErrorKind>),
}

/// One connection, as the client's kernel and the wires know it.
struct Link {
    /// The incarnation of a process, and its place.
    process: usize,
    place: usize,
    server: usize,
    state: State,
    inbox: VecDeque<u8>,
    waker: Option<Waker>,
    /// The client has closed it, or died.
    left: bool,
    /// What is sent in this direction arrives nowhere.
    lost: [bool; 2],
    /// Until when nothing moves on it, by direction: a packet was lost and is sent again.
    still_until: [u64; 2],
    /// When the last parcel of each direction arrives.
    last: [u64; 2],
    /// The client's kernel gives it up then.
    doomed: Option<u64>,
}

/// Between one process's machine and one server: until when each direction stands still.
#[derive(Debug, Clone, Copy, Default)]
struct Path {
    still_until: [u64; 2],
}

pub(in super::super) struct Wires {
    pub(in super::super) weather: Weather,
    now: u64,
    links: Vec<Link>,
    parcels: BinaryHeap<Reverse<Parcel>>,
    sent: u64,
    /// By the process's place and the server.
    paths: Vec<Vec<Path>>,
    doomed: BinaryHeap<Reverse<(u64, LinkId)>>,
    /// What has arrived late since somebody looked.
    late: Vec<Late>,
}

pub(in super::super) struct Late {
    pub(in super::super) place: usize,
    pub(in super::super) server: usize,
    pub(in super::super) direction: Direction,
    pub(in super::super) sent: u64,
}

/// A handle to the network. A run is on one thread; the mutex is for the compiler.
#[derive(Clone)]
pub(in super::super) struct Network(Arc<Mutex<Wires>>);

fn index(direction: Direction) -> usize {
    match direction {
        Direction::Up => 0,
        Direction::Down => 1,
    }
}

impl Network {
    pub(in super::super) fn new(weather: Weather, places: usize, servers: usize) -> Self {
        Self(Arc::new(Mutex::new(Wires {
            weather,
            now: 0,
            links: Vec::new(),
            parcels: BinaryHeap::new(),
            sent: 0,
            paths: vec![vec![Path::default(); servers]; places],
            doomed: BinaryHeap::new(),
            late: Vec::new(),
        })))
    }

    pub(in super::super) fn wires(&self) -> MutexGuard<'_, Wires> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next that a server hears by now. What the processes hear is put where they read it.
    pub(in super::super) fn arrival(&self, now: u64) -> Option<Arrival> {
        loop {
            let mut wires = self.wires();
            wires.now = now;
            wires.give_up_doomed();
            if wires.parcels.peek()?.0.due > now {
                return None;
            }
            let Reverse(parcel) = wires.parcels.pop()?;
            if now > parcel.sent + LATE {
                let (place, server) = wires.ends(parcel.link);
                wires.late.push(Late {
                    place,
                    server,
                    direction: parcel.direction,
                    sent: parcel.sent,
                });
            }
            match parcel.direction {
                Direction::Up => {
                    let link = &wires.links[parcel.link];
                    return Some(Arrival {
                        link: parcel.link,
                        process: link.process,
                        server: link.server,
                        what: parcel.what,
                    });
                }
                Direction::Down => {
                    let waker = wires.links[parcel.link].hear(parcel.what);
                    drop(wires);
                    if let Some(waker) = waker {
                        waker.wake();
                    }
                }
            }
        }
    }
}

impl Link {
    fn hear(&mut self, what: What) -> Option<Waker> {
        if self.left || matches!(self.state, State::Over(_)) {
            return None;
        }
        match what {
            What::Open => self.state = State::Open,
            What::Bytes(bytes) => self.inbox.extend(bytes),
            What::End => self.state = State::Over(None),
            What::Reset if self.state == State::Opening => {
                self.state = State::Over(Some(io::ErrorKind::ConnectionRefused));
            }
            What::Reset => {
                self.inbox.clear();
                self.state = State::Over(Some(io::ErrorKind::ConnectionReset));
            }
        }
        self.waker.take()
    }
}

impl Wires {
    pub(in super::super) fn late(&mut self) -> Vec<Late> {
        std::mem::take(&mut self.late)
    }

    /// Those that a living client has not given up.
    pub(in super::super) fn open_links(&self) -> Vec<LinkId> {
        let is_open = |id: &LinkId| {
            let link = &self.links[*id];
            !link.left && link.state == State::Open
        };
        (0..self.links.len()).filter(is_open).collect()
    }

    /// Those of them on which something is under way.
    pub(in super::super) fn busy_links(&self) -> Vec<LinkId> {
        let mut busy: Vec<_> = self.parcels.iter().map(|parcel| parcel.0.link).collect();
        busy.sort_unstable();
        busy.dedup();
        busy.retain(|link| !self.links[*link].left && self.links[*link].state == State::Open);
        busy
    }

    pub(in super::super) fn ends(&self, link: LinkId) -> (usize, usize) {
        (self.links[link].place, self.links[link].server)
    }

    pub(super) fn dial(&mut self, process: usize, place: usize, server: usize) -> LinkId {
        let link = self.links.len();
        self.links.push(Link {
            process,
            place,
            server,
            state: State::Opening,
            inbox: VecDeque::new(),
            waker: None,
            left: false,
            lost: [false; 2],
            still_until: [0; 2],
            last: [0; 2],
            doomed: None,
        });
        self.send(link, Direction::Up, What::Open);
        link
    }

    pub(super) fn poll_open(&mut self, link: LinkId, cx: &Context<'_>) -> Poll<io::Result<()>> {
        let link = &mut self.links[link];
        match link.state {
            State::Opening => {
                link.waker = Some(cx.waker().clone());
                Poll::Pending
            }
            State::Open => Poll::Ready(Ok(())),
            State::Over(reason) => {
                let reason = reason.unwrap_or(io::ErrorKind::UnexpectedEof);
                Poll::Ready(Err(reason.into()))
            }
        }
    }

    /// Takes what has come, up to so many bytes; none at the end.
    pub(super) fn poll_read(
        &mut self,
        link: LinkId,
        most: usize,
        cx: &Context<'_>,
        mut take: impl FnMut(&[u8]),
    ) -> Poll<io::Result<()>> {
        let link = &mut self.links[link];
        if !link.inbox.is_empty() {
            let mut count = most.min(link.inbox.len());
            if one_in(50) {
                count = between(1..=count);
            }
            let (front, back) = link.inbox.as_slices();
            let first = count.min(front.len());
            take(&front[..first]);
            take(&back[..count - first]);
            link.inbox.drain(..count);
            return Poll::Ready(Ok(()));
        }
        match link.state {
            State::Over(None) => Poll::Ready(Ok(())),
            State::Over(Some(reason)) => Poll::Ready(Err(reason.into())),
            State::Open | State::Opening => {
                link.waker = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }

    pub(super) fn write(&mut self, link: LinkId, bytes: &[u8]) -> io::Result<()> {
        match self.links[link].state {
            State::Over(Some(reason)) => return Err(reason.into()),
            State::Over(None) => return Err(io::ErrorKind::BrokenPipe.into()),
            State::Open | State::Opening => {}
        }
        if !self.links[link].left {
            // TCP knows no commands: one may come in two parts.
            let cut = if bytes.len() > 1 && one_in(50) {
                between(1..=bytes.len() - 1)
            } else {
                bytes.len()
            };
            for part in [&bytes[..cut], &bytes[cut..]] {
                if !part.is_empty() {
                    self.send(link, Direction::Up, What::Bytes(part.to_vec()));
                }
            }
        }
        Ok(())
    }

    /// The client closes its end: what it has sent still arrives.
    pub(super) fn leave(&mut self, link: LinkId) {
        if !std::mem::replace(&mut self.links[link].left, true) {
            self.send(link, Direction::Up, What::End);
        }
    }

    /// A process has died. Its kernel closes what it had open; if that has died with it, nobody hears
    /// of it.
    pub(in super::super) fn die(&mut self, process: usize, with_machine: bool) {
        for link in 0..self.links.len() {
            if self.links[link].process == process && !self.links[link].left {
                if with_machine {
                    self.links[link].left = true;
                } else {
                    self.leave(link);
                }
            }
        }
    }

    /// Sends something on a connection.
    pub(in super::super) fn send(&mut self, link: LinkId, direction: Direction, what: What) {
        let which = index(direction);
        let delay = self.weather.delay();
        let user_timeout = self.weather.user_timeout;
        let (now, id) = (self.now, link);
        let link = &mut self.links[id];
        let path = self.paths[link.place][link.server];
        let due = (now + delay)
            .max(link.last[which])
            .max(link.still_until[which])
            .max(path.still_until[which]);
        let gives_up = now + user_timeout;
        if direction == Direction::Up && !link.left {
            // What comes back, if only to say that this has come, may stand still as well.
            let down = index(Direction::Down);
            let confirmed = due.max(link.still_until[down]).max(path.still_until[down]);
            if link.lost != [false; 2] || confirmed > gives_up {
                self.doom(id, gives_up);
            }
        }
        let link = &mut self.links[id];
        let is_late = direction == Direction::Up && due > gives_up;
        if link.lost[which] || is_late {
            link.lost[which] = true;
            return;
        }
        link.last[which] = due;
        self.sent += 1;
        self.parcels.push(Reverse(Parcel {
            sent: now,
            due,
            number: self.sent,
            link: id,
            direction,
            what,
        }));
    }

    fn doom(&mut self, link: LinkId, at: u64) {
        let doomed = &mut self.links[link].doomed;
        if doomed.is_none_or(|doomed| at < doomed) {
            *doomed = Some(at);
            self.doomed.push(Reverse((at, link)));
        }
    }

    fn give_up_doomed(&mut self) {
        while let Some(Reverse((at, link))) = self.doomed.peek().copied()
            && at <= self.now
        {
            self.doomed.pop();
            let link = &mut self.links[link];
            if link.doomed == Some(at) && !link.left && !matches!(link.state, State::Over(_)) {
                link.state = State::Over(Some(io::ErrorKind::TimedOut));
                link.lost = [true; 2];
                if let Some(waker) = link.waker.take() {
                    waker.wake();
                }
            }
        }
    }

    // What goes wrong.

    /// The client is told that the connection is gone. The server is not.
    pub(in super::super) fn cut_client(&mut self, link: LinkId) {
        self.links[link].lost = [true; 2];
        let waker = self.links[link].hear(What::Reset);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// What the client has sent on this connection comes then, if it has not come; or earlier, when
    /// the kernel would give it up.
    pub(in super::super) fn hold_back(&mut self, link: LinkId, until: u64) {
        let user_timeout = self.weather.user_timeout;
        let parcels = std::mem::take(&mut self.parcels).into_iter();
        let held_back = parcels.map(|Reverse(mut parcel)| {
            if parcel.link == link && parcel.direction == Direction::Up {
                let until = until.min(parcel.sent + user_timeout);
                parcel.due = parcel.due.max(until);
            }
            Reverse(parcel)
        });
        self.parcels = held_back.collect();
    }

    /// From now on, nothing that is sent in this direction arrives.
    pub(in super::super) fn lose(&mut self, link: LinkId, direction: Direction) {
        self.links[link].lost[index(direction)] = true;
        let at = self.now + KEEPALIVE + self.weather.user_timeout;
        self.doom(link, at);
    }

    /// Nothing moves on this connection, in this direction, until then. On others it does, so what is
    /// asked again may come before what was asked first.
    pub(in super::super) fn delay(&mut self, link: LinkId, direction: Direction, until: u64) {
        let still = &mut self.links[link].still_until[index(direction)];
        *still = until.max(*still);
    }

    /// Nothing moves in this direction until then.
    pub(in super::super) fn stand_still(
        &mut self,
        place: usize,
        server: usize,
        direction: Direction,
        until: u64,
    ) {
        let path = &mut self.paths[place][server];
        let still = &mut path.still_until[index(direction)];
        *still = until.max(*still);
    }
}
