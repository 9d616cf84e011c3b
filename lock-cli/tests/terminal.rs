//! The tool in a terminal.

mod common;

use std::process::Command;

use common::terminal::{Terminal, line_of, program};
use common::{LIMIT, PROGRAM, hold, is_stopped, signal_to};
use redis_locked_test_support::{Server, until, until_some};

const OTHER_TOKEN: &str = "ABCDEFGHIJ-_abcdefghij";
const CTRL_C: &str = "\u{3}";
const CTRL_Z: &str = "\u{1a}";

fn watch(server: &Server, options: &[&str]) -> Option<Command> {
    let mut command = program(PROGRAM)?;
    command.args(["watch", "--interval", "20ms"]).args(options);
    command.env("REDIS_URL", server.url());
    Some(command)
}

/// Whether a colour was set, for text or ground.
fn has_color(bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    let is_color = |parameter: &str| {
        let number = parameter.parse::<u8>();
        matches!(number, Ok(30..=38 | 40..=48 | 90..=97 | 100..=107))
    };
    text.split("\u{1b}[").skip(1).any(|sequence| {
        let end = sequence.find(|c: char| !c.is_ascii_digit() && c != ';');
        let (parameters, rest) = sequence.split_at(end.unwrap_or(sequence.len()));
        rest.starts_with('m') && parameters.split(';').any(is_color)
    })
}

#[tokio::test]
async fn watch_shows_locks_marks_changes_and_sorts() {
    let server = Server::start().await;
    hold(&server, "invoice:1", "web-9:4").await;
    hold(&server, "report:42", "web-3:812").await;
    let Some(command) = watch(&server, &[]) else {
        return;
    };
    let mut terminal = Terminal::start(command);
    terminal.until_line("KEY ▲ OWNER LEFT FENCE").await;
    terminal.until_line("invoice:1 web-9:4").await;
    terminal.until_line("report:42 web-3:812").await;
    terminal.until_line("2 held").await;

    hold(&server, "tick", "cron-1:7").await;
    terminal.until_line("+ tick cron-1:7").await;
    let other = format!("{OTHER_TOKEN};web-4:99");
    server.set_px("report:42", other.as_str(), 60_000).await;
    terminal.until_line("~ report:42 web-4:99").await;
    server.set_px("report:42", other.as_str(), 90_000).await;
    terminal.until_line("^ report:42 web-4:99").await;
    server.del("tick").await;
    terminal.until_line("- tick cron-1:7 gone").await;
    assert!(has_color(&terminal.bytes()));

    let is_first = |screen: &vt100::Screen, first: &str, second: &str| {
        let line = |key: &str| screen.rows(0, 80).position(|line| line.contains(key));
        line(first) < line(second)
    };
    terminal
        .until("by key", |screen| {
            is_first(screen, "invoice:1", "report:42")
        })
        .await;
    terminal.press("o");
    terminal
        .until("by owner", |screen| {
            line_of(screen, "KEY OWNER ▲").is_some() && is_first(screen, "report:42", "invoice:1")
        })
        .await;
    terminal.press("o");
    terminal
        .until("by owner, the other way around", |screen| {
            line_of(screen, "KEY OWNER ▼").is_some() && is_first(screen, "invoice:1", "report:42")
        })
        .await;
    terminal.press("q");
    assert_eq!(terminal.wait().await, Some(0));
}

#[tokio::test]
async fn watch_gives_the_terminal_back_as_it_was() {
    let server = Server::start().await;
    hold(&server, "report:42", "web-3:812").await;
    for ending in ["q", CTRL_C, "TERM"] {
        let Some(command) = watch(&server, &[]) else {
            return;
        };
        let mut shell = program("sh").expect("as before");
        shell.args(["-c", "echo before; read x; exec \"$@\"", "sh"]);
        // The same arguments, less those of setsid(1) itself.
        shell.args(command.get_args().skip(2));
        shell.env("REDIS_URL", server.url());
        let mut terminal = Terminal::start(shell);
        terminal.until_line("before").await;
        let before = terminal.settings();
        terminal.press("\n");
        terminal.until_line("report:42 web-3:812").await;
        terminal
            .until("on a screen of its own", vt100::Screen::alternate_screen)
            .await;
        assert_ne!(terminal.settings(), before);
        if ending == "TERM" {
            signal_to(terminal.id(), ending);
        } else {
            terminal.press(ending);
        }
        assert_eq!(terminal.wait().await, Some(0), "{ending:?}");
        assert_eq!(terminal.settings(), before, "{ending:?}");
        let is_back = |screen: &vt100::Screen| {
            let is_gone = line_of(screen, "report:42").is_none();
            is_gone && !screen.alternate_screen() && !screen.hide_cursor()
        };
        terminal.until("the screen of before", is_back).await;
        terminal.until_line("before").await;
    }
}

