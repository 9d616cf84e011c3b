//! The arguments: parsed, checked, each with its span.

mod value;

use proc_macro2::{Span, TokenStream};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Error, Expr, Ident, Lit, Path, Result, Token};

use crate::key::{Key, Template};
pub(crate) use value::{Pause, Time};
use value::{Value, skip_value, string};

/// Every argument, and how it is written.
const ARGUMENTS: [(&str, &str); 15] = [
    ("key", "key = \"report:{tenant}\""),
    ("ttl", "ttl = \"5s\""),
    ("retries", "retries = 3"),
    ("backoff", "backoff = \"50ms..2s\""),
    ("wait", "wait = \"10s\""),
    ("skip", "skip"),
    ("or_else", "or_else = |error| …"),
    ("renew", "renew"),
    ("max_hold", "max_hold = \"10m\""),
    ("min_hold", "min_hold = \"5s\""),
    ("on_lost", "on_lost = finish"),
    ("fenced", "fenced"),
    ("bind", "bind = lease"),
    ("locker", "locker = self.locker"),
    ("crate", "crate = my_crate::redis_locked"),
];

#[derive(Default)]
pub(crate) struct Args {
    /// The names in the order they came; the flags are nothing but their names.
    given: Vec<Ident>,
    /// What unknown names seem to stand for: an error each, which is enough.
    meant: Vec<&'static str>,
    pub(crate) key: Option<Key>,
    pub(crate) ttl: Option<Time>,
    pub(crate) retries: Option<Expr>,
    pub(crate) backoff: Option<Pause>,
    /// Bare, `wait` has no limit.
    pub(crate) wait: Option<Time>,
    pub(crate) or_else: Option<Expr>,
    pub(crate) max_hold: Option<Time>,
    pub(crate) min_hold: Option<Time>,
    pub(crate) finish: bool,
    pub(crate) bind: Option<Ident>,
    pub(crate) locker: Option<Expr>,
    pub(crate) root: Option<Path>,
}

