//! What a server executes, in its order: `MONITOR` on a connection of its own.

use std::fmt::Write as _;
use std::io::{self, BufRead, BufReader, Write};
use std::net::{Ipv4Addr, Shutdown, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::timeout;

use crate::control::Control;
use crate::directory::random;
use crate::server::Server;

/// A command that the server executed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The server's clock, since the Unix epoch.
    pub at: Duration,
    /// The client's address; `lua` for what a script called.
    pub client: String,
    /// The line as the server wrote it.
    pub line: String,
    /// The command and its arguments; bytes that are no UTF-8 are replaced.
    pub arguments: Vec<String>,
}

impl Event {
    /// The command's name in lower case.
    #[must_use]
    pub fn command(&self) -> String {
        self.arguments
            .first()
            .map_or_else(String::new, |name| name.to_lowercase())
    }

    /// Whether a script called it.
    #[must_use]
    pub fn is_from_script(&self) -> bool {
        self.client == "lua"
    }

    /// Whether it is this command (in lower case) and has this argument.
    #[must_use]
    pub fn is(&self, command: &str, argument: &str) -> bool {
        self.command() == command && self.arguments[1..].iter().any(|a| a == argument)
    }

    fn parse(line: &str) -> Option<Self> {
        let (at, rest) = line.strip_prefix('+')?.split_once(" [")?;
        let (source, arguments) = rest.split_once("] ")?;
        let (seconds, micros) = at.split_once('.')?;
        let at = Duration::from_secs(seconds.parse().ok()?)
            + Duration::from_micros(micros.parse().ok()?);
        Some(Self {
            at,
            client: source.split_once(' ')?.1.to_owned(),
            line: line.to_owned(),
            arguments: unquoted(arguments)?,
        })
    }
}

/// Collects what the server executes, from [`Server::monitor`] on. What the helpers of
/// [`Server`] ask is left out.
pub struct Monitor {
    seen: watch::Receiver<Vec<Event>>,
    control: Arc<Control>,
    stream: TcpStream,
}

impl Server {
    /// Starts to watch what the server executes.
    ///
    /// # Panics
    /// If the server does not answer.
    pub fn monitor(&self) -> Monitor {
        Monitor::start(self).unwrap_or_else(|error| panic!("monitor {}: {error}", self.port()))
    }
}

impl Monitor {
    fn start(server: &Server) -> io::Result<Self> {
        let stream = TcpStream::connect((Ipv4Addr::LOCALHOST, server.port()))?;
        let mut lines = BufReader::new(stream.try_clone()?);
        if let Some(password) = server.password() {
            send(&stream, &mut lines, &["AUTH", password])?;
        }
        send(&stream, &mut lines, &["MONITOR"])?;
        let (sender, seen) = watch::channel(Vec::new());
        thread::spawn(move || {
            for event in lines
                .lines()
                .map_while(Result::ok)
                .filter_map(|line| Event::parse(&line))
            {
                sender.send_modify(|seen| seen.push(event));
            }
        });
        Ok(Self {
            seen,
            control: server.control.clone(),
            stream,
        })
    }

    /// Waits for the first event since the start that fits.
    ///
    /// # Panics
    /// If there is none when `limit` has passed, or the server has gone.
    pub async fn wait_for(&self, fits: impl Fn(&Event) -> bool, limit: Duration) -> Event {
        let first = |seen: &[Event]| seen.iter().find(|e| !self.is_own(e) && fits(e)).cloned();
        let mut seen = self.seen.clone();
        let found = match timeout(limit, seen.wait_for(|seen| first(seen).is_some())).await {
            Ok(Ok(seen)) => first(&seen),
            Ok(Err(_)) | Err(_) => None,
        };
        found.unwrap_or_else(|| {
            panic!(
                "no such event within {limit:?} in {:#?}",
                self.seen_so_far()
            )
        })
    }

    /// All events up to now: whatever the server executed before this call is in it.
    ///
    /// # Panics
    /// If the server does not answer; [`Monitor::seen_so_far`] tells what a dead one did.
    pub async fn events(&self) -> Vec<Event> {
        let mark = format!("{:016x}", random());
        let echoed: Result<String, _> = self.control.query(redis::cmd("ECHO").arg(&mark)).await;
        echoed.unwrap_or_else(|error| panic!("the monitored server does not answer: {error}"));
        let limit = Duration::from_secs(20);
        let mut seen = self.seen.clone();
        let marked = seen.wait_for(|seen| seen.iter().rev().any(|e| e.is("echo", &mark)));
        let marked = timeout(limit, marked).await;
        assert!(
            matches!(marked, Ok(Ok(_))),
            "the monitor's connection is broken"
        );
        drop(marked);
        self.seen_so_far()
    }

