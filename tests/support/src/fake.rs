//! A server that answers what the test says, for answers that no real one can be brought to give.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::background::Background;
use crate::port::Port;

/// Lets any client connect (`HELLO`, `AUTH`, `CLIENT`, `SELECT` and `PING` succeed) and answers
/// every other command as told.
pub struct FakeAnswers {
    port: u16,
    commands: watch::Receiver<Vec<Vec<String>>>,
    _background: Background,
}

type Answer = Arc<dyn Fn(&[String]) -> String + Send + Sync>;

impl FakeAnswers {
    /// Answers each command with this error, as in `"LOADING still loading"`.
    pub async fn error(error: &str) -> Self {
        let answer = format!("-{error}");
        Self::with(move |_| answer.clone()).await
    }

    /// Answers a command and its arguments with a line of the protocol: `"+OK"`, `":1"`, `"$-1"`.
    ///
    /// # Panics
    /// If no port is free.
    pub async fn with(answer: impl Fn(&[String]) -> String + Send + Sync + 'static) -> Self {
        let port = Port::claim();
        let number = port.number();
        let listener = TcpListener::bind(("127.0.0.1", number))
            .await
            .expect("the port is claimed");
        let listener = listener.into_std().expect("a listener");
        let (sender, commands) = watch::channel(Vec::new());
        let background = Background::run(async move {
            let listener = TcpListener::from_std(listener).expect("a listener");
            let (answer, sender): (Answer, _) = (Arc::new(answer), Arc::new(sender));
            let _port = port;
            while let Ok((client, _)) = listener.accept().await {
                let (answer, sender) = (answer.clone(), sender.clone());
                // An error here is a client that has gone.
                tokio::spawn(async move { serve(client, &answer, &sender).await.ok() });
            }
        });
        Self {
            port: number,
            commands,
            _background: background,
        }
    }

    /// Where it listens.
    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The commands that it answered as told, with their arguments.
    #[must_use]
    pub fn commands(&self) -> Vec<Vec<String>> {
        self.commands.borrow().clone()
    }
}

async fn serve(
    client: TcpStream,
    answer: &Answer,
    commands: &watch::Sender<Vec<Vec<String>>>,
) -> io::Result<()> {
    let mut client = BufReader::new(client);
    loop {
        let command = command(&mut client).await?;
        let answer = if let Some(greeting) = greeting(&command) {
            greeting
        } else {
            let answer = answer(&command);
            commands.send_modify(|all| all.push(command));
            answer
        };
        client.write_all(format!("{answer}\r\n").as_bytes()).await?;
    }
}

/// The answer to what clients send when they connect.
fn greeting(command: &[String]) -> Option<String> {
    let name = command.first()?.to_uppercase();
    match name.as_str() {
        "HELLO" => Some("*2\r\n$5\r\nproto\r\n:2".to_owned()),
        "CLIENT" if command.get(1)?.eq_ignore_ascii_case("ID") => Some(":1".to_owned()),
        "AUTH" | "CLIENT" | "SELECT" => Some("+OK".to_owned()),
        "PING" => Some("+PONG".to_owned()),
        _ => None,
    }
}

async fn command(client: &mut BufReader<TcpStream>) -> io::Result<Vec<String>> {
    let mut arguments = Vec::new();
    for _ in 0..length(client, '*').await? {
        let mut argument = vec![0; length(client, '$').await? + 2];
        client.read_exact(&mut argument).await?;
        argument.truncate(argument.len() - 2);
        arguments.push(String::from_utf8_lossy(&argument).into_owned());
    }
    Ok(arguments)
}

async fn length(client: &mut BufReader<TcpStream>, mark: char) -> io::Result<usize> {
    let mut line = String::new();
    client.read_line(&mut line).await?;
    line.strip_prefix(mark)
        .and_then(|number| number.trim_end().parse().ok())
        .ok_or_else(|| io::Error::other(line.clone()))
}

#[cfg(test)]
mod tests {
    use redis::cmd;

    use super::FakeAnswers;
    use crate::control;

    #[tokio::test]
    async fn it_answers_each_command_with_the_error() {
        let server = FakeAnswers::error("BUSYGROUP not today").await;
        for suffix in ["", "?protocol=resp3"] {
            let client = redis::Client::open(server.url() + suffix).expect("a valid url");
            let mut connection = control::connect(&client).await.expect("connected");
            for _ in 0..2 {
                let set = cmd("SET").arg("k").arg("v").clone();
                let error = set
                    .query_async::<()>(&mut connection)
                    .await
                    .expect_err("told so");
                assert_eq!(
                    (error.code(), error.detail()),
                    (Some("BUSYGROUP"), Some("not today"))
                );
            }
        }
        assert_eq!(server.commands(), vec![["SET", "k", "v"]; 4]);
    }

    #[tokio::test]
    async fn it_can_tell_commands_apart() {
        let server = FakeAnswers::with(|command| match command[0].as_str() {
            "SET" => "+OK".to_owned(),
            _ => ":7".to_owned(),
        })
        .await;
        let client = redis::Client::open(server.url()).expect("a valid url");
        let mut connection = control::connect(&client).await.expect("connected");
        let set: String = cmd("SET")
            .arg("k")
            .arg("v")
            .query_async(&mut connection)
            .await
            .expect("set");
        let del: u64 = cmd("DEL")
            .arg("k")
            .query_async(&mut connection)
            .await
            .expect("deleted");
        assert_eq!((set.as_str(), del), ("OK", 7));
    }
}
