//! Keys: templates and expressions, turned into the expression that makes the key.

mod scan;

use std::collections::HashSet;

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::{Error, Expr, ExprArray, Ident, LitStr, Result};

use crate::scope::{Root, Scope};
use crate::value::string;
use scan::{Access, Field, Piece, Problem, scan};

/// So many can be locked at once, as the request says, too.
const MOST_KEYS: usize = 64;

pub(crate) enum Key {
    Template(Template),
    Expr(Expr),
    /// Several, of which none is an array.
    Array(Vec<Key>),
}

pub(crate) struct Template {
    pub(crate) literal: LitStr,
    /// `None` leaves the literal to rustc, which tells best what is wrong with it.
    pieces: Option<Vec<Piece>>,
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
    pub(crate) fn of(expr: Expr) -> Result<Self> {
        match expr {
            Expr::Array(array) => Self::of_array(array),
            Expr::Repeat(repeat) => {
                let message = "this is the same key again and again: write each key, as in `key = [\"account:{from}\", \"account:{to}\"]`";
                Err(Error::new_spanned(repeat, message))
            }
            // What comes through `macro_rules!` wears an invisible group.
            Expr::Group(group) => Self::of(*group.expr),
            expr => match string(&expr) {
                Some(literal) => Template::parse(literal).map(Self::Template),
                None => Ok(Self::Expr(expr)),
            },
        }
    }

    fn of_array(array: ExprArray) -> Result<Self> {
        let count = array.elems.len();
        if count == 0 {
            let message = "the array is empty: name what the lock protects, as in `key = [\"account:{from}\", \"account:{to}\"]`";
            return Err(Error::new_spanned(array, message));
        }
        if count > MOST_KEYS {
            let message = format!(
                "these are {count} keys, and {MOST_KEYS} can be locked at once: lock fewer, or one key that stands for all"
            );
            return Err(Error::new_spanned(array, message));
        }
        let mut keys = Vec::with_capacity(count);
        let mut errors: Option<Error> = None;
        for element in array.elems {
            let key = Self::of(element.clone()).and_then(|key| match key {
                Self::Array(_) => {
                    let message =
                        "an array of keys has no array in it: write its keys into the outer one";
                    Err(Error::new_spanned(element, message))
                }
                key => Ok(key),
            });
            match (key, &mut errors) {
                (Ok(key), _) => keys.push(key),
                (Err(error), Some(errors)) => errors.combine(error),
                (Err(error), None) => errors = Some(error),
            }
        }
        errors.map_or(Ok(Self::Array(keys)), Err)
    }

