//! Cuts what a client sends into commands.

use redis_protocol::resp2::decode::decode_range;
use redis_protocol::resp2::types::RangeFrame;

/// The bytes of a client that are not yet a whole command.
#[derive(Default)]
pub(super) struct Input {
    bytes: Vec<u8>,
    /// Up to here, they were carried out.
    done: usize,
}

/// Bytes that are no command of a client.
pub(super) struct Malformed;

/// The command's name and its arguments, and how many bytes they take.
type Command = (Vec<Vec<u8>>, usize);

impl Input {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.done);
        self.done = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next command, if it has come as a whole.
    pub(super) fn next(&mut self) -> Result<Option<Vec<Vec<u8>>>, Malformed> {
        let Some((command, length)) = first(&self.bytes[self.done..])? else {
            return Ok(None);
        };
        self.done += length;
        Ok(Some(command))
    }
}

fn first(bytes: &[u8]) -> Result<Option<Command>, Malformed> {
    let Some((frame, length)) = decode_range(bytes).map_err(|_| Malformed)? else {
        return Ok(None);
    };
    let RangeFrame::Array(parts) = frame else {
        return Err(Malformed);
    };
    let part = |part| match part {
        RangeFrame::BulkString((from, to)) => Ok(bytes[from..to].to_vec()),
        _ => Err(Malformed),
    };
    let command = parts.into_iter().map(part).collect::<Result<_, _>>()?;
    Ok(Some((command, length)))
}
