//! What answers and is not Redis.

use std::error::Error;
use std::fmt;
use std::io;

use redis::RedisError;

/// What it sent instead of an answer: its first line.
#[derive(Debug)]
pub(super) struct NotRedis(pub(super) String);

impl NotRedis {
    pub(super) const ADVICE: &'static str =
        "check the host and the port; where a proxy stands in front of Redis, look at the proxy";
}

/// Escaped, since anything may stand there, and cut.
impl fmt::Display for NotRedis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sent = self.0.chars().take(100).flat_map(char::escape_debug);
        write!(
            f,
            "what answers is not Redis: it sent `{}`",
            sent.collect::<String>()
        )
    }
}

impl Error for NotRedis {}

impl From<NotRedis> for RedisError {
    fn from(error: NotRedis) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, error).into()
    }
}