impl Args {
    /// What could be read, and an error for everything that could not.
    pub(crate) fn parse(tokens: TokenStream, errors: &mut Vec<Error>) -> Self {
        let mut args = Self::default();
        let all = |input: ParseStream<'_>| -> Result<()> {
            while !input.is_empty() {
                if let Err(error) = args.argument(input) {
                    errors.push(error);
                    while !input.is_empty() && !input.peek(Token![,]) {
                        input.step(|cursor| {
                            let (_, rest) = cursor.token_tree().expect("the input has not ended");
                            Ok(((), rest))
                        })?;
                    }
                }
                if !input.is_empty() && input.parse::<Token![,]>().is_err() {
                    errors.push(input.error("a comma is missing before this"));
                }
            }
            Ok(())
        };
        if let Err(error) = all.parse2(tokens) {
            errors.push(error);
        }
        args.check(errors);
        args
    }

    /// Where the argument is written.
    pub(crate) fn given(&self, name: &str) -> Option<Span> {
        let ident = self.given.iter().find(|ident| *ident == name)?;
        Some(ident.span())
    }

    fn argument(&mut self, input: ParseStream<'_>) -> Result<()> {
        if input.peek(Lit) {
            self.meant.push("key");
            let message = "name this argument: `key = \"…\"`, `ttl = \"5s\"`, `retries = 3`";
            return Err(Error::new(input.parse::<Lit>()?.span(), message));
        }
        let Ok(ident) = input.call(Ident::parse_any) else {
            return Err(input.error("an argument should begin here, such as `ttl = \"5s\"`"));
        };
        let text = ident.to_string();
        let Some((name, example)) = ARGUMENTS.into_iter().find(|(name, _)| *name == text) else {
            skip_value(input);
            return Err(self.unknown(&ident));
        };
        if self.given(name).is_some() {
            skip_value(input);
            let message = format!("`{name}` is given twice: keep one");
            return Err(Error::new(ident.span(), message));
        }
        self.given.push(ident.clone());
        let value = Value {
            name: &ident,
            example,
            input,
        };
        match name {
            "key" => {
                let expr = value.expr()?;
                self.key = Some(match string(&expr) {
                    Some(literal) => Key::Template(Template::parse(literal)?),
                    None => Key::Expr(expr),
                });
            }
            "ttl" => self.ttl = Some(value.time()?),
            "retries" => self.retries = Some(value.retries()?),
            "backoff" => self.backoff = Some(value.backoff()?),
            "wait" if input.peek(Token![=]) => self.wait = Some(value.time()?),
            "or_else" => self.or_else = Some(value.closure()?),
            "max_hold" => self.max_hold = Some(value.time()?),
            "min_hold" => self.min_hold = Some(value.time()?),
            "on_lost" => {
                let word: Ident = value.word("takes a word: `cancel` or `finish`")?;
                self.finish = word == "finish";
                if !self.finish && word != "cancel" {
                    let message = "`on_lost` is `cancel` or `finish`";
                    return Err(Error::new(word.span(), message));
                }
            }
            "bind" => self.bind = Some(value.word("takes the name of a new variable")?),
            "locker" => self.locker = Some(value.expr()?),
            "crate" => self.root = Some(value.path()?),
            _flag => value.nothing()?,
        }
        Ok(())
    }

    fn check(&self, errors: &mut Vec<Error>) {
        let mut refuse = |span, message: &str| errors.push(Error::new(span, message));
        let given = |name| self.given(name);
        let lacks = |name| given(name).is_none() && !self.meant.contains(&name);
        if lacks("key") {
            let message =
                "`key` is missing: name what the lock protects, as in `key = \"report:{tenant}\"`";
            refuse(Span::call_site(), message);
        }
        if let Some(later) = self.later("retries", "wait") {
            let message = "`retries` and `wait` exclude each other: keep `retries` to try a few times, or `wait` to queue until the lock is free";
            refuse(later, message);
        }
        if let Some(later) = self.later("skip", "or_else") {
            let message =
                "`skip` and `or_else` exclude each other, for both say what to return: keep one";
            refuse(later, message);
        }
        match given("backoff") {
            Some(backoff) if lacks("retries") && given("wait").is_some() => {
                let message = "`wait` is woken when the lock is released and pauses nowhere: remove `backoff`";
                refuse(backoff, message);
            }
            Some(backoff) if lacks("retries") => {
                let message =
                    "`backoff` is the pause between attempts: add `retries = 3`, or remove it";
                refuse(backoff, message);
            }
            _ => {}
        }
        if let Some(max_hold) = given("max_hold")
            && lacks("renew")
        {
            let message = "`max_hold` limits how long `renew` keeps extending: add `renew`, or set `ttl` instead, which limits the body without it";
            refuse(max_hold, message);
        }
        if let (Some(Time::Literal(ttl, _)), Some(Time::Literal(min_hold, span))) =
            (&self.ttl, &self.min_hold)
            && min_hold > ttl
            && lacks("renew")
        {
            let message = "`min_hold` is longer than `ttl`, so the key would expire before: make `ttl` at least as long, or add `renew`";
            refuse(*span, message);
        }
    }

    fn unknown(&mut self, ident: &Ident) -> Error {
        let text = ident.to_string();
        let limit = |name: &str| name.len().max(text.len()).div_ceil(3);
        let nearest = ARGUMENTS
            .into_iter()
            .map(|(name, example)| (distance(&text, name), name, example))
            .filter(|(distance, name, _)| *distance <= limit(name))
            .min();
        let message = if let Some((_, name, example)) = nearest {
            self.meant.push(name);
            format!("there is no argument `{text}`; did you mean `{name}`, as in `{example}`?")
        } else {
            let names: Vec<_> = ARGUMENTS.iter().map(|(name, _)| *name).collect();
            let names = names.join(", ");
            format!("there is no argument `{text}`; there are {names}")
        };
        Error::new(ident.span(), message)
    }

    fn later(&self, one: &str, other: &str) -> Option<Span> {
        let place = |name| self.given.iter().position(|ident| ident == name);
        let later = place(one)?.max(place(other)?);
        Some(self.given[later].span())
    }
}

/// How many letters to insert, delete, replace, or swap with the next, to make one word of the other.
fn distance(one: &str, other: &str) -> usize {
    let (one, other): (Vec<char>, Vec<char>) = (one.chars().collect(), other.chars().collect());
    let mut rows = vec![vec![0; other.len() + 1]; one.len() + 1];
    for i in 0..=one.len() {
        for j in 0..=other.len() {
            rows[i][j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = rows[i - 1][j - 1] + usize::from(one[i - 1] != other[j - 1]);
                let swapped = i > 1 && j > 1 && one[i - 2..i] == [other[j - 1], other[j - 2]];
                let swapped = if swapped {
                    rows[i - 2][j - 2] + 1
                } else {
                    replaced
                };
                let shifted = rows[i - 1][j].min(rows[i][j - 1]) + 1;
                replaced.min(swapped).min(shifted)
            };
        }
    }
    rows[one.len()][other.len()]
}

#[cfg(test)]
mod tests;
