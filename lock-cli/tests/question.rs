//! The question of `break --owner`, which only a terminal is asked.

mod common;

use common::terminal::{Terminal, program};
use common::{PROGRAM, hold};
use redis_locked_test_support::Server;

const OTHER_TOKEN: &str = "ABCDEFGHIJ-_abcdefghij";

/// Two locks of one machine, one of another, and the question. None where there is no terminal to be had.
async fn asked() -> Option<(Server, Terminal)> {
    let mut command = program(PROGRAM)?;
    let server = Server::start().await;
    for (key, owner) in [("a", "web-1:8"), ("b", "web-1:9"), ("c", "web-11:8")] {
        hold(&server, key, owner).await;
    }
    command.args(["break", "--owner", "web-1:*"]);
    command.env("REDIS_URL", server.url());
    let terminal = Terminal::start(command);
    terminal.until_text("free these 2 locks?").await;
    terminal.until_line("a web-1:8").await;
    terminal.until_line("b web-1:9").await;
    Some((server, terminal))
}

async fn held(server: &Server) -> Vec<String> {
    let mut keys = server.keys().await;
    keys.sort();
    keys
}

#[tokio::test]
async fn only_a_yes_frees_them() {
    for (answer, code, left) in [
        ("y\n", 0, &["c"][..]),
        ("yes\n", 0, &["c"]),
        ("n\n", 1, &["a", "b", "c"]),
        ("\n", 1, &["a", "b", "c"]),
        ("yesterday\n", 1, &["a", "b", "c"]),
        // The end of the input.
        ("\u{4}", 1, &["a", "b", "c"]),
    ] {
        let Some((server, mut terminal)) = asked().await else {
            return;
        };
        terminal.press(answer);
        assert_eq!(terminal.wait().await, Some(code), "{answer:?}");
        assert_eq!(held(&server).await, left, "{answer:?}");
        let said = if code == 0 {
            "freed lock \"a\""
        } else {
            "nothing was freed"
        };
        terminal.until_text(said).await;
    }
}

#[tokio::test]
async fn ctrl_c_is_a_no() {
    let Some((server, mut terminal)) = asked().await else {
        return;
    };
    terminal.press("\u{3}");
    assert_ne!(terminal.wait().await, Some(0));
    assert_eq!(held(&server).await, ["a", "b", "c"]);
}

#[tokio::test]
async fn what_has_changed_hands_since_the_question_stays() {
    let Some((server, mut terminal)) = asked().await else {
        return;
    };
    let next = format!("{OTHER_TOKEN};web-1:10");
    server.set_px("b", next.as_str(), 60_000).await;
    terminal.press("y\n");
    assert_eq!(terminal.wait().await, Some(1));
    assert_eq!(held(&server).await, ["b", "c"]);
    assert_eq!(server.get("b").await, Some(next));
}
