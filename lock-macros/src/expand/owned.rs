//! The body owns the function's parameters as that of an `async fn` does: whole, and dropped last first.

use std::collections::HashSet;

use proc_macro2::{Ident, Literal, Span, TokenStream, TokenTree};
use quote::{quote, quote_spanned};
use syn::ext::IdentExt;

use crate::scope::{Parameter, is_colon, with_receiver};

/// The statements that take the parameters into the body, which may come back with another name for `self`.
///
/// An `async move` block takes the places that it names, no more, in the order in which it names them, and
/// drops them in that order. So each parameter is named as a whole, the last one first.
///
/// This is all for those before the first `mut`. From there on, each becomes a variable of the body, too,
/// which costs its size: rustc has a lint for values that are assigned and not read again, and holds only
/// the drop of a variable for a read.
pub(super) fn take(taken: &[&Parameter], body: TokenStream) -> (TokenStream, TokenStream) {
    let ours = Span::mixed_site();
    let whole = taken.iter().rev().map(|parameter| {
        let Parameter {
            attributes,
            mutable,
            name,
        } = parameter;
        let lints = of_underscore(name);
        // An `expect` that is carried here would not be met.
        let conditions = attributes.iter().filter(|attribute| {
            attribute.path().is_ident("cfg") || attribute.path().is_ident("cfg_attr")
        });
        quote_spanned!(ours=> #(#conditions)* #lints let _ = &#mutable #name;)
    });
    let whole: TokenStream = whole.collect();
    let first = taken.iter().position(|p| p.mutable.is_some());
    let variables = &taken[first.unwrap_or(taken.len())..];
    let mut body = body;
    let mut renewed = TokenStream::new();
    for parameter in variables {
        let Parameter {
            attributes,
            mutable,
            name,
        } = parameter;
        let mut new = name.clone();
        if name == "self" {
            if mentions(body.clone()).formatted.contains("self") {
                continue;
            }
            new = Ident::new("__self", ours.located_at(name.span()));
            body = with_receiver(body, &new);
        }
        let lints = of_underscore(name);
        renewed.extend(quote_spanned! {ours=>
            #(#attributes)*
            #[allow(clippy::shadow_same)]
            #lints
            let #mutable #new = #name;
        });
    }
    (quote!(#whole #renewed), body)
}

/// A name that begins with `_` says that it is not used, and clippy asks what our statement is for.
fn of_underscore(name: &Ident) -> Option<TokenStream> {
    let ours = Span::mixed_site();
    name.to_string()
        .starts_with('_')
        .then(|| quote_spanned!(ours=> #[allow(clippy::no_effect_underscore_binding, clippy::used_underscore_binding)]))
}

/// The names in some tokens that may be variables.
#[derive(Default)]
pub(super) struct Mentions {
    named: HashSet<String>,
    /// In `{…}` of a string.
    formatted: HashSet<String>,
}

impl Mentions {
    pub(super) fn have(&self, parameter: &Parameter) -> bool {
        let name = parameter.name.unraw().to_string();
        self.named.contains(&name) || self.formatted.contains(&name)
    }

    pub(super) fn add(&mut self, tokens: TokenStream) {
        let mut dots = 0;
        let mut tokens = tokens.into_iter().peekable();
        while let Some(token) = tokens.next() {
            let is_member = dots == 1;
            dots = match &token {
                TokenTree::Punct(punct) if punct.as_char() == '.' => dots + 1,
                _ => 0,
            };
            match token {
                // `.name` is a field or a method, `..name` may be a variable; `name: 5` is a field, `name::` a path.
                TokenTree::Ident(name) if !is_member && !is_colon(tokens.peek()) => {
                    self.named.insert(name.unraw().to_string());
                }
                TokenTree::Literal(literal) => self.add_format(&literal),
                TokenTree::Group(group) => self.add(group.stream()),
                TokenTree::Ident(_) | TokenTree::Punct(_) => {}
            }
        }
    }

    /// `{name}`, `{name.field:?}`, `{name:>width$}`.
    fn add_format(&mut self, literal: &Literal) {
        let text = literal.to_string();
        for field in text.split('{').skip(1) {
            let field = field.split('}').next().unwrap_or_default();
            let is_name = |c: char| c.is_alphanumeric() || c == '_';
            let root = field.trim_start().split(|c| !is_name(c)).next();
            let counts = field
                .match_indices('$')
                .filter_map(|(at, _)| field[..at].rsplit(|c| !is_name(c)).next());
            for name in counts.chain(root) {
                let name = name.trim_start_matches(|c: char| c.is_ascii_digit());
                self.formatted.insert(name.to_owned());
            }
        }
    }
}

pub(super) fn mentions(tokens: TokenStream) -> Mentions {
    let mut mentions = Mentions::default();
    mentions.add(tokens);
    mentions
}
