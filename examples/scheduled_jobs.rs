//! A job that is due every two seconds on several machines, and runs on one of them each time.
//!
//! ```sh
//! cargo run --example scheduled_jobs -- --workers 3
//! cargo run --example scheduled_jobs -- --workers 5 --ticks 20
//! ```
//!
//! Processes of this program stand for the machines. The functions to copy are `clean_up` and
//! `worker`; the rest starts the processes and counts what they did. The locks are in the Redis of
//! `REDIS_URL`, or else in a `redis-server` that is started for the run. Kill a worker: the others
//! run its share.

use std::env;
use std::io::{BufRead, BufReader, ErrorKind};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::ops::Range;
use std::process::{Child, ChildStdout, Command, ExitCode, Stdio};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, bail, ensure};
use redis_locked::{LockError, Locker, redis_locked};

/// How many seconds a tick is after the last: the period of `once_per`.
const PERIOD: u64 = 2;

/// The job. True on the machine that ran it; on the others `skip` returns the default, false.
///
/// One run succeeds in each period of the server's clock. What fails or dies is run again, should
/// somebody call again in the same period. `record` is short, as nobody asks for it here; by default it
/// is 30 days. The tick is only for what is printed.
#[redis_locked(
    key = "clean_up",
    once_per = "2s",
    record = "1m",
    ttl = "1s",
    renew,
    skip
)]
async fn clean_up(tick: u64) -> Result<bool, LockError> {
    println!("{tick} ran");
    tokio::time::sleep(Duration::from_millis(20)).await;
    Ok(true)
}

/// One machine: asks for each tick when it is due, and prints what came of it.
#[tokio::main(flavor = "current_thread")]
async fn worker(number: u64, run: &str, ticks: Range<u64>) -> anyhow::Result<()> {
    let locker = Locker::builder()
        .prefix(format!("{run}:")) // keeps two runs of this example on one Redis apart
        .owner(format!("worker {number}"))
        .connect(&env::var("REDIS_URL")?)
        .await?;
    locker.install()?;
    for tick in ticks {
        // The clocks of machines differ: this one is 0 to 80 ms late, each tick anew.
        let late = Duration::from_millis((tick * 7 + number * 3) % 9 * 10);
        let due = UNIX_EPOCH + Duration::from_secs(tick * PERIOD) + late;
        tokio::time::sleep(due.duration_since(SystemTime::now()).unwrap_or_default()).await;
        if !clean_up(tick).await? {
            println!("{tick} busy");
        }
    }
    locker.shutdown().await;
    Ok(())
}

const NO_REDIS: &str = "\
this needs a Redis: REDIS_URL is not set, and there is no redis-server on the PATH.

  Debian, Ubuntu   sudo apt install redis-server
  macOS            brew install redis
  elsewhere        REDIS_URL=redis://host:6379 cargo run --example scheduled_jobs";

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let ["worker", number, run, first, end] = arguments[..] {
        worker(number.parse()?, run, first.parse()?..end.parse()?)?;
        return Ok(ExitCode::SUCCESS);
    }
    let (mut workers, mut ticks) = (3, 5);
    for pair in arguments.chunks(2) {
        match pair {
            ["--workers", number] => workers = number.parse().context("--workers")?,
            ["--ticks", number] => ticks = number.parse().context("--ticks")?,
            _ => bail!("usage: scheduled_jobs [--workers 3] [--ticks 5]"),
        }
    }
    ensure!(
        workers > 0 && ticks > 0,
        "without workers or ticks nothing runs"
    );
    if let Ok(url) = env::var("REDIS_URL") {
        println!(
            "{workers} processes, one job every two seconds. Locks: in the Redis of REDIS_URL.\n"
        );
        supervise(workers, ticks, &url)
    } else {
        let Some(server) = RedisServer::start()? else {
            eprintln!("{NO_REDIS}");
            return Ok(ExitCode::FAILURE);
        };
        let url = format!("redis://127.0.0.1:{}", server.port);
        println!(
            "{workers} processes, one job every two seconds. Locks: in a redis-server for this run.\n"
        );
        supervise(workers, ticks, &url)
    }
}

