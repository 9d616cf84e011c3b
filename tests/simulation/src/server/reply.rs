//! What a command answers, and how that is written in the client's protocol.

use std::borrow::Cow;
use std::io::Write as _;
use std::rc::Rc;

/// An error's code and words, as they are sent behind the `-`.
pub(super) type Refusal = Cow<'static, str>;

pub(super) type Answer = Result<Reply, Refusal>;

#[derive(Debug, Clone)]
pub(super) enum Reply {
    Status(Cow<'static, str>),
    Error(Vec<u8>),
    Integer(i64),
    /// A number that is written as one that may have a fraction.
    Double(i64),
    Bulk(Rc<[u8]>),
    /// Text of several lines, for people.
    Text(String),
    Null,
    Array(Vec<Reply>),
    Map(Vec<(&'static str, Reply)>),
    Push(Vec<Reply>),
}

impl Reply {
    pub(super) const OK: Self = Self::Status(Cow::Borrowed("OK"));

    pub(super) fn bulk(bytes: impl AsRef<[u8]>) -> Self {
        Self::Bulk(bytes.as_ref().into())
    }

    pub(super) fn error(words: &str) -> Self {
        Self::Error(words.as_bytes().to_vec())
    }
}

impl From<Answer> for Reply {
    fn from(answer: Answer) -> Self {
        answer.unwrap_or_else(|refusal| Self::error(&refusal))
    }
}

/// The version of the protocol that a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Resp2,
    Resp3,
}

impl Protocol {
    pub(super) fn number(self) -> i64 {
        match self {
            Self::Resp2 => 2,
            Self::Resp3 => 3,
        }
    }

    pub(super) fn write(self, reply: &Reply, out: &mut Vec<u8>) {
        let is_3 = self == Self::Resp3;
        match reply {
            Reply::Status(words) => line(out, b'+', words.as_bytes()),
            Reply::Error(words) => {
                // A line's end would end the error.
                let words: Vec<_> = words.iter().copied().map(in_one_line).collect();
                line(out, b'-', &words);
            }
            Reply::Integer(number) => head(out, ':', *number),
            Reply::Double(number) if is_3 => head(out, ',', *number),
            Reply::Double(number) => bulk(out, number.to_string().as_bytes()),
            Reply::Bulk(bytes) => bulk(out, bytes),
            Reply::Text(text) if is_3 => {
                head(out, '=', text.len() + 4);
                out.extend_from_slice(b"txt:");
                out.extend_from_slice(text.as_bytes());
                out.extend_from_slice(b"\r\n");
            }
            Reply::Text(text) => bulk(out, text.as_bytes()),
            Reply::Null if is_3 => out.extend_from_slice(b"_\r\n"),
            Reply::Null => out.extend_from_slice(b"$-1\r\n"),
            Reply::Push(items) if is_3 => self.write_all('>', items, out),
            Reply::Array(items) | Reply::Push(items) => self.write_all('*', items, out),
            Reply::Map(fields) => {
                let (kind, times) = if is_3 { ('%', 1) } else { ('*', 2) };
                head(out, kind, fields.len() * times);
                for (name, value) in fields {
                    bulk(out, name.as_bytes());
                    self.write(value, out);
                }
            }
        }
    }

    fn write_all(self, kind: char, items: &[Reply], out: &mut Vec<u8>) {
        head(out, kind, items.len());
        for item in items {
            self.write(item, out);
        }
    }
}

fn in_one_line(byte: u8) -> u8 {
    if matches!(byte, b'\r' | b'\n') {
        b' '
    } else {
        byte
    }
}

fn line(out: &mut Vec<u8>, kind: u8, words: &[u8]) {
    out.push(kind);
    out.extend_from_slice(words);
    out.extend_from_slice(b"\r\n");
}

fn bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    head(out, '$', bytes.len());
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

fn head(out: &mut Vec<u8>, kind: char, number: impl std::fmt::Display) {
    write!(out, "{kind}{number}\r\n").expect("a vector takes all");
}
