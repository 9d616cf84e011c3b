//! The kinds of values, and how each is read.

use std::ops::RangeInclusive;

use proc_macro2::{Ident, TokenStream};
use quote::ToTokens;
use syn::{Error, Expr, LitStr, Path, Result};

use crate::key::Key;
use crate::value::{Pause, Time, Written};

/// What follows the name of an argument.
pub(super) enum Takes {
    Nothing,
    Key,
    Time,
    /// Alone, it is the request's method of this name.
    TimeOr(&'static str),
    /// What it is goes into the error, where a literal is none of these.
    Number(&'static str, RangeInclusive<u32>),
    Pause,
    Closure,
    /// A string literal, taken as it is.
    Text,
    /// One of these words, which are variants of this enum.
    Word(&'static str, &'static [(&'static str, &'static str)]),
    Variable,
    Expr,
    Path,
}

pub(crate) enum Value {
    /// A name alone is a method of the request.
    Alone(&'static str),
    Key(Key),
    Time(Time),
    Pause(Pause),
    Text(LitStr),
    Variant(&'static str, &'static str),
    Variable(Ident),
    Expr(Expr),
    Path(Path),
    /// There has been an error.
    Unreadable,
}

impl Value {
    /// What it may name variables in.
    pub(crate) fn source(&self) -> TokenStream {
        match self {
            Self::Key(key) => key.source(),
            Self::Time(Time::Expr(expr))
            | Self::Pause(Pause::Fixed(Time::Expr(expr)))
            | Self::Expr(expr) => expr.to_token_stream(),
            _ => TokenStream::new(),
        }
    }
}

impl Takes {
    pub(super) fn stands_alone(&self) -> bool {
        matches!(self, Self::Nothing | Self::TimeOr(_))
    }

    pub(super) fn read(&self, name: &'static str, written: &Written<'_>) -> Result<Value> {
        match self {
            Self::Nothing => {
                written.nothing()?;
                Ok(Value::Alone(name))
            }
            Self::TimeOr(method) if !written.has_value() => Ok(Value::Alone(method)),
            Self::Time => written.time().map(Value::Time),
            Self::TimeOr(_) => written.time_or_nothing().map(Value::Time),
            Self::Key => written.expr().and_then(Key::of).map(Value::Key),
            Self::Number(what, range) => written.number(what, range).map(Value::Expr),
            Self::Pause => written.pause().map(Value::Pause),
            Self::Closure => written.closure().map(Value::Expr),
            Self::Text => written.text().map(Value::Text),
            Self::Word(of, words) => {
                let names: Vec<_> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
                let names = names.join(" or ");
                let found = written.word(&format!("takes a word: {names}"))?;
                let Some((_, variant)) = words.iter().find(|(word, _)| found == word) else {
                    let message = format!("`{name}` is {names}");
                    return Err(Error::new(found.span(), message));
                };
                Ok(Value::Variant(of, variant))
            }
            Self::Variable => written
                .word("takes the name of a new variable")
                .map(Value::Variable),
            Self::Expr => written.expr().map(Value::Expr),
            Self::Path => written.path().map(Value::Path),
        }
    }
}
