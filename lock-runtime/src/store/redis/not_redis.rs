//! What answers, and not as a Redis that is spoken to in this way.

use std::error::Error;
use std::fmt;
use std::io;

use redis::RedisError;

#[derive(Debug)]
pub(super) enum NotRedis {
    /// It sent this instead of an answer: its first line, if it is known.
    Sent(Option<String>),
    /// It wants TLS, and was asked without.
    WantsTls,
    /// It was asked for TLS, and answers without.
    HasNoTls,
}

impl NotRedis {
    pub(super) fn advice(&self) -> &'static str {
        match self {
            Self::Sent(_) => {
                "check the host and the port; where a proxy stands in front of Redis, look at the proxy"
            }
            Self::WantsTls => "write rediss:// instead of redis://",
            Self::HasNoTls => "check the port, or write redis:// instead of rediss://",
        }
    }
}

impl fmt::Display for NotRedis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sent(None) => f.write_str("what answers is not Redis"),
            // Escaped, since anything may stand there, and cut.
            Self::Sent(Some(line)) => {
                let line = line.chars().take(100).flat_map(char::escape_debug);
                let line: String = line.collect();
                write!(f, "what answers is not Redis: it sent `{line}`")
            }
            Self::WantsTls => f.write_str("the server speaks TLS only, and was asked without"),
            Self::HasNoTls => f.write_str("no TLS handshake: the server does not speak TLS"),
        }
    }
}

impl Error for NotRedis {}

impl From<NotRedis> for RedisError {
    fn from(error: NotRedis) -> Self {
        io::Error::new(io::ErrorKind::InvalidData, error).into()
    }
}