    /// What spans and metrics call the lock: the template, or what stands in for it; of several, with commas
    /// between.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Template(template) => template.literal.value(),
            Self::Expr(expr) => expr.to_token_stream().to_string(),
            Self::Array(keys) => keys.iter().map(Self::name).collect::<Vec<_>>().join(","),
        }
    }

    /// What it may name variables in.
    pub(crate) fn source(&self) -> TokenStream {
        match self {
            Self::Template(template) => template.literal.to_token_stream(),
            Self::Expr(expr) => expr.to_token_stream(),
            Self::Array(keys) => keys.iter().map(Self::source).collect(),
        }
    }

    pub(crate) fn expand(&self, root: &Root, scope: &Scope) -> TokenStream {
        match self {
            Self::Template(template) => template.expand(root, scope),
            Self::Expr(expr) => {
                let root = root.at(Span::mixed_site());
                let source = self.name();
                let value = scope.borrow(expr);
                quote_spanned!(Span::mixed_site()=> #root::Key::display(#value, #source))
            }
            Self::Array(keys) => {
                let keys = keys.iter().map(|key| key.expand(root, scope));
                quote_spanned!(Span::mixed_site()=> [#(#keys),*])
            }
        }
    }
}

impl Template {
    fn expand(&self, root: &Root, scope: &Scope) -> TokenStream {
        let literal = &self.literal;
        let at = Span::mixed_site().located_at(literal.span());
        let root = root.at(at);
        // With our span: clippy takes a string with `{name}` for one that was meant to be formatted.
        let template = LitStr::new(&literal.value(), at);
        let Some(pieces) = &self.pieces else {
            return quote_spanned! {at=>
                #root::Fields::new().key(#template, #root::format_args!(#literal), 0, #root::Option::None)
            };
        };
        let text: String = pieces.iter().filter_map(Piece::text).collect();
        let fields: Vec<&Field> = pieces.iter().filter_map(Piece::field).collect();
        if fields.is_empty() {
            let text = LitStr::new(&text, at);
            return quote_spanned!(at=> #root::Key::fixed(#text));
        }

        let wrap = |field: &Field| {
            let (source, value) = (&field.source, field.value(literal.span(), scope));
            quote_spanned!(at=> fields.field(#source, &#value))
        };
        let capture = capture(&fields, scope);
        let mut seen = HashSet::new();
        let plain = fields.iter().copied().filter(|field| {
            field.is_plain()
                && capture != Some(&field.root)
                && !is_count(&field.root, &fields)
                && seen.insert(&field.root)
        });
        let begins_a_path = |name: &String| {
            fields
                .iter()
                .any(|field| !field.is_plain() && field.root == *name)
        };
        let (variables, others): (Vec<&Field>, Vec<&Field>) = plain
            .partition(|field| scope.has_parameter(&field.root) && !begins_a_path(&field.root));
        // What the literal captures is then the wrapped one, and rustc can point at it inside.
        let variables = variables.into_iter().map(|field| {
            let (name, value) = (ident(&field.root, literal.span()), wrap(field));
            quote_spanned!(at=> #[allow(clippy::min_ident_chars, clippy::shadow_reuse)] let #name = #value;)
        });
        let positional = fields.iter().filter(|field| !field.is_plain());
        let positional = positional.map(|field| wrap(field));
        let named = others.into_iter().map(|field| {
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
            {
                let fields = #root::Fields::new();
                #(#variables)*
                fields.key(
                    #template,
                    #root::format_args!(#format #(, #arguments)*),
                    #length,
                    #capture,
                )
            }
        }
    }
}

impl Field {
    /// A plain name can be a capture in the literal. `self` can't be a named argument.
    fn is_plain(&self) -> bool {
        self.rest.is_empty() && self.root != "self"
    }

    fn value(&self, literal: Span, scope: &Scope) -> TokenStream {
        let mut value = match &scope.receiver {
            Some(receiver) if self.root == "self" => {
                let span = receiver.span().located_at(literal);
                Ident::new(&receiver.to_string(), span).into_token_stream()
            }
            _ => ident(&self.root, literal).into_token_stream(),
        };
        // By the user's span, or rustc would not list the fields that there are.
        for access in &self.rest {
            value = match access {
                Access::Field(name) => {
                    let name = ident(name, literal);
                    quote_spanned!(literal=> #value.#name)
                }
                Access::Index(index) => {
                    let index = syn::Index {
                        index: *index,
                        span: literal,
                    };
                    quote_spanned!(literal=> #value.#index)
                }
                Access::Call(name) => {
                    let name = ident(name, literal);
                    quote_spanned!(literal=> #value.#name())
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

fn is_count(name: &String, fields: &[&Field]) -> bool {
    fields.iter().any(|field| field.counts.contains(name))
}

/// The field that stays a capture of what the literal names: one that may be a constant, which nothing can
/// stand in for, or be misspelt. None when a value is both shown and a width, for that one can't be wrapped
/// either.
fn capture<'a>(fields: &[&'a Field], scope: &Scope) -> Option<&'a String> {
    let names = || fields.iter().filter(|f| f.is_plain()).map(|f| &f.root);
    if names().any(|name| is_count(name, fields)) {
        return None;
    }
    names().find(|name| !scope.knows(name))
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

#[cfg(test)]
mod tests;