    /// The events that have arrived here.
    #[must_use]
    pub fn seen_so_far(&self) -> Vec<Event> {
        let seen = self.seen.borrow();
        seen.iter()
            .filter(|event| !self.is_own(event))
            .cloned()
            .collect()
    }

    fn is_own(&self, event: &Event) -> bool {
        self.control.is_own(&event.client)
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

fn send(mut stream: &TcpStream, answers: &mut impl BufRead, command: &[&str]) -> io::Result<()> {
    let mut request = format!("*{}\r\n", command.len());
    for part in command {
        let _ = write!(request, "${}\r\n{part}\r\n", part.len());
    }
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    answers.read_line(&mut answer)?;
    if answer == "+OK\r\n" {
        return Ok(());
    }
    Err(io::Error::other(answer))
}

/// The arguments of a line of `MONITOR`: in double quotes, with the escapes of C.
fn unquoted(line: &str) -> Option<Vec<String>> {
    let mut arguments = Vec::new();
    let mut bytes = line.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'"' {
            continue;
        }
        let mut argument = Vec::new();
        loop {
            argument.push(match bytes.next()? {
                b'"' => break,
                b'\\' => match bytes.next()? {
                    b'n' => b'\n',
                    b'r' => b'\r',
                    b't' => b'\t',
                    b'a' => 7,
                    b'b' => 8,
                    b'x' => {
                        let digits = [bytes.next()?, bytes.next()?];
                        u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
                    }
                    other => other,
                },
                plain => plain,
            });
        }
        arguments.push(String::from_utf8_lossy(&argument).into_owned());
    }
    Some(arguments)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use redis::cmd;

    use crate::server::Server;
    use crate::until::until;

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn it_sees_commands_in_order_with_their_arguments() {
        let server = Server::builder().password("secret").start().await;
        let monitor = server.monitor();
        let mut connection = server.connection().await;
        let key = "k \"\\\r\n\t\u{7}\u{8}\u{1f980}";
        for command in ["SET", "APPEND"] {
            let _: () = cmd(command)
                .arg(key)
                .arg("v")
                .query_async(&mut connection)
                .await
                .expect("ok");
        }
        let script = "return redis.call('DEL', KEYS[1])";
        let _: () = cmd("EVAL")
            .arg(script)
            .arg(1)
            .arg(key)
            .query_async(&mut connection)
            .await
            .expect("ok");

        assert!(!server.exists(key).await);
        let events = monitor.events().await;
        let of_key: Vec<_> = events
            .iter()
            .filter(|e| e.arguments.iter().any(|a| a == key))
            .collect();
        let commands: Vec<_> = of_key.iter().map(|e| e.command()).collect();
        assert_eq!(commands, ["set", "append", "eval", "del"]);
        assert_eq!(of_key[0].arguments, ["SET", key, "v"]);
        assert!(of_key[3].is("del", key) && of_key[3].is_from_script());
        assert!(of_key[0].client.starts_with("127.0.0.1:"));
        assert!(of_key.is_sorted_by_key(|e| e.at));
        assert!(of_key[0].at > Duration::from_secs(1_600_000_000));
    }

    #[tokio::test]
    async fn it_can_be_waited_for() {
        let server = Server::start().await;
        let monitor = server.monitor();
        let mut connection = server.connection().await;
        let waiting = monitor.wait_for(|event| event.is("set", "key"), LIMIT);
        let setting = async {
            let _: () = cmd("SET")
                .arg("key")
                .arg("v")
                .query_async(&mut connection)
                .await
                .expect("ok");
        };
        let (event, ()) = tokio::join!(waiting, setting);
        assert_eq!(event.arguments, ["SET", "key", "v"]);
        assert_eq!(
            monitor.wait_for(|e| e.command() == "set", LIMIT).await,
            event
        );
        server.kill_clients().await;
        assert!(
            !monitor.events().await.is_empty(),
            "the monitor was killed too"
        );
    }

    #[tokio::test]
    async fn it_disconnects_when_dropped() {
        let server = Server::start().await;
        let clients = async || {
            let info: redis::InfoDict = server.ask(cmd("INFO").arg("clients")).await;
            info.get::<usize>("connected_clients")
        };
        let before = clients().await;
        let monitor = server.monitor();
        assert_ne!(clients().await, before);
        drop(monitor);
        until(LIMIT, "it has gone", async || clients().await == before).await;
    }

    #[tokio::test]
    #[should_panic(expected = "no such event")]
    async fn it_says_when_nothing_came() {
        let server = Server::start().await;
        server
            .monitor()
            .wait_for(|_| true, Duration::from_millis(20))
            .await;
    }
}
