//! Key templates: scanned, and turned into the expression that makes the key.

use std::collections::HashSet;

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::Parser;
use syn::{Error, Expr, Ident, LitStr, Result};

use crate::expand::{Root, Scope};

pub(crate) enum Key {
    Template(Template),
    Expr(Expr),
}

pub(crate) struct Template {
    literal: LitStr,
    /// `None` leaves the literal to rustc, which tells best what is wrong with it.
    pieces: Option<Vec<Piece>>,
}

#[derive(Debug, PartialEq)]
enum Piece {
    Text(String),
    Field(Field),
}

#[derive(Debug, Default, PartialEq)]
struct Field {
    source: String,
    root: String,
    rest: Vec<Access>,
    /// From the colon on.
    spec: String,
    /// The names that the spec takes a width or a precision from.
    counts: Vec<String>,
}

#[derive(Debug, PartialEq)]
enum Access {
    Field(String),
    Index(u32),
    Call(String),
}

impl Template {
    pub(crate) fn parse(literal: LitStr) -> Result<Self> {
        let text = literal.value();
        if text.is_empty() {
            let message =
                "the key is empty: name what the lock protects, as in `key = \"report:{tenant}\"`";
            return Err(Error::new(literal.span(), message));
        }
        match scan(&text) {
            Ok(pieces) => Ok(Self {
                literal,
                pieces: Some(pieces),
            }),
            Err(Problem::Odd) => Ok(Self {
                literal,
                pieces: None,
            }),
            Err(Problem::Refused(message)) => Err(Error::new(literal.span(), message)),
        }
    }
}

impl Key {
    pub(crate) fn expand(&self, root: &Root, scope: &Scope) -> TokenStream {
        match self {
            Self::Template(template) => template.expand(root, scope),
            Self::Expr(expr) => {
                let root = root.at(Span::mixed_site());
                let source = expr.to_token_stream().to_string();
                let value = scope.borrow(expr);
                quote_spanned!(Span::mixed_site()=> #root::Key::display(#value, #source))
            }
        }
    }
}

impl Template {
    fn expand(&self, root: &Root, scope: &Scope) -> TokenStream {
        let literal = &self.literal;
        let at = Span::mixed_site().located_at(literal.span());
        let root = root.at(at);
        let Some(pieces) = &self.pieces else {
            return quote_spanned! {at=>
                #root::Fields::new().key(#literal, #root::format_args!(#literal), 0, #root::Option::None)
            };
        };
        let text: String = pieces.iter().filter_map(Piece::text).collect();
        let fields: Vec<&Field> = pieces.iter().filter_map(Piece::field).collect();
        if fields.is_empty() {
            return quote_spanned!(at=> #root::Key::fixed(#text));
        }

        let capture = capture(&fields, &scope.known);
        let counts: Vec<&String> = fields.iter().flat_map(|field| &field.counts).collect();
        let positional = fields.iter().filter(|field| !field.is_plain());
        let mut seen = HashSet::new();
        let named = fields.iter().filter(|field| {
            field.is_plain()
                && capture != Some(&field.root)
                && !counts.contains(&&field.root)
                && seen.insert(&field.root)
        });
        let wrap = |field: &Field| {
            let (source, value) = (&field.source, field.value(literal.span(), at, scope));
            quote_spanned!(at=> fields.field(#source, &#value))
        };
        let positional = positional.map(|field| wrap(field));
        let named = named.map(|field| {
            let (name, value) = (ident(&field.root, at), wrap(field));
            quote_spanned!(at=> #name = #value)
        });
        let arguments = positional.chain(named);
        let format = rewritten(literal, pieces);
        // In bytes, without blanks, as the runtime counts what is in the fields.
        let solid = text.chars().filter(|c| !c.is_whitespace());
        let length: usize = solid.map(char::len_utf8).sum();
        let capture = capture.map_or_else(
            || quote_spanned!(at=> #root::Option::None),
            |name| quote_spanned!(at=> #root::Option::Some(#name)),
        );
        quote_spanned! {at=>
            match #root::Fields::new() {
                fields => fields.key(
                    #literal,
                    #root::format_args!(#format #(, #arguments)*),
                    #length,
                    #capture,
                ),
            }
        }
    }
}

impl Piece {
    fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Field(_) => None,
        }
    }

    fn field(&self) -> Option<&Field> {
        match self {
            Self::Text(_) => None,
            Self::Field(field) => Some(field),
        }
    }
}

impl Field {
    /// A plain name can be a capture in the literal. `self` can't be a named argument.
    fn is_plain(&self) -> bool {
        self.rest.is_empty() && self.root != "self"
    }

    /// The first name is looked up where the literal was written; the rest is ours, at its place.
    fn value(&self, literal: Span, at: Span, scope: &Scope) -> TokenStream {
        let mut value = match &scope.receiver {
            Some(receiver) if self.root == "self" => {
                let span = receiver.span().located_at(literal);
                Ident::new(&receiver.to_string(), span).into_token_stream()
            }
            _ => ident(&self.root, literal).into_token_stream(),
        };
        for access in &self.rest {
            value = match access {
                Access::Field(name) => {
                    let name = ident(name, at);
                    quote_spanned!(at=> #value.#name)
                }
                Access::Index(index) => {
                    let index = syn::Index {
                        index: *index,
                        span: at,
                    };
                    quote_spanned!(at=> #value.#index)
                }
                Access::Call(name) => {
                    let name = ident(name, at);
                    quote_spanned!(at=> #value.#name())
                }
            };
        }
        value
    }
}

fn ident(name: &str, span: Span) -> Ident {
    if name == "self" || syn::parse_str::<Ident>(name).is_ok() {
        Ident::new(name, span)
    } else {
        Ident::new_raw(name, span)
    }
}

/// The field that stays a capture, so that rustc can point at it inside the literal: best one that may
/// be misspelt. None when a value is both shown and a width, for that one can't be wrapped either.
fn capture<'a>(fields: &[&'a Field], known: &HashSet<String>) -> Option<&'a String> {
    let names = || fields.iter().filter(|f| f.is_plain()).map(|f| &f.root);
    let is_count = |name| fields.iter().any(|field| field.counts.contains(name));
    if names().any(is_count) {
        return None;
    }
    names()
        .find(|name| !known.contains(*name))
        .or_else(|| names().next())
}

/// The literal as it came, or with the fields that are more than a name by position.
fn rewritten(literal: &LitStr, pieces: &[Piece]) -> LitStr {
    let mut fields = pieces.iter().filter_map(Piece::field);
    if fields.all(Field::is_plain) {
        return literal.clone();
    }
    let mut position = 0..;
    let text: String = pieces
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => text.replace('{', "{{").replace('}', "}}"),
            Piece::Field(field) if field.is_plain() => {
                format!("{{{}{}}}", field.root, field.spec)
            }
            Piece::Field(field) => {
                let position = position.next().unwrap_or(0);
                format!("{{{position}{}}}", field.spec)
            }
        })
        .collect();
    LitStr::new(&text, literal.span())
}

#[derive(Debug, PartialEq)]
enum Problem {
    Odd,
    Refused(String),
}

fn scan(text: &str) -> std::result::Result<Vec<Piece>, Problem> {
    let mut pieces = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, brace) = rest.split_at(at);
        plain += before;
        if brace.starts_with("{{") || brace.starts_with("}}") {
            plain += &brace[..1];
            rest = &brace[2..];
            continue;
        }
        let inside = brace.strip_prefix('{').ok_or(Problem::Odd)?;
        let end = inside.find(['{', '}']).ok_or(Problem::Odd)?;
        rest = inside[end..].strip_prefix('}').ok_or(Problem::Odd)?;
        if !plain.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
        }
        pieces.push(Piece::Field(field(&inside[..end])?));
    }
    plain += rest;
    if !plain.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    Ok(pieces)
}

