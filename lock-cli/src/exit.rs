//! How the tool ends when it does not end well. The numbers are those of sysexits.h where it has one.

use std::error::Error;
use std::fmt;

use redis::RedisError;
use redis_locked_runtime::LockError;

/// Nobody holds the lock, or nothing was freed.
pub(crate) const NO: u8 = 1;
/// The command line is wrong.
pub(crate) const USAGE: u8 = 64;
/// Redis could not be asked, or refused.
pub(crate) const UNAVAILABLE: u8 = 69;
/// This machine could not do its part: a process, a file.
pub(crate) const SYSTEM: u8 = 71;
/// The answer could not be written.
pub(crate) const OUTPUT: u8 = 74;
/// Another holder has the lock, or has done its work for this period.
pub(crate) const BUSY: u8 = 75;
/// The lock was lost while the command ran.
pub(crate) const LOST: u8 = 76;

/// What to say on standard error, and the exit code.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) code: u8,
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(code: u8, message: impl fmt::Display) -> Self {
        let message = message.to_string();
        Self { code, message }
    }

    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::new(USAGE, message)
    }

    /// A machine that does not let us do our part.
    pub(crate) fn system(doing: &str, error: impl fmt::Display) -> Self {
        Self::new(SYSTEM, format_args!("{doing}: {error}"))
    }

    /// Why a server could not be asked.
    pub(crate) fn redis(server: &str, error: &RedisError) -> Self {
        let error_and_causes = with_causes(error);
        let said = error_and_causes.to_lowercase();
        let advice = if said.contains("announce") {
            "if this address does not lead there from here, say by --address-map which does"
        } else if said.contains("certificate") {
            "check --ca, --client-cert and --client-key, and the names in the server's certificate"
        } else if error.is_timeout() || error.is_io_error() {
            "check the address, and that the server runs and can be reached from here"
        } else if matches!(error.code(), Some("NOAUTH" | "WRONGPASS" | "NOPERM")) {
            "check the user, the password and what they are allowed"
        } else if said.contains("executing the script") || said.contains("failure in script") {
            "check what the user is allowed: `break` takes +eval +get +pttl +del"
        } else {
            "see what the server says"
        };
        let message = format!("{server} could not be asked: {error_and_causes}; {advice}");
        Self::new(UNAVAILABLE, message)
    }
}

/// An error and all that lies behind it, each once.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut told = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let words = cause.to_string();
        if !told.contains(&words) {
            told = format!("{told}: {words}");
        }
        next = cause.source();
    }
    told
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.message.fmt(f)
    }
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        let code = match &error {
            LockError::Busy { .. } | LockError::AlreadyDone { .. } => BUSY,
            LockError::Lost { .. } => LOST,
            LockError::InvalidRequest { .. } => USAGE,
            _ => UNAVAILABLE,
        };
        Self::new(code, in_options(&error.to_string()))
    }
}

/// The library names arguments and methods where the tool has options.
pub(crate) fn in_options(text: &str) -> String {
    let options = [
        ("`ttl`", "--ttl"),
        ("`renew`", "--renew"),
        ("`max_hold`", "--max-hold"),
        ("`min_hold`", "--min-hold"),
        ("`once_per`", "--once-per"),
        ("`record`", "--record"),
        ("`permits`", "--permits"),
        ("`shared`", "--shared"),
        ("its once_per", "--once-per"),
        ("its record is to live", "--record is"),
        ("`retries`", "--retries"),
        ("`wait`", "--wait"),
        ("`backoff`", "--backoff"),
        ("the locker's timeouts", "--timeout"),
        ("its min_hold", "--min-hold"),
        ("its max_hold", "--max-hold"),
        ("its ttl", "--ttl"),
        ("its owner", "--owner"),
        (
            "the builder the `root_certificate`",
            "--ca with the certificate",
        ),
        (
            "the builder a `client_certificate`",
            "--client-cert and --client-key",
        ),
    ];
    let translated = |text: String, (name, option): &(&str, &str)| text.replace(name, option);
    options.iter().fold(text.to_owned(), translated)
}

/// Writing to a pipe whose reader has left is no failure worth a word.
impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::BrokenPipe {
            return Self::new(OUTPUT, "");
        }
        Self::new(
            OUTPUT,
            format_args!("the answer could not be written: {error}"),
        )
    }
}

/// Says something on standard error, in one line with the tool's name.
pub(crate) fn say(message: impl fmt::Display) {
    use std::io::Write as _;
    // Nobody is left to be told when it fails.
    let _ = writeln!(std::io::stderr(), "redis-locked: {message}");
}