#[tokio::test]
async fn watch_does_without_colour() {
    let server = Server::start().await;
    for (option, variable) in [(&["--no-color"][..], ""), (&[], "1")] {
        hold(&server, "report:42", "web-3:812").await;
        let Some(mut command) = watch(&server, option) else {
            return;
        };
        command.env("NO_COLOR", variable);
        let mut terminal = Terminal::start(command);
        terminal.until_line("report:42 web-3:812").await;
        hold(&server, "tick", "cron-1:7").await;
        terminal.until_line("+ tick cron-1:7").await;
        server.del("report:42").await;
        terminal.until_line("- report:42 web-3:812 gone").await;
        server.del("tick").await;
        terminal.press("q");
        assert_eq!(terminal.wait().await, Some(0));
        assert!(!has_color(&terminal.bytes()), "{option:?} {variable:?}");
    }
}

/// A script for a shell that goes on when the run in it, of another script, has ended or was stopped.
fn shell(server: &Server, flags: &str, script: &str, body: &str) -> Option<Terminal> {
    let mut command = program("sh")?;
    command.arg(flags).arg(script);
    let run = format!("{PROGRAM} run -k k --ttl 60s -- sh -c \"$BODY\"");
    command.env("RUN", run);
    command.env("REDIS_URL", server.url()).env("BODY", body);
    Some(Terminal::start(command))
}

/// Starts nothing after it has begun: a shell that is stopped while it does may hang in vfork(2).
const PATIENT: &str = "trap 'echo interrupted; kill $!; exit 3' INT; \
    trap 'echo continued' CONT; sleep 60 & echo group $$ has begun; while :; do wait; done";

/// The process group of the command, which leads it, once it has told.
async fn group_of_command(terminal: &Terminal) -> i32 {
    terminal.until_text("has begun").await;
    number_behind(terminal, "group").await
}

/// The number that was written behind a word, and something behind that.
async fn number_behind(terminal: &Terminal, word: &str) -> i32 {
    until_some(LIMIT, format!("{word} and a number"), async || {
        let written = String::from_utf8(terminal.bytes()).ok()?;
        let mut words = written.split_whitespace();
        words.find(|&written| written == word)?;
        let number = words.next()?.parse().ok()?;
        words.next().map(|_| number)
    })
    .await
}

#[tokio::test]
async fn ctrl_c_reaches_the_command_alone() {
    let server = Server::start().await;
    let Some(mut terminal) = shell(&server, "-c", "eval \"$RUN\"; exit $?", PATIENT) else {
        return;
    };
    let group = group_of_command(&terminal).await;
    assert_eq!(terminal.foreground(), group);
    terminal.press(CTRL_C);
    terminal.until_text("interrupted").await;
    assert_eq!(terminal.wait().await, Some(3));
    assert!(!server.exists("k").await);
}

#[tokio::test]
async fn ctrl_z_stops_the_job_which_can_be_continued() {
    let server = Server::start().await;
    let script = "eval \"$RUN\"; echo stopped with $?; read x; fg; echo ended with $?";
    let Some(mut terminal) = shell(&server, "-mc", script, PATIENT) else {
        return;
    };
    let group = group_of_command(&terminal).await;
    terminal.press(CTRL_Z);
    let stopped = 128 + nix::sys::signal::Signal::SIGTSTP as i32;
    terminal
        .until_text(&format!("stopped with {stopped}"))
        .await;
    assert_ne!(terminal.foreground(), group);
    assert!(server.exists("k").await);
    terminal.press("\n");
    terminal.until_text("continued").await;
    assert_eq!(terminal.foreground(), group);
    terminal.press(CTRL_C);
    terminal.until_text("interrupted").await;
    terminal.until_text("ended with 3").await;
    assert_eq!(terminal.wait().await, Some(0));
    assert!(!server.exists("k").await);
}

#[tokio::test]
async fn the_foreground_is_given_back() {
    let server = Server::start().await;
    let script = "eval \"$RUN\"; read line; echo got $line";
    let Some(mut terminal) = shell(&server, "-c", script, "echo group $$ has begun") else {
        return;
    };
    group_of_command(&terminal).await;
    terminal.press("hello\n");
    terminal.until_text("got hello").await;
    assert_eq!(terminal.wait().await, Some(0));
}

/// As a pager does.
const READS_KEYS: &str = "echo group $$ has begun; read line < /dev/tty; echo got $line";