/// Starts the workers, shows what they do, and checks that each tick ran once.
fn supervise(workers: usize, ticks: u64, redis_url: &str) -> anyhow::Result<ExitCode> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let first = now / PERIOD + 2;
    let ticks = first..first + ticks;
    let run = format!("scheduled_jobs:{now}:{}", std::process::id());
    let (sender, answers) = mpsc::channel();
    let mut processes = Vec::new();
    for number in 1..=workers {
        let mut process = Command::new(env::current_exe()?)
            .args(["worker", &number.to_string(), &run])
            .args([ticks.start.to_string(), ticks.end.to_string()])
            .env("REDIS_URL", redis_url)
            .stdout(Stdio::piped())
            .spawn()?;
        let output = process.stdout.take().context("the worker has no output")?;
        let (ticks, sender) = (ticks.clone(), sender.clone());
        thread::spawn(move || read(number, output, ticks, &sender));
        processes.push(process);
    }
    drop(sender);

    print!("  time (UTC)");
    (1..=workers).for_each(|number| print!("  worker {number}"));
    println!();
    let mut rows: Vec<Row> = ticks.map(|tick| Row::new(tick, workers)).collect();
    for answer in answers {
        let row = rows.iter_mut().find(|row| row.tick == answer.tick);
        row.context("a tick that nobody asked for")?.add(&answer);
    }

    println!();
    let wrong: Vec<_> = rows.iter().filter(|row| row.runs != 1).collect();
    for row in &wrong {
        println!("{} ran {} times", row.time(), row.runs);
    }
    if wrong.is_empty() {
        println!("{} ticks, and each ran exactly once.", rows.len());
    }
    let mut all_well = wrong.is_empty();
    for (number, process) in (1..).zip(&mut processes) {
        let status = process.wait()?;
        if !status.success() {
            println!("Worker {number} failed: {status}");
            all_well = false;
        }
    }
    Ok(if all_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What became of a tick on one worker.
struct Answer {
    number: usize,
    tick: u64,
    cell: &'static str,
}

fn read(number: usize, output: ChildStdout, mut ticks: Range<u64>, sender: &Sender<Answer>) {
    let answer = |tick, cell| drop(sender.send(Answer { number, tick, cell }));
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        if let Some((tick, said)) = line.split_once(' ')
            && let Ok(tick) = tick.parse()
        {
            answer(tick, if said == "ran" { "ran" } else { "·" });
            ticks.start = tick + 1;
        }
    }
    ticks.for_each(|tick| answer(tick, "gone"));
}

/// One tick: who ran it.
struct Row {
    tick: u64,
    runs: usize,
    cells: Vec<&'static str>,
}

impl Row {
    fn new(tick: u64, workers: usize) -> Self {
        Self {
            tick,
            runs: 0,
            cells: vec![""; workers],
        }
    }

    /// Prints the row when all have answered.
    fn add(&mut self, answer: &Answer) {
        self.runs += usize::from(answer.cell == "ran");
        self.cells[answer.number - 1] = answer.cell;
        if self.cells.iter().all(|cell| !cell.is_empty()) {
            let cells = (1..).zip(&self.cells).map(|(number, cell)| {
                let width = format!("worker {number}").len();
                format!("  {cell:^width$}")
            });
            let row = format!("  {:10}", self.time()) + &cells.collect::<String>();
            println!("{}", row.trim_end());
        }
    }

    fn time(&self) -> String {
        let time = self.tick * PERIOD;
        let (hours, minutes) = (time / 3600 % 24, time / 60 % 60);
        format!("{hours:02}:{minutes:02}:{:02}", time % 60)
    }
}

/// A server that is stopped when this is dropped.
struct RedisServer {
    process: Child,
    port: u16,
}

impl RedisServer {
    /// `None` without such a program.
    fn start() -> anyhow::Result<Option<Self>> {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
            .local_addr()?
            .port();
        let program = env::var_os("REDIS_SERVER").unwrap_or_else(|| "redis-server".into());
        let process = Command::new(program)
            .args(["--bind", "127.0.0.1", "--port", &port.to_string()])
            .args(["--save", "", "--appendonly", "no"])
            .stdout(Stdio::null())
            .spawn();
        let process = match process {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            process => process.context("redis-server could not be started")?,
        };
        let mut server = Self { process, port };
        while TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            if let Some(status) = server.process.try_wait()? {
                bail!("redis-server did not start: {status}");
            }
            thread::sleep(Duration::from_millis(10));
        }
        Ok(Some(server))
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