fn field(inside: &str) -> std::result::Result<Field, Problem> {
    let refuse = |why: &str| Err(Problem::Refused(format!("`{{{inside}}}` {why}")));
    let (source, spec) = inside.split_at(inside.find(':').unwrap_or(inside.len()));
    let source = source.trim();
    if source.bytes().all(|byte| byte.is_ascii_digit()) {
        return refuse("names no value: write an argument, as in `{tenant}` or `{order.id}`");
    }
    if source.starts_with("r#") && !source.contains('.') {
        return Err(Problem::Odd);
    }
    if spec.starts_with("::") && spec[2..].starts_with(|c: char| c.is_alphabetic() || c == '_') {
        return refuse(
            "is a path: import the name, or write the key as an expression, `key = format!(\"…\", …)`",
        );
    }
    let mut path = source.split('.').map(access);
    let (Some(Some(Access::Field(root))), Some(rest)) = (path.next(), path.collect()) else {
        return refuse(
            "is more than a template takes: write a name with its fields, `{order.id}`, `{pair.0}` or `{user.id()}`, or make the key an expression, `key = format!(\"…\", …)`",
        );
    };
    if spec.contains(".*") {
        return refuse("takes its precision by position: name it, as in `{id:.digits$}`");
    }
    let mut counts = Vec::new();
    for (at, _) in spec.match_indices('$') {
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        let name = spec[..at].rsplit(|c| !is_name(c)).next().unwrap_or("");
        // A zero in front is the flag that pads with zeros.
        match name.trim_start_matches(|c: char| c.is_ascii_digit()) {
            "" if name.is_empty() => {}
            "" => return refuse("takes its width by position: name it, as in `{id:>width$}`"),
            name => counts.push(name.to_owned()),
        }
    }
    Ok(Field {
        source: source.to_owned(),
        root,
        rest,
        spec: spec.to_owned(),
        counts,
    })
}

fn access(segment: &str) -> Option<Access> {
    let is_name = |name: &str| Ident::parse_any.parse_str(name).is_ok();
    if let Ok(index) = segment.parse() {
        return Some(Access::Index(index));
    }
    let segment = segment.strip_prefix("r#").unwrap_or(segment);
    match segment.strip_suffix("()") {
        Some(method) if is_name(method) => Some(Access::Call(method.to_owned())),
        None if is_name(segment) => Some(Access::Field(segment.to_owned())),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
