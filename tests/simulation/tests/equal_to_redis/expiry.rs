//! Keys that expire while nobody asks for them, and clients that have to log in.

use std::thread::sleep;
use std::time::{Duration, Instant};

use redis_locked_simulation::simulation::server::Options;
use redis_locked_test_support as support;

use crate::pair::{Pair, command, now};
use crate::words::check;

/// A real server looks for expired keys ten times a second, and takes some of them each time.
const LIMIT: Duration = Duration::from_secs(20);

#[tokio::test]
async fn readers_are_told_of_a_key_that_has_expired() {
    let server = support::Server::start().await;
    let mut pair = Pair::new(&server, 2);
    for words in ["HELLO 3 SETNAME test", "CLIENT TRACKING ON NOLOOP"] {
        pair.ask(1, &command(words));
    }
    pair.ask(0, &command("SET lock a PX 20"));
    // Registered; that it was read by another as well changes nothing.
    pair.ask(1, &command("GET lock"));
    pair.ask(0, &command("GET lock"));
    let is_told = |bytes: &[u8]| {
        let push = b">2\r\n$10\r\ninvalidate\r\n*1\r\n$4\r\nlock\r\n";
        bytes.windows(push.len()).any(|part| part == push)
    };
    let began = Instant::now();
    let mut told = [false, false];
    while told != [true, true] {
        assert!(
            began.elapsed() < LIMIT,
            "told, real and simulated: {told:?}"
        );
        sleep(Duration::from_millis(10));
        pair.simulated.tick(now());
        let heard = pair.ask(0, &command("PING"));
        told[0] |= is_told(&heard.real[1]);
        told[1] |= is_told(&heard.simulated[1]);
    }
    check(&mut pair, 0, &command("GET lock"));
    assert_eq!(pair.different, 0);
}

#[tokio::test]
async fn who_is_not_logged_in_may_do_nothing() {
    let server = support::Server::builder().password("secret").start().await;
    let options = Options {
        password: Some("secret".to_owned()),
        ..Options::default()
    };
    let mut pair = Pair::with(&server, 2, options);
    for words in [
        "GET k",
        "FOO",
        "GET",
        "PING",
        "CLIENT ID",
        "CLIENT FOO",
        "HELLO",
        "HELLO 3",
        "HELLO 3 AUTH default wrong",
        "HELLO 3 AUTH nobody secret",
        "AUTH wrong",
        "AUTH nobody secret",
        "AUTH default",
        "GET k",
        "AUTH secret",
        "GET k",
        "HELLO 3 AUTH default secret SETNAME me",
        "CLIENT GETNAME",
    ] {
        check(&mut pair, 0, &command(words));
    }
    check(&mut pair, 1, &command("HELLO 2 AUTH default secret"));
    check(&mut pair, 1, &command("SET k v"));
    assert_eq!(pair.different, 0);
}
