//! The arguments: parsed, checked, each with its span.

use std::time::Duration;

use proc_macro2::{Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Error, Expr, ExprLit, Ident, Lit, LitStr, Path, Result, Token};

use crate::key::{Key, Template};

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

pub(crate) enum Time {
    Literal(Duration, Span),
    Expr(Expr),
}

pub(crate) enum Pause {
    Fixed(Time),
    Exponential(Duration, Duration),
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
            "or_else" => self.or_else = Some(value.expr()?),
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

/// What follows the name of an argument.
struct Value<'a> {
    name: &'a Ident,
    example: &'static str,
    input: ParseStream<'a>,
}

impl Value<'_> {
    fn expr(&self) -> Result<Expr> {
        self.equals()?;
        self.input.parse().map(ungroup)
    }

    fn equals(&self) -> Result<()> {
        let (name, example, input) = (self.name, self.example, self.input);
        let equals: Option<Token![=]> = input.parse()?;
        if equals.is_none() || input.is_empty() || input.peek(Token![,]) {
            let message = format!("`{name}` needs a value: `{example}`");
            return Err(Error::new(name.span(), message));
        }
        Ok(())
    }

    fn refuse<T>(&self, what: impl ToTokens, why: &str) -> Result<T> {
        let (name, example) = (self.name, self.example);
        let message = format!("`{name}` {why}: `{example}`");
        Err(Error::new_spanned(what, message))
    }

    fn nothing(&self) -> Result<()> {
        if !self.input.peek(Token![=]) {
            return Ok(());
        }
        let value = self.expr()?;
        let name = self.name;
        let message = format!("`{name}` is a flag: write `{name}` alone, or leave it out");
        Err(Error::new_spanned(value, message))
    }

    fn word(&self, what: &str) -> Result<Ident> {
        self.equals()?;
        let found = self.input.fork();
        self.input
            .parse()
            .or_else(|_| self.refuse(next(&found), &format!("{what}, without quotes")))
    }

    fn path(&self) -> Result<Path> {
        self.equals()?;
        let found = self.input.fork();
        self.input
            .call(Path::parse_mod_style)
            .or_else(|_| self.refuse(next(&found), "takes a path, without quotes"))
    }

    fn retries(&self) -> Result<Expr> {
        let expr = self.expr()?;
        let is_number = match &expr {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Int(number) => number.base10_parse::<u32>().is_ok(),
                _ => false,
            },
            Expr::Unary(negative) => !matches!(&*negative.expr, Expr::Lit(_)),
            _ => true,
        };
        if is_number {
            Ok(expr)
        } else {
            self.refuse(expr, "is how many attempts follow the first, from 0 up")
        }
    }

    fn time(&self) -> Result<Time> {
        self.time_of(self.expr()?)
    }

    fn time_of(&self, expr: Expr) -> Result<Time> {
        match (string(&expr), &expr) {
            (Some(literal), _) => self.literal(&literal),
            (None, Expr::Lit(literal)) => self.refuse(
                literal,
                "needs a unit: write it as a string, or as an expression of type `Duration`",
            ),
            _ => Ok(Time::Expr(expr)),
        }
    }

    fn literal(&self, literal: &LitStr) -> Result<Time> {
        let time = self.duration(&literal.value(), literal)?;
        if self.name == "ttl" && time < Duration::from_millis(10) {
            return self.refuse(literal, "must be at least 10 ms, for clocks drift");
        }
        Ok(Time::Literal(time, literal.span()))
    }

    fn backoff(&self) -> Result<Pause> {
        let expr = self.expr()?;
        if let Expr::Range(range) = &expr {
            return self.refuse(range, "takes a range as one string");
        }
        let literal = string(&expr).filter(|literal| literal.value().contains(".."));
        let Some(literal) = literal else {
            return self.time_of(expr).map(Pause::Fixed);
        };
        let text = literal.value();
        let (from, cap) = text.split_once("..").unwrap_or_default();
        let (from, cap) = (
            self.duration(from, &literal)?,
            self.duration(cap, &literal)?,
        );
        if from > cap {
            return self.refuse(
                literal,
                "grows from the first pause to the second, longer one",
            );
        }
        Ok(Pause::Exponential(from, cap))
    }

    fn duration(&self, text: &str, literal: &LitStr) -> Result<Duration> {
        let Ok(duration) = humantime::parse_duration(text) else {
            let message = format!(
                "{text:?} is not a duration: write a number and a unit, such as \"500ms\", \"5s\" or \"1m 30s\""
            );
            return Err(Error::new(literal.span(), message));
        };
        if duration.is_zero() {
            return self.refuse(
                literal,
                "can't be zero: leave it out, or write a longer one",
            );
        }
        Ok(duration)
    }
}

/// Literals that come through `macro_rules!` wear an invisible group.
fn ungroup(mut expr: Expr) -> Expr {
    while let Expr::Group(group) = expr {
        expr = *group.expr;
    }
    expr
}

fn string(expr: &Expr) -> Option<LitStr> {
    match expr {
        Expr::Lit(ExprLit {
            lit: Lit::Str(literal),
            ..
        }) => Some(literal.clone()),
        _ => None,
    }
}

fn next(input: ParseStream<'_>) -> TokenTree {
    input.parse().expect("a value has begun")
}

fn skip_value(input: ParseStream<'_>) {
    if input.parse::<Token![=]>().is_ok() {
        // What is wrong with it is not worth a second error.
        let _ = input.parse::<Expr>();
    }
}

/// How many letters to insert, delete or replace to get from one word to the other.
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, b) in other.chars().enumerate() {
            let replaced = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.chars().count()]
}

#[cfg(test)]
mod tests;
