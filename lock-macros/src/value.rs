//! The values of arguments, as they are written.

use std::ops::RangeInclusive;
use std::time::Duration;

use proc_macro2::{Span, TokenTree};
use quote::ToTokens;
use syn::parse::ParseStream;
use syn::{Error, Expr, ExprLit, Ident, Lit, LitStr, Path, Result, Token};

pub(crate) enum Time {
    Literal(Duration, Span),
    Expr(Expr),
}

pub(crate) enum Pause {
    Fixed(Time),
    Exponential(Duration, Duration),
}

/// The bounds that the request has, too.
const SHORTEST_TTL: Duration = Duration::from_millis(10);
const SHORTEST_PERIOD: Duration = Duration::from_secs(1);
const LONGEST_PERIOD: Duration = Duration::from_secs(366 * 24 * 60 * 60);
const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// What follows the name of an argument.
pub(crate) struct Written<'a> {
    pub(crate) name: &'a Ident,
    pub(crate) example: &'static str,
    pub(crate) input: ParseStream<'a>,
}

impl Written<'_> {
    pub(crate) fn has_value(&self) -> bool {
        self.input.peek(Token![=])
    }

    pub(crate) fn expr(&self) -> Result<Expr> {
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

    pub(crate) fn nothing(&self) -> Result<()> {
        if !self.input.peek(Token![=]) {
            return Ok(());
        }
        let value = self.expr()?;
        let name = self.name;
        let message = format!("`{name}` is a flag: write `{name}` alone, or leave it out");
        Err(Error::new_spanned(value, message))
    }

    pub(crate) fn word(&self, what: &str) -> Result<Ident> {
        self.equals()?;
        let found = self.input.fork();
        self.input
            .parse()
            .or_else(|_| self.refuse(next(&found), &format!("{what}, without quotes")))
    }

    pub(crate) fn path(&self) -> Result<Path> {
        self.equals()?;
        let found = self.input.fork();
        self.input
            .call(Path::parse_mod_style)
            .or_else(|_| self.refuse(next(&found), "takes a path, without quotes"))
    }

    /// What has to be known when compiling.
    pub(crate) fn text(&self) -> Result<LitStr> {
        let expr = self.expr()?;
        match string(&expr) {
            Some(text) if text.value().trim().is_empty() => {
                self.refuse(text, "is empty: leave it out, or write a word")
            }
            Some(text) => Ok(text),
            None => self.refuse(
                expr,
                "takes a string literal, for metrics keep a row for each name",
            ),
        }
    }

    /// Refuses what is surely none: rustc would say so three times.
    pub(crate) fn closure(&self) -> Result<Expr> {
        let expr = self.expr()?;
        let is_other = match &expr {
            Expr::Closure(closure) => closure.inputs.len() != 1,
            Expr::Lit(_) => true,
            _ => false,
        };
        if is_other {
            return self.refuse(expr, "takes a closure with one argument, the error");
        }
        Ok(expr)
    }

    /// `what` it is goes into the error, where a literal is not in the range.
    pub(crate) fn number(&self, what: &str, range: &RangeInclusive<u32>) -> Result<Expr> {
        let expr = self.expr()?;
        let is_number = match &expr {
            Expr::Lit(literal) => match &literal.lit {
                Lit::Int(number) => number
                    .base10_parse()
                    .is_ok_and(|number| range.contains(&number)),
                _ => false,
            },
            Expr::Unary(negative) => !matches!(&*negative.expr, Expr::Lit(_)),
            _ => true,
        };
        if is_number {
            Ok(expr)
        } else if string(&expr).is_some() {
            self.refuse(expr, &format!("{what}, without quotes"))
        } else {
            self.refuse(expr, what)
        }
    }

    pub(crate) fn time(&self) -> Result<Time> {
        self.time_of(self.expr()?)
    }

    /// Of an argument that may stand alone.
    pub(crate) fn time_or_nothing(&self) -> Result<Time> {
        let expr = self.expr()?;
        match string(&expr).filter(|text| !text.value().contains(|c: char| c.is_ascii_digit())) {
            None => self.time_of(expr),
            Some(word) => {
                let name = self.name;
                let alone = if name == "record" {
                    "is for 30 days"
                } else {
                    "has no limit"
                };
                let why = format!("{alone} when it stands alone: write `{name}`, or a duration");
                self.refuse(word, &why)
            }
        }
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
        if self.name == "ttl" && time < SHORTEST_TTL {
            return self.refuse(literal, "must be at least 10 ms, for clocks drift");
        }
        if self.name == "once_per" && !(SHORTEST_PERIOD..=LONGEST_PERIOD).contains(&time) {
            return self.refuse(literal, "takes a period from 1 s to 366 days");
        }
        if self.name == "record" && time < SHORTEST_PERIOD {
            return self.refuse(literal, "must be at least 1 s");
        }
        Ok(Time::Literal(time, literal.span()))
    }

    pub(crate) fn pause(&self) -> Result<Pause> {
        let expr = self.expr()?;
        if let Expr::Range(range) = &expr {
            return self.refuse(range, "takes a range as one string");
        }
        let Some(literal) = string(&expr) else {
            return self.time_of(expr).map(Pause::Fixed);
        };
        let text = literal.value();
        if let Some(range) = mended_range(&text) {
            let message =
                format!("`backoff` has two dots between its pauses: `backoff = {range:?}`");
            return Err(Error::new(literal.span(), message));
        }
        let Some((from, cap)) = text.split_once("..") else {
            return self.time_of(expr).map(Pause::Fixed);
        };
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
                "{text:?} is not a duration: write a number and a unit, such as {}",
                units(self.name)
            );
            return Err(Error::new(literal.span(), message));
        };
        let mut units = text.split(|c: char| !c.is_alphabetic());
        if units.any(|unit| unit.starts_with(['M', 'y']) || unit.starts_with("month")) {
            let minutes = text.replace('M', "m");
            let hint = if minutes == text {
                "count in days, such as \"30d\"".to_owned()
            } else {
                format!("write {minutes:?} for minutes, or count in days, such as \"30d\"")
            };
            let message =
                format!("{text:?} counts in months or years, which differ in length: {hint}");
            return Err(Error::new(literal.span(), message));
        }
        if duration.is_zero() {
            return self.refuse(
                literal,
                "can't be zero: leave it out, or write a longer one",
            );
        }
        if duration > LONGEST {
            return self.refuse(literal, "can't be over ten years: write a shorter one");
        }
        Ok(duration)
    }
}

/// Durations as this argument has them.
fn units(name: &Ident) -> &'static str {
    if name == "once_per" || name == "record" {
        "\"1h\", \"1d\" or \"30days\""
    } else {
        "\"500ms\", \"5s\" or \"1m 30s\""
    }
}

/// `"50ms..2s"` for `"50ms-2s"` and the like.
fn mended_range(text: &str) -> Option<String> {
    let marks = ["...", "..=", "-", "–", " to ", ","];
    let (from, cap) = marks.iter().find_map(|mark| text.split_once(mark))?;
    let is_duration = |text: &str| humantime::parse_duration(text).is_ok();
    let both = is_duration(from) && is_duration(cap);
    both.then(|| format!("{}..{}", from.trim(), cap.trim()))
}

/// Literals that come through `macro_rules!` wear an invisible group.
fn ungroup(mut expr: Expr) -> Expr {
    while let Expr::Group(group) = expr {
        expr = *group.expr;
    }
    expr
}

pub(crate) fn string(expr: &Expr) -> Option<LitStr> {
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

pub(crate) fn skip_value(input: ParseStream<'_>) {
    if input.parse::<Token![=]>().is_ok() {
        // What is wrong with it is not worth a second error.
        let _ = input.parse::<Expr>();
    }
}
