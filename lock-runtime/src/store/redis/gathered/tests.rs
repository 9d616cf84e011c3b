use std::future::Future;
use std::pin::pin;
use std::task::Waker;

use futures_util::future::{join, join_all};
use redis::{AsyncConnectionConfig, RedisConnectionInfo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
use tokio::runtime::Builder;
use tokio::task::JoinHandle;
use tokio::time::advance;

use super::*;

const PATIENCE: Duration = Duration::from_secs(10);
/// What is to happen happens before.
const LIMIT: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

/// What stands at the other end, and answers what it is told to.
struct Server(DuplexStream);

impl Server {
    /// The numbers of the commands that arrive together.
    async fn heard(&mut self) -> Vec<usize> {
        let mut bytes = vec![0; 1 << 16];
        let reading = timeout(LIMIT, self.0.read(&mut bytes)).await;
        let length = reading.expect("something is sent").expect("open");
        let text = String::from_utf8(bytes[..length].to_vec()).expect("text");
        text.split("ECHO\r\n")
            .skip(1)
            .map(|rest| rest.lines().nth(1).expect("an argument"))
            .map(|number| number.parse().expect("a number"))
            .collect()
    }

    async fn say(&mut self, answers: impl IntoIterator<Item = &str>) {
        let answers: String = answers.into_iter().collect();
        self.0.write_all(answers.as_bytes()).await.expect("open");
    }

    /// Answers each with its number.
    async fn echo(&mut self, numbers: &[usize]) {
        let answers: Vec<_> = numbers
            .iter()
            .map(|number| format!(":{number}\r\n"))
            .collect();
        self.say(answers.iter().map(String::as_str)).await;
    }
}

/// Where the second caller leaves its command with the task.
async fn connected() -> (Gathered, Server) {
    connected_with(1).await
}

async fn connected_with(few: usize) -> (Gathered, Server) {
    let (ours, theirs) = duplex(1 << 16);
    let config = AsyncConnectionConfig::new()
        .set_response_timeout(Some(PATIENCE))
        .set_connection_timeout(None);
    let info = RedisConnectionInfo::default().set_skip_set_lib_name();
    let connecting = redis::aio::MultiplexedConnection::new_with_config(&info, ours, config);
    let (connection, driver) = connecting.await.expect("nothing is asked");
    tokio::spawn(driver);
    (Gathered::with(connection, PATIENCE, few), Server(theirs))
}

async fn ask(gathered: &Gathered, number: usize) -> RedisResult<Value> {
    let mut command = redis::cmd("ECHO");
    command.arg(number);
    let answer = gathered.send(&mut command).await;
    assert_eq!(command.args_iter().len(), 2, "it can be sent again");
    answer
}

fn value(number: usize) -> Value {
    Value::Int(i64::try_from(number).expect("small"))
}

/// Polls a future once.
fn begin(future: std::pin::Pin<&mut impl Future<Output = RedisResult<Value>>>) {
    let mut context = Context::from_waker(Waker::noop());
    assert!(future.poll(&mut context).is_pending());
}

#[tokio::test(start_paused = true)]
async fn what_comes_in_meanwhile_leaves_together() {
    let (gathered, mut server) = connected().await;
    let asking: Vec<_> = (0..6)
        .map(|number| {
            let gathered = gathered.clone();
            tokio::spawn(async move { ask(&gathered, number).await })
        })
        .collect();
    let mut heard = vec![];
    while heard.len() < 6 {
        heard.extend(server.heard().await);
    }
    assert_eq!(heard, [0, 1, 2, 3, 4, 5]);
    // The first left alone. Of a pipeline, redis-rs hands out no answer before it has all.
    server.echo(&heard[..3]).await;
    sleep(SECOND).await;
    let answered: Vec<_> = asking.iter().map(JoinHandle::is_finished).collect();
    assert_eq!(answered, [true, false, false, false, false, false]);
    server.echo(&heard[3..]).await;
    for (number, asking) in asking.into_iter().enumerate() {
        let answer = asking.await.expect("no panic");
        assert_eq!(answer.expect("answered"), value(number));
    }
}

#[tokio::test(start_paused = true)]
async fn a_few_send_by_themselves() {
    let (gathered, mut server) = connected_with(FEW).await;
    let mut asking = vec![];
    for number in 0..FEW + 2 {
        asking.push(Box::pin(ask(&gathered, number)));
        begin(asking.last_mut().expect("just put there").as_mut());
    }
    assert_eq!(gathered.0.staying.load(Ordering::Relaxed), 2);
    let mut heard = vec![];
    while heard.len() < asking.len() {
        heard.extend(server.heard().await);
    }
    assert!(heard.is_sorted(), "{heard:?}");
    // One of the few need not wait for the others.
    server.echo(&[0]).await;
    assert_eq!(asking.remove(0).await.expect("answered"), value(0));
    server.echo(&heard[1..]).await;
    for (answer, number) in join_all(asking).await.into_iter().zip(1..) {
        assert_eq!(answer.expect("answered"), value(number));
    }
}

#[tokio::test]
async fn one_alone_uses_the_same_room_again() {
    let (gathered, mut server) = connected().await;
    for number in 0..3 {
        let serving = async {
            assert_eq!(server.heard().await, [number]);
            server.echo(&[number]).await;
        };
        let (answer, ()) = join(ask(&gathered, number), serving).await;
        assert_eq!(answer.expect("answered"), value(number));
        assert!(gathered.0.alone.is_free());
    }
}

#[tokio::test]
async fn a_command_that_is_refused_fails_alone() {
    let (gathered, mut server) = connected().await;
    let asking = join_all((0..4).map(|number| ask(&gathered, number)));
    let serving = async {
        let mut heard = 0;
        while heard < 4 {
            heard += server.heard().await.len();
        }
        server
            .say([":0\r\n", ":1\r\n", "-OOM no room\r\n", ":3\r\n"])
            .await;
    };
    let (answers, ()) = join(asking, serving).await;
    for (number, answer) in answers.into_iter().enumerate() {
        let answer = answer.expect("an answer of its own");
        match number {
            2 => assert!(matches!(answer, Value::ServerError(_)), "{answer:?}"),
            _ => assert_eq!(answer, value(number)),
        }
    }
}

#[tokio::test]
async fn one_whose_caller_has_left_is_carried_out() {
    let (gathered, mut server) = connected().await;
    let mut first = pin!(ask(&gathered, 0));
    begin(first.as_mut());
    {
        let mut leaves = pin!(ask(&gathered, 1));
        begin(leaves.as_mut());
    }
    let mut heard = vec![];
    while heard.len() < 2 {
        heard.extend(server.heard().await);
    }
    assert_eq!(heard, [0, 1]);
    server.echo(&heard).await;
    assert_eq!(first.await.expect("answered"), value(0));
}

/// Once something is sent on, the server does what it says, though the connection is given up then.
#[tokio::test(start_paused = true)]
async fn all_leave_at_once_though_nobody_answers() {
    let (gathered, mut server) = connected().await;
    let began = Instant::now();
    // One that is alone, as many pipelines as may be under way, and others.
    let mut asking = vec![];
    for number in 0..PIPELINES + 10 {
        asking.push(Box::pin(ask(&gathered, number)));
        begin(asking.last_mut().expect("just put there").as_mut());
        assert_eq!(server.heard().await, [number]);
    }
    assert!(began.elapsed() < SECOND / 10, "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn one_alone_comes_behind_those_whose_callers_have_left() {
    let (gathered, mut server) = connected().await;
    let begun = |number| {
        let mut asking = Box::pin(ask(&gathered, number));
        begin(asking.as_mut());
        asking
    };
    let first = begun(0);
    assert_eq!(server.heard().await, [0]);
    // The task has not been polled since these two were left with it.
    drop([first, begun(1), begun(2)]);
    let mut last = begun(3);
    let mut heard = vec![];
    while heard.len() < 3 {
        heard.extend(server.heard().await);
    }
    assert_eq!(heard, [1, 2, 3]);
    server.echo(&[0, 1, 2, 3]).await;
    assert_eq!(last.as_mut().await.expect("answered"), value(3));
}

#[tokio::test]
async fn one_who_is_not_polled_holds_nobody_up() {
    let (gathered, mut server) = connected().await;
    let mut still: Vec<_> = (0..20)
        .map(|number| Box::pin(ask(&gathered, number)))
        .collect();
    for asking in &mut still {
        begin(asking.as_mut());
    }
    let mut heard = 0;
    while heard < 20 {
        let numbers = server.heard().await;
        server.echo(&numbers).await;
        heard += numbers.len();
    }
    for number in 20..40 {
        let serving = async {
            let numbers = server.heard().await;
            server.echo(&numbers).await;
        };
        let (answer, ()) = join(ask(&gathered, number), serving).await;
        assert_eq!(answer.expect("answered"), value(number));
    }
    for (number, asking) in still.into_iter().enumerate() {
        assert_eq!(asking.await.expect("answered long ago"), value(number));
    }
}

#[tokio::test(start_paused = true)]
async fn the_limit_counts_from_when_one_asked() {
    let (gathered, _server) = connected().await;
    let began = Instant::now();
    // More than may be under way, at one after another's heels.
    let asking = (0..10).map(|number| {
        let gathered = &gathered;
        async move {
            sleep(u32::try_from(number).expect("small") * SECOND).await;
            let asked = Instant::now();
            let error = ask(gathered, number).await.expect_err("nobody answers");
            assert!(error.is_timeout(), "{error}");
            assert!(
                asked.elapsed() < PATIENCE + SECOND / 10,
                "{:?}",
                asked.elapsed()
            );
            assert!(asked.elapsed() >= PATIENCE);
        }
    });
    join_all(asking).await;
    assert!(began.elapsed() < PATIENCE + 10 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn all_are_told_when_the_connection_breaks() {
    let (gathered, server) = connected().await;
    let asking = join_all((0..20).map(|number| ask(&gathered, number)));
    let breaking = async {
        advance(SECOND).await;
        drop(server);
    };
    let (answers, ()) = join(asking, breaking).await;
    for answer in answers {
        let error = answer.expect_err("broken");
        assert!(error.is_connection_dropped(), "{error:?}");
    }
}

#[test]
fn all_are_told_when_the_runtime_ends() {
    let [first, second] = [(); 2].map(|()| {
        let mut builder = Builder::new_current_thread();
        builder.enable_all().build().expect("a runtime")
    });
    let (gathered, _server) = first.block_on(connected());
    let asking = second.spawn({
        let gathered = gathered.clone();
        async move { join_all((0..5).map(|number| ask(&gathered, number))).await }
    });
    second.block_on(async { tokio::task::yield_now().await });
    drop(first);
    for answer in second.block_on(asking).expect("no panic") {
        let error = answer.expect_err("it ended");
        assert!(error.is_connection_dropped(), "{error:?}");
    }
    for answer in second.block_on(join_all((5..7).map(|number| ask(&gathered, number)))) {
        let error = answer.expect_err("it has ended");
        assert!(error.is_connection_dropped(), "{error:?}");
    }
}