#[tokio::test]
async fn a_command_that_reads_a_pipe_has_the_keyboard_all_the_same() {
    let server = Server::start().await;
    for (body, keys, told) in [
        (READS_KEYS, "hello\n", "got hello"),
        (PATIENT, CTRL_C, "interrupted"),
    ] {
        let script = "echo x | eval \"$RUN\"; echo it is over";
        let Some(mut terminal) = shell(&server, "-mc", script, body) else {
            return;
        };
        let group = group_of_command(&terminal).await;
        if body == READS_KEYS {
            // What writes the pipe may take it once more for the job when it starts late.
            until(LIMIT, "the command has the keyboard", async || {
                terminal.foreground() == group
            })
            .await;
        }
        terminal.press(keys);
        terminal.until_text(told).await;
        terminal.until_text("it is over").await;
        assert_eq!(terminal.wait().await, Some(0));
    }
}

#[tokio::test]
async fn a_command_whose_output_is_read_by_another_gets_the_keyboard_when_it_asks_for_it() {
    let server = Server::start().await;
    let script = "eval \"$RUN\" | { read began; echo $began >&2; read told; echo $told >&2; }";
    let Some(mut terminal) = shell(&server, "-mc", script, READS_KEYS) else {
        return;
    };
    let group = group_of_command(&terminal).await;
    until(LIMIT, "it has the keyboard", async || {
        terminal.foreground() == group
    })
    .await;
    terminal.press("hello\n");
    terminal.until_text("got hello").await;
    assert_eq!(terminal.wait().await, Some(0));
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_job_in_the_background_that_needs_the_terminal_stops_until_it_has_it() {
    let server = Server::start().await;
    let script = "eval \"$RUN\" & echo tool $! is there; read x; fg; echo ended with $?";
    let Some(mut terminal) = shell(&server, "-mc", script, READS_KEYS) else {
        return;
    };
    let group = group_of_command(&terminal).await;
    let tool = number_behind(&terminal, "tool").await;
    until(LIMIT, "the tool is stopped", async || {
        is_stopped(tool.cast_unsigned())
    })
    .await;
    assert!(server.exists("k").await);
    terminal.press("\n");
    until(LIMIT, "the command has the keyboard", async || {
        terminal.foreground() == group
    })
    .await;
    terminal.press("hello\n");
    terminal.until_text("got hello").await;
    terminal.until_text("ended with 0").await;
    assert_eq!(terminal.wait().await, Some(0));
    assert!(!server.exists("k").await);
}

/// It was in the background, so that its stop is not the kernel's work alone.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_job_that_was_put_into_the_foreground_can_be_stopped_again() {
    let server = Server::start().await;
    let script = "eval \"$RUN\" & echo tool $! is there; read x; fg; echo stopped with $?; fg";
    let body = format!("{READS_KEYS}; echo once more; {READS_KEYS}");
    let Some(mut terminal) = shell(&server, "-mc", script, &body) else {
        return;
    };
    let group = group_of_command(&terminal).await;
    let tool = number_behind(&terminal, "tool").await;
    until(LIMIT, "the tool is stopped", async || {
        is_stopped(tool.cast_unsigned())
    })
    .await;
    terminal.press("\n");
    until(LIMIT, "the command has the keyboard", async || {
        terminal.foreground() == group
    })
    .await;
    terminal.press("first\n");
    terminal.until_text("once more").await;
    terminal.press(CTRL_Z);
    terminal.until_text("stopped with 1").await;
    until(LIMIT, "the command has the keyboard again", async || {
        terminal.foreground() == group
    })
    .await;
    terminal.press("second\n");
    terminal.until_text("got second").await;
    assert_eq!(terminal.wait().await, Some(0));
}

/// Nobody is there who could continue it: Ctrl-Z in a container's only program.
#[tokio::test]
async fn without_a_shell_nothing_is_stopped_for_ever() {
    let server = Server::start().await;
    let Some(mut command) = program("sh") else {
        return;
    };
    let body = "echo group $$ has begun; read line; echo got $line; read line; echo got $line";
    command.args(["-c", "exec \"$@\"", "sh", PROGRAM]);
    command.args(["run", "-k", "k", "--ttl", "60s", "--", "sh", "-c", body]);
    command.env("REDIS_URL", server.url());
    let mut terminal = Terminal::start(command);
    group_of_command(&terminal).await;
    terminal.press("first\n");
    terminal.until_text("got first").await;
    terminal.press(CTRL_Z);
    terminal.press("second\n");
    terminal.until_text("got second").await;
    assert_eq!(terminal.wait().await, Some(0));
}
