//! The names that an expansion refers to: ours, and those of the function.

use std::collections::HashSet;

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote_spanned};
use syn::{Expr, ExprReference, FnArg, GenericParam, Path, Signature, Token};

use super::{first_span, regroup};

/// The way to the hidden module of the facade.
pub(crate) struct Root(pub(crate) Option<Path>);

impl Root {
    /// With the location of its tokens moved, or the path would drag every caret to the attribute.
    pub(crate) fn at(&self, span: Span) -> TokenStream {
        let Some(path) = &self.0 else {
            return quote_spanned!(span=> ::redis_locked::__private);
        };
        let moved = path.to_token_stream().into_iter().map(|mut token| {
            token.set_span(token.span().located_at(span));
            token
        });
        let path: TokenStream = moved.collect();
        quote_spanned!(span=> #path::__private)
    }
}

/// What the expressions in the arguments may refer to.
pub(crate) struct Scope {
    /// Names that the function surely has: its arguments and const generics.
    pub(crate) known: HashSet<String>,
    /// What `self` is called, where it is not `self`.
    pub(crate) receiver: Option<Ident>,
}

impl Scope {
    pub(super) fn of(signature: &Signature) -> Self {
        let mut known = HashSet::new();
        for argument in &signature.inputs {
            if let FnArg::Typed(argument) = argument {
                names(argument.pat.to_token_stream(), &mut known);
            }
        }
        for parameter in &signature.generics.params {
            if let GenericParam::Const(parameter) = parameter {
                known.insert(parameter.ident.to_string());
            }
        }
        Self {
            known,
            receiver: None,
        }
    }

    pub(crate) fn expr(&self, expr: &Expr) -> TokenStream {
        match &self.receiver {
            Some(receiver) => renamed(expr.to_token_stream(), receiver),
            None => expr.to_token_stream(),
        }
    }

    pub(crate) fn borrow(&self, expr: &Expr) -> TokenStream {
        let start = first_span(expr.to_token_stream());
        // Printed by syn, which puts parentheses where they are needed, and only there.
        self.expr(&Expr::Reference(ExprReference {
            attrs: Vec::new(),
            and_token: Token![&](Span::mixed_site().located_at(start)),
            mutability: None,
            expr: Box::new(expr.clone()),
        }))
    }
}

fn names(pattern: TokenStream, known: &mut HashSet<String>) {
    for token in pattern {
        match token {
            TokenTree::Ident(name) => {
                known.insert(name.to_string());
            }
            TokenTree::Group(group) => names(group.stream(), known),
            _ => {}
        }
    }
}

fn renamed(tokens: TokenStream, receiver: &Ident) -> TokenStream {
    let rename = |token| match token {
        TokenTree::Ident(name) if name == "self" => {
            let span = receiver.span().located_at(name.span());
            Ident::new(&receiver.to_string(), span).into()
        }
        TokenTree::Group(group) => regroup(&group, renamed(group.stream(), receiver)).into(),
        token => token,
    };
    tokens.into_iter().map(rename).collect()
}
