//! A real server and a simulated one, told the same.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, SystemTime};

use redis_locked_simulation::simulation::server::{ClientId, Options, Said, Server};
use redis_locked_test_support as support;

pub(crate) type Command = Vec<Vec<u8>>;

/// A command as it is written in a test: its parts are separated by spaces.
pub(crate) fn command(words: &str) -> Command {
    words
        .split(' ')
        .map(|word| word.as_bytes().to_vec())
        .collect()
}

pub(crate) fn packed(command: &Command) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
    for part in command {
        bytes.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
        bytes.extend_from_slice(part);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes
}

pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    u64::try_from(since.expect("it is after 1970").as_micros()).expect("it is not yet so late")
}

/// Whose answers the simulated server gives. Other versions word some errors otherwise.
const VERSION: &str = "7.0.";

/// A real server that expires keys only when they are asked for, so that both do it at once; none if
/// it is of another version.
pub(crate) async fn real_server() -> Option<support::Server> {
    let server = support::Server::builder()
        .arg("enable-debug-command", "yes")
        .arg("enable-protected-configs", "yes")
        .start()
        .await;
    let mut connection = server.connection().await;
    let about: String = redis::cmd("INFO")
        .arg("server")
        .query_async(&mut connection)
        .await
        .expect("it tells about itself");
    if !about.contains(&format!("\nredis_version:{VERSION}")) {
        println!("the simulated server is a Redis {VERSION}, so this was left out");
        return None;
    }
    redis::cmd("DEBUG")
        .arg("SET-ACTIVE-EXPIRE")
        .arg(0)
        .exec_async(&mut connection)
        .await
        .expect("it may be told so");
    Some(server)
}

/// What every client of both has heard.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) real: Vec<Vec<u8>>,
    pub(crate) simulated: Vec<Vec<u8>>,
}

pub(crate) struct Pair {
    real: Vec<TcpStream>,
    pub(crate) simulated: Server,
    clients: Vec<ClientId>,
    asked: usize,
    pub(crate) different: usize,
}

impl Pair {
    /// So many clients of each, which find no key and no script.
    pub(crate) fn new(real: &support::Server, clients: usize) -> Self {
        Self::with(real, clients, Options::default())
    }

    pub(crate) fn with(real: &support::Server, clients: usize, options: Options) -> Self {
        let mut simulated = Server::new(options);
        let connect = |_| {
            let stream = TcpStream::connect(("127.0.0.1", real.port())).expect("it listens");
            stream.set_nodelay(true).expect("it is possible");
            stream
                .set_read_timeout(Some(Duration::from_secs(20)))
                .expect("it is possible");
            stream
        };
        let mut pair = Self {
            real: (0..clients).map(connect).collect(),
            clients: (0..clients).map(|_| simulated.open(now())).collect(),
            simulated,
            asked: 0,
            different: 0,
        };
        for words in ["FLUSHALL", "SCRIPT FLUSH"] {
            pair.ask(0, &command(words));
        }
        pair
    }

    /// Has one client send a command, and listens until every client has heard all that followed
    /// from it.
    pub(crate) fn ask(&mut self, client: usize, asked: &Command) -> Heard {
        let bytes = packed(asked);
        self.real[client].write_all(&bytes).expect("it reads");
        self.asked += 1;
        // A server repeats it in an error, whatever its mood is.
        let mark = format!("HELLO 2 mark-{}", self.asked);
        let end = format!("mark-{}'\r\n", self.asked).into_bytes();
        let mark = packed(&command(&mark));
        // In this order: what the others are told is said when the first is answered.
        let mut order: Vec<_> = (0..self.real.len()).collect();
        order.swap(0, client);
        let mut heard = vec![Vec::new(); self.real.len()];
        for one in &order {
            self.real[*one].write_all(&mark).expect("it reads");
            let heard = &mut heard[*one];
            let mut some = [0; 4096];
            while !heard.ends_with(&end) {
                let length = self.real[*one].read(&mut some).expect("it answers in time");
                assert!(
                    length > 0,
                    "the real server hung up on {asked:?}: {heard:?}"
                );
                heard.extend_from_slice(&some[..length]);
            }
        }
        // A command may come in pieces.
        let (first, rest) = bytes.split_at(self.asked % bytes.len());
        for piece in [first, rest] {
            self.simulated.hear(self.clients[client], piece, now());
        }
        if let Some(then) = self.simulated.wakes_at() {
            self.simulated.tick(then);
        }
        for one in order {
            self.simulated.hear(self.clients[one], &mark, now());
        }
        Heard {
            real: heard,
            simulated: self.simulated_heard(),
        }
    }

    fn simulated_heard(&mut self) -> Vec<Vec<u8>> {
        let mut heard = vec![Vec::new(); self.clients.len()];
        for (id, said) in self.simulated.said() {
            let client = self.clients.iter().position(|it| *it == id);
            let heard = &mut heard[client.expect("it is one of these")];
            match said {
                Said::Bytes(bytes) => heard.extend_from_slice(&bytes),
                Said::Closed => heard.extend_from_slice(b"(closed)"),
            }
        }
        heard
    }
}

impl Heard {
    /// Whether all were told the same, but for the time that passed between the two, and the
    /// numbers that they have as clients.
    pub(crate) fn is_same(&self) -> bool {
        let mut both = self.real.iter().zip(&self.simulated);
        self.real.len() == self.simulated.len()
            && both.all(|(real, simulated)| {
                let (real, simulated) = (lines(real), lines(simulated));
                let mut both = real.iter().zip(&simulated);
                real.len() == simulated.len() && both.all(|(one, other)| are_near(one, other))
            })
    }

    pub(crate) fn story(&self) -> String {
        let show = |heard: &[Vec<u8>]| {
            let heard = heard.iter().map(|bytes| bytes.escape_ascii().to_string());
            heard.collect::<Vec<_>>().join("\n    ")
        };
        format!(
            "  the real one:\n    {}\n  the simulated one:\n    {}",
            show(&self.real),
            show(&self.simulated)
        )
    }
}

fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    let lines = bytes.split(|it| *it == b'\n').map(<[u8]>::to_vec);
    let mut lines: Vec<_> = lines.collect();
    for number in 1..lines.len() {
        if lines[number - 1] == b"id\r" {
            lines[number] = b"(a client's number)".to_vec();
        }
    }
    lines
}

/// Equal word by word, but for numbers that tell what is left of a long time, or the time itself.
fn are_near(one: &[u8], other: &[u8]) -> bool {
    let words = |bytes: &[u8]| bytes.split(|it| *it == b' ').count();
    let mut both = one
        .split(|it| *it == b' ')
        .zip(other.split(|it| *it == b' '));
    words(one) == words(other) && both.all(|(one, other)| are_near_words(one, other))
}

fn are_near_words(one: &[u8], other: &[u8]) -> bool {
    let number = |bytes: &[u8]| -> Option<u64> {
        let mut kinds = [b":", b","].into_iter();
        let digits = kinds.find_map(|kind| bytes.strip_prefix(kind));
        let digits = digits.unwrap_or(bytes).trim_ascii_end();
        str::from_utf8(digits).ok()?.parse().ok()
    };
    one == other
        || match (number(one), number(other)) {
            (Some(one), Some(other)) => {
                let tolerance = match one.min(other) {
                    0..10_000 => 0,
                    10_000..1_000_000_000_000 => 4_000,
                    // Microseconds since 1970.
                    _ => 4_000_000,
                };
                one.abs_diff(other) <= tolerance
            }
            _ => false,
        }
}
