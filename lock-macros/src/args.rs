//! The arguments: parsed, checked, each with its span.

mod table;
mod takes;

use std::time::Duration;

use proc_macro2::{Span, TokenStream};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Error, Expr, Ident, Lit, Result, Token};

use crate::key::Key;
use crate::value::{Time, Written, skip_value};
use table::{ARGUMENTS, Argument, Rule};
pub(crate) use takes::Value;

struct Given {
    argument: &'static Argument,
    name: Ident,
    value: Value,
}

#[derive(Default)]
pub(crate) struct Args {
    given: Vec<Given>,
    /// What unknown names seem to stand for: an error each, which is enough.
    meant: Vec<&'static str>,
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

    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        Some(&self.find(name)?.value)
    }

    pub(crate) fn expr(&self, name: &str) -> Option<&Expr> {
        match self.get(name)? {
            Value::Expr(expr) => Some(expr),
            _ => None,
        }
    }

    /// In the order of the table.
    pub(crate) fn of_request(&self) -> impl Iterator<Item = (&'static str, &Value)> {
        let rows = ARGUMENTS.iter().filter(|row| row.is_of_request);
        rows.filter_map(|row| Some((row.name, self.get(row.name)?)))
    }

    /// All but one.
    pub(crate) fn values_but(&self, name: &str) -> impl Iterator<Item = &Value> {
        let others = self
            .given
            .iter()
            .filter(move |given| given.argument.name != name);
        others.map(|given| &given.value)
    }

    fn find(&self, name: &str) -> Option<&Given> {
        self.given.iter().find(|given| given.argument.name == name)
    }

    fn argument(&mut self, input: ParseStream<'_>) -> Result<()> {
        if input.peek(Lit) {
            self.meant.push("key");
            let message = "name this argument: `key = \"…\"`, `ttl = \"5s\"`, `retries = 3`";
            return Err(Error::new(input.parse::<Lit>()?.span(), message));
        }
        let Ok(name) = input.call(Ident::parse_any) else {
            return Err(input.error("an argument should begin here, such as `ttl = \"5s\"`"));
        };
        let text = name.to_string();
        let Some(argument) = ARGUMENTS.iter().find(|argument| argument.name == text) else {
            let has_value = input.peek(Token![=]);
            skip_value(input);
            return Err(self.unknown(&name, has_value));
        };
        if self.has(argument.name) {
            skip_value(input);
            let message = format!("`{text}` is given twice: keep one");
            return Err(Error::new(name.span(), message));
        }
        let value = argument.takes.read(
            argument.name,
            &Written {
                name: &name,
                example: argument.example,
                input,
            },
        );
        let (value, result) = match value {
            Ok(value) => (value, Ok(())),
            Err(error) => (Value::Unreadable, Err(error)),
        };
        self.given.push(Given {
            argument,
            name,
            value,
        });
        result
    }

    fn check(&self, errors: &mut Vec<Error>) {
        let mut refuse = |span, message: &str| errors.push(Error::new(span, message));
        let lacks = |name| !self.has(name) && !self.meant.contains(&name);
        if lacks("key") {
            let message =
                "`key` is missing: name what the lock protects, as in `key = \"report:{tenant}\"`";
            refuse(Span::call_site(), message);
        }
        // Of two that exclude each other, one is too many, so that neither is a reason to refuse a third.
        let mut in_conflict = Vec::new();
        for row in ARGUMENTS {
            let Some(given) = self.find(row.name) else {
                continue;
            };
            for rule in row.rules {
                let (span, message) = match rule {
                    Rule::Excludes(other, message) => match self.later(row.name, other) {
                        Some(_) if in_conflict.contains(other) => continue,
                        Some(later) => {
                            in_conflict.extend([row.name, other]);
                            (later, message)
                        }
                        None => continue,
                    },
                    Rule::Needs(other, message) if lacks(other) => (given.name.span(), message),
                    Rule::OneKey(message) if self.has_array() => (given.name.span(), message),
                    Rule::Needs(..) | Rule::OneKey(_) => continue,
                };
                refuse(span, message);
                break;
            }
        }
        if let (Some((ttl, _)), Some((min_hold, span))) =
            (self.literal("ttl"), self.literal("min_hold"))
            && min_hold > ttl
            && lacks("renew")
        {
            let message = "`min_hold` is longer than `ttl`, so the key would expire before: make `ttl` at least as long, or add `renew`";
            refuse(span, message);
        }
    }

    fn has_array(&self) -> bool {
        matches!(self.get("key"), Some(Value::Key(Key::Array(_))))
    }

    fn literal(&self, name: &str) -> Option<(Duration, Span)> {
        match self.get(name)? {
            Value::Time(Time::Literal(duration, span)) => Some((*duration, *span)),
            _ => None,
        }
    }

    fn unknown(&mut self, name: &Ident, has_value: bool) -> Error {
        let text = name.to_string();
        let limit = |name: &str| name.len().max(text.len()).div_ceil(3);
        let lowercase = text.to_lowercase();
        let elsewhere = ARGUMENTS
            .iter()
            .find(|row| row.elsewhere.split(' ').any(|name| name == lowercase));
        let nearest = || {
            let rows = ARGUMENTS
                .iter()
                .map(|row| (strsim::osa_distance(&text, row.name), row));
            let rows = rows.filter(|(distance, row)| {
                *distance <= limit(row.name) && (has_value || row.takes.stands_alone())
            });
            rows.min_by_key(|(distance, row)| (*distance, row.name))
        };
        // One slip in another library's name.
        let nearly = || {
            let is_near = |name: &str| name.len() > 4 && strsim::osa_distance(&text, name) == 1;
            ARGUMENTS
                .iter()
                .find(|row| has_value && row.elsewhere.split(' ').any(is_near))
        };
        let meant = elsewhere.or_else(|| Some(nearest()?.1)).or_else(nearly);
        let message = if let Some(row) = meant {
            self.meant.push(row.name);
            let Argument { name, example, .. } = row;
            let written = if name == example {
                format!("`{name}`")
            } else {
                format!("`{name}`, as in `{example}`")
            };
            if elsewhere.is_some() {
                format!("there is no argument `{text}`; here it is {written}")
            } else {
                format!("there is no argument `{text}`; did you mean {written}?")
            }
        } else if has_value {
            let names: Vec<_> = ARGUMENTS.iter().map(|row| row.name).collect();
            let names = names.join(", ");
            format!("there is no argument `{text}`; there are {names}")
        } else {
            format!(
                "there is no argument `{text}`; a value of the key stands in its template, as in `key = \"report:{{{text}}}\"`"
            )
        };
        Error::new(name.span(), message)
    }

    fn later(&self, one: &str, other: &str) -> Option<Span> {
        let place = |name| {
            self.given
                .iter()
                .position(|given| given.argument.name == name)
        };
        let later = place(one)?.max(place(other)?);
        Some(self.given[later].name.span())
    }
}

#[cfg(test)]
mod tests;
