//! The names of a tenure: its token, and its fencing token.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::random::random_name;

/// How many characters a token has.
pub(crate) const TOKEN_LEN: usize = 22;

/// Whether a text has the form of a token.
pub(crate) fn is_token(text: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    text.len() == TOKEN_LEN && text.bytes().all(is_digit)
}

/// A fresh token, for now and this runtime: 16 random bytes in URL-safe base64 without padding.
///
/// The bytes are the operating system's, drawn a millisecond before at most. A generator of this
/// process would give the same ones to two processes after a fork, or to two machines that were
/// started from one snapshot.
///
/// # Panics
///
/// When the operating system has no random numbers.
pub(crate) fn random_token(now: Instant, runtime: &Handle) -> [u8; TOKEN_LEN] {
    let bytes = random_name(now, runtime);
    let mut text = [0; TOKEN_LEN];
    let written = URL_SAFE_NO_PAD.encode_slice(bytes, &mut text);
    debug_assert_eq!(written, Ok(TOKEN_LEN));
    text
}

/// A number that grows with every holder of a key.
///
/// Send it along with each write that the lock protects, and let the resource refuse a write whose
/// number is lower than the highest it has seen: then a holder that was paused past its lease can
/// do no harm. See Martin Kleppmann, "How to do distributed locking" (2016), for the idea.
///
/// ```
/// # use redis_locked_runtime as redis_locked;
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), redis_locked::LockError> {
/// let locker = redis_locked::Locker::in_memory();
/// let first = locker.lock("account:7").fenced().acquire().await?;
/// let older = first.fencing_token();
/// first.release().await?;
/// let second = locker.lock("account:7").fenced().acquire().await?;
/// assert!(second.fencing_token() > older);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FencingToken(u64);

impl FencingToken {
    /// Hand-overs inside a process count in this many low bits; the server's number is above them.
    const TURN_BITS: u32 = 10;
    /// How many holders a tenure has room for.
    pub(crate) const TURNS: u32 = 1 << Self::TURN_BITS;

    pub(crate) fn new(server: u64, turn: u32) -> Self {
        debug_assert!(turn < Self::TURNS);
        Self((server << Self::TURN_BITS) | u64::from(turn))
    }
}

impl fmt::Display for FencingToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl From<FencingToken> for u64 {
    fn from(token: FencingToken) -> Self {
        token.0
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn token() -> [u8; TOKEN_LEN] {
        random_token(Instant::now(), &Handle::current())
    }

    #[tokio::test]
    async fn a_token_is_sixteen_bytes_of_unpadded_url_safe_base64() {
        let bytes = URL_SAFE_NO_PAD.decode(token()).expect("decodes");
        assert_eq!(bytes.len(), 16);
    }

    #[tokio::test]
    async fn tokens_differ() {
        let tokens: HashSet<_> = (0..10_000).map(|_| token()).collect();
        assert_eq!(tokens.len(), 10_000);
    }

    #[test]
    fn a_later_number_of_the_server_beats_every_turn_of_an_earlier_one() {
        assert!(FencingToken::new(8, 0) > FencingToken::new(7, 1023));
        assert!(FencingToken::new(7, 1) > FencingToken::new(7, 0));
        assert_eq!(u64::from(FencingToken::new(1, 2)), 1026);
    }
}
